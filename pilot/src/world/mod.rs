//! What was written, as one consistent whole: a table per kind and the kinds that changed.
//!
//! Comes in: batches of a source. Goes out: typed look-ups for `model`. Written by one task only. Pods and EndpointSlices are
//! records of what the mesh reads; everything else is the object as it was written.

mod dirty;
mod pod;
mod shelf;
mod slice;
mod store;
mod text;

pub use dirty::Dirty;
pub use pod::{Facts, NETWORK, Pod, TLS_MODE};
pub use shelf::Shelf;
pub use slice::{End, Slice};
pub use store::{Home, World};
pub use text::{Labels, Ports, Text, text};
