//! State-of-the-world xDS, both ends, without I/O.
//!
//! In and out: as in [`crate::delta`], with the older messages: a request repeats all names, a response of a kind
//! that is a whole set ([`crate::Kind::is_whole_set`]) repeats all resources, and absence means removal. Needed by
//! gRPC's own xDS clients and by servers without delta. Resources are the same shared bytes.

mod client;
mod message;
mod server;

pub use client::{Accepted, Client};
pub use message::{Request, Response};
pub use server::Server;
