//! TCP connections: choose a cluster, dial, exchange metadata with the peers, relay, count.

mod peer;
mod relay;
mod serve;
mod splice;

pub use serve::serve;
