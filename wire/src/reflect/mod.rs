//! Any message as JSON and back, by descriptors instead of generated code.
//!
//! In: a type name and bytes, or JSON. Out: protobuf's canonical JSON with every `Any` expanded, or bytes. Used by
//! debug dumps, `meshctl`, golden tests and the reader of Envoy bootstrap files; never on a request path. The pool
//! takes some milliseconds and megabytes at first use.

mod from_json;
mod pool;
mod to_json;

pub use from_json::{Mismatch, from_json, read};
pub use pool::{knows, pool};
pub use to_json::{Style, message_to_json, render, to_json};

#[cfg(test)]
mod tests;
