//! Access log and header formats with `%COMMAND%` operators, parsed once.

use std::sync::Arc;

/// A text with operators, parsed: literals and commands in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TextFormat {
    /// As it was written.
    pub source: Arc<str>,
}

/// Shape of an access log line.
#[derive(Debug)]
pub enum LogFormat {
    Text(TextFormat),
    /// Keys in order, each with its format.
    Json(Vec<(Arc<str>, TextFormat)>),
}
