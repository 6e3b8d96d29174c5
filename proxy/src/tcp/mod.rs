//! TCP connections: choose a cluster, dial, exchange metadata with the peers, relay, count.
//!
//! In: a connection that `listen` admitted to a chain without HTTP. Out: its bytes at an upstream, and facts of it.
//! `serve` is the order, `peer` the exchange of metadata, `relay` and `splice` move the bytes.

mod peer;
mod relay;
mod serve;
mod splice;

pub use serve::serve;
