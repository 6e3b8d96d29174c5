//! The stream below HTTP/2: bytes that were read ahead come first, and frames are counted as they pass.
//!
//! In: a stream and the bytes that were taken from it. Out: a stream that begins with them, for the codec; beside it a
//! [`Guard`], by which the connection's task hears of a flood. Towards clients the codec then gets no more to read, so
//! that it can still say why it leaves; towards upstreams the stream fails. Used by `http::streams` and `pool::h2`.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;
use super::frames::{End, Flood, Frames};
use crate::config::FrameLimits;

/// Frames read in one turn of the connection; then others have theirs. Less than the answers that may wait, since those
/// leave between turns.
const TURN: u32 = 512;

/// What the task of a connection knows of its stream.
#[derive(Debug, Default)]
pub struct Guard {
    flood: Cell<Option<Flood>>,
    told: Cell<Option<Flood>>,
    in_head: Cell<bool>,
    fresh: Cell<bool>,
    back: RefCell<Option<Stream>>,
}

impl Guard {
    /// Too much of something came.
    pub fn flood(&self) -> Option<Flood> {
        self.flood.get()
    }

    /// The first reason stays.
    pub fn set_flood(&self, flood: Flood) {
        if self.flood.get().is_none() {
            self.flood.set(Some(flood));
        }
    }

    /// Why the connection was closed, by us or by the codec.
    pub fn reason(&self) -> Option<Flood> {
        self.flood.get().or(self.told.get())
    }

    /// A head began to arrive and is not complete.
    pub fn is_in_head(&self) -> bool {
        self.in_head.get()
    }

    /// The task has its turn.
    pub fn turn(&self) {
        self.fresh.set(true);
    }

    /// The stream, once the codec is gone.
    pub fn take(&self) -> Option<Stream> {
        self.back.take()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Guarded {
    ahead: Bytes,
    stream: Stream,
    frames: Frames,
    end: End,
    guard: Rc<Guard>,
}

impl Guarded {
    /// Towards a client, with what was read of it already.
    pub fn server(stream: Stream, ahead: Bytes, limits: FrameLimits) -> (Self, Rc<Guard>) {
        Guarded::new(stream, ahead, limits, End::Server)
    }

    /// Towards an upstream.
    pub fn client(stream: Stream, limits: FrameLimits) -> Self {
        Guarded::new(stream, Bytes::new(), limits, End::Client).0
    }

    fn new(stream: Stream, ahead: Bytes, limits: FrameLimits, end: End) -> (Self, Rc<Guard>) {
        let guard = Rc::new(Guard::default());
        let frames = Frames::new(limits, end);
        (Guarded { ahead, stream, frames, end, guard: guard.clone() }, guard)
    }

    /// What a flood is to who reads.
    fn flooded(&self, flood: Flood) -> Poll<io::Result<()>> {
        self.guard.set_flood(flood);
        match self.end {
            // The task looks at the guard when the codec waits.
            End::Server => Poll::Pending,
            End::Client => Poll::Ready(Err(io::Error::other(flood.names().0))),
        }
    }

    /// Forgets the frames that have left.
    fn leave(&mut self) {
        let (written, sent) = self.stream.progress();
        self.frames.left(written, sent);
    }

    fn wrote(&mut self, bytes: &[u8]) {
        self.frames.send(bytes);
        if self.frames.unread().is_err() {
            self.leave();
            if let Err(flood) = self.frames.unread() {
                self.guard.set_flood(flood);
            }
        }
        self.guard.told.set(self.frames.told);
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(flood) = this.guard.flood() {
            return this.flooded(flood);
        }
        if this.guard.fresh.take() || this.end == End::Client {
            this.frames.turn = 0;
        } else if this.frames.turn > TURN {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.frames.waits() {
            this.leave();
        }
        let before = buf.filled().len();
        if this.ahead.is_empty() {
            match Pin::new(&mut this.stream).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        } else {
            let n = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead[..n]);
            this.ahead.advance(n);
        }
        let counted = this.frames.receive(buf.filled().get(before..).unwrap_or_default());
        this.guard.in_head.set(this.frames.in_head);
        match counted {
            Ok(()) => Poll::Ready(Ok(())),
            Err(flood) => {
                buf.set_filled(before);
                this.flooded(flood)
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = written {
            this.wrote(buf.get(..n).unwrap_or_default());
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut left)) = written {
            for piece in bufs {
                let n = left.min(piece.len());
                this.wrote(piece.get(..n).unwrap_or_default());
                left -= n;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Whoever still has something to wait for takes it; else it ends with the guard.
        if self.end == End::Server {
            self.guard.back.replace(Some(std::mem::replace(&mut self.stream, Stream::nothing())));
        }
    }
}
