//! The only place that knows gRPC: moves the messages of the machines over HTTP/2.
//!
//! ```text
//!   delta::Server -> Response -> rope of shared Bytes -> hyper -> ... -> Bytes -> slices -> delta::Client
//! ```
//! [`accept`] is the serving door (pilot), [`Channel`] the calling one (proxy, tests, and any tonic client). A resource
//! is never copied or encoded again on its way out, and never copied on its way in.

mod channel;
mod client;
mod encode;
mod frame;
mod server;

pub use channel::{Channel, Exec};
pub use client::{DeltaStream, SotwStream, Stream};
pub use frame::{MAX_MESSAGE, refuse};
pub use server::{Inbound, Message, Protocol, Responder, Session, accept, http2};

#[cfg(test)]
mod tests;
