//! HTTP connections: the pipeline from a request's head to its record. `serve` is the table of contents.

mod serve;

pub use serve::{Served, serve};
