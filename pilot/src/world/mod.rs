//! What was written, as one consistent whole: a table per kind and the kinds that changed.
//!
//! Comes in: batches of a source. Goes out: typed look-ups for `model`. Written by one task only.

mod dirty;
mod store;

pub use dirty::Dirty;
pub use store::{Home, World};
