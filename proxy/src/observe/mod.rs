//! What is told about requests and connections: one plain struct of facts, and the sinks that read it.
//!
//! In: [`Facts`] and [`TcpFacts`], filled along the pipelines. Out: access log lines, metrics, spans. Everything is
//! synchronous and per worker; the slow ends (files, the trace collector) are on other threads.

mod facts;
mod flags;
mod format;
mod operator;
mod time;
pub mod trace;

pub use facts::*;
pub use format::{LogFormat, TextFormat};
pub use operator::{Subject, Value};
