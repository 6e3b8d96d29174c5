//! Byte streams of both sides: what `listen` accepts and what `upstream` dials, plain or under TLS, as one enum.
//! Everything above (`h1`, `h2`, `tcp`) reads and writes a [`Stream`] and never asks what is beneath, except
//! the TCP relay, which takes the sockets apart for splice.

mod coalesce;
mod frames;
mod guarded;
mod stream;

pub use coalesce::Flusher;
pub use frames::Flood;
pub use guarded::{Guard, Guarded};
pub use stream::{Raw, Stream, Wire};
