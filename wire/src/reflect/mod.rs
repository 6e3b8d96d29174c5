//! Any message as JSON and back, by a schema instead of generated code.
//!
//! In: a type name and bytes, or JSON. Out: protobuf's canonical JSON with every `Any` expanded, or bytes. Used by
//! debug dumps, `meshctl`, golden tests and the reader of Envoy bootstrap files; never on a request path. Reading goes
//! from the text straight to bytes: what stands in memory beside them is one value at a time.

mod any;
mod from_json;
mod parse;
mod place;
mod scalar;
mod schema;
mod to_json;
mod tree;
mod well_known;

pub use from_json::{Failure, from_json, read, read_from};
pub use place::Mismatch;
pub use schema::knows;
pub use to_json::{Style, fields_of, message_to_json, render, to_json};

#[cfg(test)]
mod tests;
