//! HTTP/1.1, strict, both sides. Bytes in, heads and body frames out, and the other way round; no mesh word here.
//!
//! `head` parses and refuses, `host` judges names, `framing` decides where a body ends, `read` decodes bodies, `trail` what stands behind
//! them, `write` encodes, and `conn` does that over a stream. What is ambiguous is refused: two lengths, bare line
//! feeds, folded lines.
//! Called by `http` for downstream and upstream connections.

mod buffers;
mod conn;
mod framing;
mod head;
mod host;
mod read;
mod refusal;
mod trail;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use buffers::give_map;
pub use conn::{Conn, Peek};
pub use framing::Length;
pub use head::{Limits, Request, Response};
pub(crate) use host::is_host;
pub use read::Frame;
pub use refusal::Refusal;
pub use write::RequestLine;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side broke the rules; a server answers with the status.
    #[error("{0}")]
    Refused(Refusal),
    /// The stream ended where a message had not.
    #[error("connection closed inside a message")]
    Closed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
