//! What is told about requests and connections: one plain struct of facts, and the sinks that read it.

mod facts;
mod format;

pub use facts::*;
pub use format::{LogFormat, TextFormat};
