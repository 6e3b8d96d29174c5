//! Delta xDS, both ends, without I/O.
//!
//! ```text
//!  Server  offer(kind, set) -> drain() -> Response  =====>  received(Response) -> Accepted   Client
//!          received(Request) <- Request <- drain() <=====   ack / nack, subscribe
//! ```
//! Messages are plain values that share their resources; whoever owns the stream moves them. Both machines keep
//! their promise under loss of the stream at any moment: the client converges to the server's set, and a client
//! that comes back with current versions is sent nothing.

mod client;
mod message;
mod server;
pub(crate) mod state;
pub(crate) mod stream;

pub use client::{Accepted, Client};
pub use message::{Failure, Request, Response};
pub use server::Server;
pub use stream::{Report, Sync};
