//! Choosing an endpoint: a set, a hint and random bits in, one endpoint out. No I/O, no clock of its own.
//!
//! `picker` is what a worker owns; `plan` turns a set into priorities, localities and lists without the unhealthy;
//! `lists` has the rules of one list; `hash` has what is hashed; `ring` and `maglev` the tables.

mod hash;
mod lists;
mod maglev;
mod picker;
mod plan;
mod ring;

pub use hash::{HashTable, Hashed, hash_request, hash_source, tables};
pub use picker::{Hint, Picker};
