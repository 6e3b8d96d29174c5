//! TCP connections: choose a cluster, dial, relay, count.

mod serve;

pub use serve::serve;
