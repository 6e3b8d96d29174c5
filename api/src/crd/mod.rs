//! CustomResourceDefinitions of the mesh's own kinds, made from the types: nothing about a field is written twice.
//!
//! `kind.rs` says what a kind is called, `schema.rs` turns its type into a structural schema, `limits.rs` adds what a
//! type cannot say (ranges, required fields, what excludes what), `definition.rs` puts a definition together.
//! `yaml()` is what stands in `charts/base/files/crd-all.gen.yaml`; a golden test keeps the file from drifting.

mod definition;
mod limits;
mod schema;
mod table;

pub use definition::{definition, definitions, yaml};
