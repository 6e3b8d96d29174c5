//! Every field of every kind, from the types themselves, and objects in which just one of them is set.
//!
//! Made for the test that sets each field alone and demands an effect or a finding, for reports and for CRDs. A field
//! is written as in `honoured`: `http[].match[].headers.*.exact`.

mod enumerate;
mod samples;

pub use enumerate::{Leaf, leaves, schema, schema_of, specimen, without};
