//! HTTP connections: the pipeline from a request's head to its record. `serve` is the table of contents.
//!
//! `connection` reads requests off HTTP/1.1, `streams` off HTTP/2; `head`, `path` and `forwarded` make them uniform; `route` decides
//! and rewrites; `attempt`, `retry` and `timeout` get an answer from an upstream; `relay` and `body` move the
//! bodies; `respond` speaks for the proxy itself; `mirror` sends copies. `down` and `up` are the two ends.

mod attempt;
mod body;
mod connection;
mod context;
mod down;
mod forwarded;
mod head;
mod malformed;
mod marks;
mod mirror;
mod path;
mod relay;
mod replay;
mod respond;
mod retry;
mod route;
mod serve;
mod streams;
mod timeout;
mod up;

pub use connection::{Served, serve};
pub use path::{Spelling, normal as normal_path};
