//! What is told about requests and connections: one plain struct of facts, and the sinks that read it.
//!
//! ```text
//!   Facts, TcpFacts --> shard (one per worker) --> series  --> render --> /stats, Prometheus
//!                                              --> access_log (lines) --> writer threads
//!                                              --> span --> export --> collector
//! ```
//! Everything up to the arrows' ends is synchronous and per worker; the slow ends are on other threads.

pub mod access_log;
mod export;
mod facts;
mod flags;
mod format;
mod handle;
pub mod labels;
mod operator;
mod peer;
mod recent;
mod render;
pub mod series;
mod shard;
pub mod span;
mod subject;
mod time;
pub mod trace;

#[cfg(test)]
mod tests;

pub use access_log::Sinks;
pub use export::export;
pub use facts::*;
pub use format::{JsonFormat, LogFormat, TextFormat};
pub use peer::{Own, Peers, introduction};
pub use render::{Sample, SampleValue, json, label, labels, prometheus, samples, text};
pub use series::{Registry, Store, Totals};
pub use shard::{Ends, Exported, Shard};
pub use subject::Subject;

/// Why a `write!` to a string may be expected to succeed.
pub(crate) const STRING: &str = "a string takes whatever is written";
