//! Listening: from the Config's listeners to connections that are served.
//!
//! ```text
//!   Live<Config> -> reconcile -> accept (one thread) -> place -> worker: admit -> http::serve | tcp::serve
//!                                                                  sniff, proxy_protocol, original_dst, chain, tls
//! ```
//! What decides is pure (`sniff`, `proxy_protocol`, `chain`); what touches sockets is small.

mod accept;
mod admit;
mod chain;
mod original_dst;
mod place;
pub mod proxy_protocol;
mod reconcile;
mod retire;
pub mod sniff;
mod socket;
mod stats;

pub use admit::{Admit, Refusals};
pub use chain::{Seen, choose};
pub use place::{Fresh, Places};
pub use reconcile::{Bound, Listeners};
pub use socket::{live_at, placed, tokio_listener};
pub use stats::{ListenerStats, StatsTable};
