//! The exchange of metadata frames before the first byte of a TCP connection (ALPN `istio-peer-exchange`).
//!
//! Both sides send their frame at once and read the other's. What follows the frame in the same read is data.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::peer::{ALPN, FRAME_HEADER, MAGIC, Peer as Metadata};

use crate::io::Stream;
use crate::observe::{Peer, TlsFacts};
use crate::worker::Worker;

/// True where the handshake promised a frame.
pub(super) fn is_agreed(tls: Option<&TlsFacts>) -> bool {
    tls.is_some_and(|tls| tls.alpn.as_deref() == Some(ALPN))
}

/// Sends ours, reads theirs; returns it with the data that came behind. A side that sends data and no frame is
/// served without metadata.
pub(super) async fn exchange(worker: &Worker, stream: &mut Stream) -> io::Result<(Option<Arc<Peer>>, Bytes)> {
    stream.write_all(&worker.node.peer_frame).await?;
    stream.flush().await?;
    let mut read = BytesMut::new();
    loop {
        match body_of(&read) {
            Found::Frame(size) => {
                let body = read.split_to(FRAME_HEADER + size);
                let peer = worker.observer.peer_of_frame(body.get(FRAME_HEADER..).unwrap_or_default());
                return Ok((peer, read.freeze()));
            }
            Found::NoFrame => return Ok((None, read.freeze())),
            Found::More => {}
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok((None, read.freeze()));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Frame(usize),
    NoFrame,
    More,
}

fn body_of(read: &[u8]) -> Found {
    let magic = MAGIC.to_be_bytes();
    let n = read.len().min(magic.len());
    if read[..n] != magic[..n] {
        return Found::NoFrame;
    }
    let Some(header) = read.first_chunk::<FRAME_HEADER>() else { return Found::More };
    match Metadata::frame_length(*header) {
        Ok(size) if read.len() >= FRAME_HEADER + size => Found::Frame(size),
        Ok(_) => Found::More,
        Err(_) => Found::NoFrame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found() {
        let frame = [&MAGIC.to_be_bytes()[..], &3u32.to_be_bytes(), b"abcdata"].concat();
        for n in 0..11 {
            assert_eq!(body_of(&frame[..n]), Found::More, "{n}");
        }
        assert_eq!(body_of(&frame), Found::Frame(3));
        assert_eq!(body_of(b"GET "), Found::NoFrame);
        let long = [&MAGIC.to_be_bytes()[..], &u32::MAX.to_be_bytes()].concat();
        assert_eq!(body_of(&long), Found::NoFrame);
    }
}
