//! A stream that speaks HTTP/1.1, as server or as client: poll functions over the pure parts of this folder.
//!
//! One `Conn` is used by one task; reading and writing are independent, so a body may go each way at the same
//! time. Output gathers in a buffer and leaves with [`Conn::poll_flush`]: a small head and body make one write.
//! Waiting with nothing buffered costs no buffer: reads land in a scratch area of the thread first.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::head::{self, Limits, Request, Response};
use super::read::{Decoder, Frame};
use super::write::{self, Encoder, RequestLine};
use super::{Error, Length, Refusal, buffers, refusal};
use crate::io::Stream;

/// Output beyond this is flushed before more is taken.
const HIGH_WATER: usize = 64 * 1024;
/// Data up to this is copied behind the head; larger pieces are written from where they are.
const COPY: usize = 4 * 1024;
/// Bodies that still lack more than this are read straight into the connection's buffer.
const DIRECT: u64 = 8 * 1024;
/// Pipelined input that is held while a request is served.
const AHEAD: usize = 16 * 1024;
const SCRATCH: usize = 16 * 1024;
const RESPONSE: &[u8] = b"HTTP/1.";
/// How long the last bytes may take where nobody is to wait for the other side.
const LEAVE: Duration = Duration::from_secs(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    Http1,
    Http2,
    /// Nothing came.
    Closed,
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub struct Conn {
    io: Stream,
    read: BytesMut,
    /// Bytes of `read` in which no line ended; they are not parsed again.
    seen: usize,
    eof: bool,
    decoder: Decoder,
    encoder: Encoder,
    write: BytesMut,
    /// A large piece behind `write`, and whether a line end follows it.
    tail: Bytes,
    tail_line: bool,
    /// No message after this one.
    last: bool,
    /// The most room that `read` had.
    largest: usize,
    /// What the body that was read last did wrong.
    refused: Option<Refusal>,
}

impl Conn {
    pub fn new(io: Stream) -> Self {
        Conn {
            io,
            read: BytesMut::new(),
            seen: 0,
            eof: false,
            decoder: Decoder::Done,
            encoder: Encoder::Done,
            write: BytesMut::new(),
            tail: Bytes::new(),
            tail_line: false,
            last: false,
            largest: 0,
            refused: None,
        }
    }

    /// The stream and what was read of it ahead; for protocol switches.
    pub fn into_parts(self) -> (Stream, Bytes) {
        (self.io, self.read.freeze())
    }

    /// The stream beneath.
    pub fn stream(&self) -> &Stream {
        &self.io
    }

    /// After the current exchange nothing more is read or written.
    pub fn set_last(&mut self) {
        self.last = true;
    }

    /// Both messages of the exchange are complete and another may follow.
    pub fn is_reusable(&self) -> bool {
        !self.last && !self.eof && self.decoder.is_done() && self.encoder == Encoder::Done
    }

    /// True for an idle connection that can no longer be used: ended, or the other side spoke out of turn.
    pub fn is_stale(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        !self.read.is_empty() || self.poll_fill(&mut cx).is_ready()
    }

    /// Looks at the first bytes without taking them.
    pub fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Peek>> {
        loop {
            let n = self.read.len().min(PREFACE.len());
            if self.read[..n] != PREFACE[..n] {
                return Poll::Ready(Ok(Peek::Http1));
            }
            if n == PREFACE.len() {
                return Poll::Ready(Ok(Peek::Http2));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(if n == 0 { Peek::Closed } else { Peek::Http1 }));
            }
        }
    }

    /// The next request's head; `None` when the other side ended between messages.
    pub fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
    ) -> Poll<Result<Option<Request>, Error>> {
        loop {
            // RFC 9112 2.2: empty lines before a request line, however many, are nothing.
            while self.read.starts_with(b"\r\n") {
                self.read.advance(2);
                self.seen = 0;
            }
            if self.has_line(limits) {
                if let Some(request) = head::parse_request(&mut self.read, limits).map_err(Error::Refused)? {
                    self.seen = 0;
                    self.decoder = Decoder::new(request.length);
                    self.last |= !request.keep_alive;
                    return Poll::Ready(Ok(Some(request)));
                }
                self.seen = self.read.len();
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) if self.read.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Error::Closed)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    if self.read.is_empty() && self.write.is_empty() {
                        self.release();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// True once a byte of the next message is here.
    pub fn has_input(&self) -> bool {
        !self.read.is_empty()
    }

    /// The head of the response to a request with `method`. Interim responses come as they are.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        method: &Method,
    ) -> Poll<Result<Response, Error>> {
        loop {
            // What does not begin as a response is refused without waiting for the end of its line.
            let start = self.read.len().min(RESPONSE.len());
            if self.read[..start] != RESPONSE[..start] {
                return Poll::Ready(Err(Error::Refused(Refusal::bad(refusal::NO_RESPONSE))));
            }
            if self.has_line(limits) {
                if let Some(response) =
                    head::parse_response(&mut self.read, limits, method).map_err(Error::Refused)?
                {
                    self.seen = 0;
                    self.decoder = Decoder::new(response.length);
                    self.last |= !response.keep_alive;
                    return Poll::Ready(Ok(response));
                }
                self.seen = self.read.len();
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(match self.read.is_empty() {
                    true => Error::Closed,
                    false => Error::Refused(Refusal::bad(refusal::HALF)),
                }));
            }
        }
    }

    /// The next piece of the body that is being read; `None` at its end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Error>> {
        loop {
            match self.decoder.decode(&mut self.read, self.eof) {
                Ok(Some(frame)) => return Poll::Ready(Ok(Some(frame))),
                Ok(None) => {}
                Err(error) => {
                    if let Error::Refused(refusal) = &error {
                        self.refused = Some(*refusal);
                    }
                    return Poll::Ready(Err(error));
                }
            }
            if self.decoder.is_done() {
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Why the body could not be read on, where it broke a rule.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refused
    }

    /// The whole body was read.
    pub fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Resolves when the other side is gone while it waits for us; input that comes early is kept.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.decoder.is_done() {
            return Poll::Pending;
        }
        while self.read.len() < AHEAD {
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Queues a request's head. `connection` is that header's value for upgrades.
    pub fn write_request(
        &mut self,
        line: RequestLine<'_>,
        headers: &HeaderMap,
        length: Length,
        connection: Option<&str>,
    ) {
        self.make_room_to_write();
        write::request(&mut self.write, line, headers, length, connection);
        self.encoder = Encoder::new(length);
    }

    /// Queues a response's head. Says `connection: close` when this is the last exchange.
    pub fn write_response(
        &mut self,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
        length: Length,
        connection: Option<&str>,
    ) {
        let connection = match connection {
            None if self.last || length == Length::Close => Some("close"),
            None if version == Version::HTTP_10 => Some("keep-alive"),
            other => other,
        };
        self.make_room_to_write();
        write::response(&mut self.write, status, version, headers, length, connection);
        self.encoder = Encoder::new(length);
        self.last |= length == Length::Close;
    }

    /// Queues the interim response that a client waits for before it sends its body.
    pub fn write_continue(&mut self) {
        self.write.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Takes `chunk` when there is room, else waits until the other side has read enough.
    pub fn poll_data(&mut self, cx: &mut Context<'_>, chunk: &mut Bytes) -> Poll<io::Result<()>> {
        if !self.tail.is_empty() || self.write.len() >= HIGH_WATER {
            ready!(self.poll_write_out(cx))?;
        }
        match &mut self.encoder {
            Encoder::Fixed(left) if (chunk.len() as u64) <= *left => *left -= chunk.len() as u64,
            Encoder::Done | Encoder::Fixed(_) if !chunk.is_empty() => {
                return Poll::Ready(Err(io::Error::other("body is longer than announced")));
            }
            Encoder::Chunked if !chunk.is_empty() => write::chunk_size(&mut self.write, chunk.len()),
            _ => {}
        }
        let line = self.encoder == Encoder::Chunked && !chunk.is_empty();
        if self.encoder == Encoder::Fixed(0) {
            self.encoder = Encoder::Done;
        }
        let chunk = std::mem::take(chunk);
        if chunk.len() > COPY {
            self.tail = chunk;
            self.tail_line = line;
        } else {
            self.write.extend_from_slice(&chunk);
            if line {
                self.write.put_slice(b"\r\n");
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the body that is being written; trailers go out only in chunked framing.
    pub fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&HeaderMap>,
    ) -> Poll<io::Result<()>> {
        match self.encoder {
            Encoder::Chunked => {
                if !self.tail.is_empty() {
                    ready!(self.poll_write_out(cx))?;
                }
                write::last_chunk(&mut self.write, trailers);
            }
            Encoder::Fixed(_) => return Poll::Ready(Err(io::Error::other("body is shorter than announced"))),
            Encoder::Tunnel => {
                ready!(self.poll_write_out(cx))?;
                ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            }
            Encoder::Close | Encoder::Done => {}
        }
        self.encoder = Encoder::Done;
        Poll::Ready(Ok(()))
    }

    /// Sends everything that is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Ends our side and gives the other so long to read what was said, so that a reset does not overtake it. Zero: no
    /// longer than the bytes take to leave.
    pub async fn close(mut self, linger: Duration) {
        let work = async {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
            self.io.shutdown().await?;
            let mut waste = [0u8; 1024];
            while !linger.is_zero() && self.io.read(&mut waste).await? > 0 {}
            io::Result::Ok(())
        };
        let most = if linger.is_zero() { LEAVE } else { linger };
        // Either way the connection is over.
        drop(tokio::time::timeout(most, work).await);
    }

    /// From now on bytes go both ways without framing, until each side ends: after 101 and CONNECT.
    pub fn become_tunnel(&mut self) {
        self.decoder = Decoder::Close;
        self.encoder = Encoder::Tunnel;
        self.last = true;
    }

    /// Gives the buffers back: nothing is expected soon.
    pub fn release(&mut self) {
        buffers::give(std::mem::take(&mut self.read), std::mem::take(&mut self.largest));
        let write = std::mem::take(&mut self.write);
        let largest = write.capacity();
        buffers::give(write, largest);
    }

    fn make_room_to_write(&mut self) {
        if self.write.capacity() == 0 {
            self.write = buffers::take(0);
        }
    }

    /// Room for `size` bytes behind what was read; what was handed out of a full buffer keeps it.
    fn make_room_to_read(&mut self, size: usize) {
        if self.read.is_empty() && self.read.capacity() < size {
            let full = std::mem::replace(&mut self.read, buffers::take(size));
            buffers::give(full, std::mem::take(&mut self.largest));
        }
        self.read.reserve(size);
        self.largest = self.largest.max(self.read.capacity());
    }

    fn has_line(&mut self, limits: &Limits) -> bool {
        let fresh = self.read.get(self.seen..).unwrap_or_default();
        // What does not begin as a message is refused without waiting for the end of its line: TLS, mostly.
        let foreign = self.read.first().is_some_and(|b| !b.is_ascii_graphic() && !b"\r\n".contains(b));
        foreign || fresh.contains(&b'\n') || self.read.len() > limits.max_head
    }

    /// Reads what is there into the buffer; 0: the other side has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        let wanted = self.decoder.wanted();
        let result = if wanted > DIRECT {
            let room = wanted.min(HIGH_WATER as u64) as usize;
            self.read.reserve(room);
            self.largest = self.largest.max(self.read.capacity());
            ready!(pin!(self.io.read_buf(&mut self.read)).poll(cx))
        } else {
            ready!(READ.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf));
                let size = buf.filled().len();
                if size > 0 {
                    self.make_room_to_read(size);
                    self.read.extend_from_slice(buf.filled());
                }
                Poll::Ready(result.map(|()| size))
            }))
        };
        match result {
            Ok(n) => {
                self.eof = n == 0;
                Poll::Ready(Ok(n))
            }
            // A TLS peer that hangs up without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.eof = true;
                Poll::Ready(Ok(0))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let io = Pin::new(&mut self.io);
            let n = match (self.write.is_empty(), self.tail.is_empty()) {
                (true, true) => {
                    self.write.clear();
                    return Poll::Ready(Ok(()));
                }
                (false, true) => ready!(io.poll_write(cx, &self.write))?,
                (true, false) => ready!(io.poll_write(cx, &self.tail))?,
                (false, false) => {
                    let both = [io::IoSlice::new(&self.write), io::IoSlice::new(&self.tail)];
                    ready!(io.poll_write_vectored(cx, &both))?
                }
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let head = n.min(self.write.len());
            self.write.advance(head);
            self.tail.advance(n - head);
            if self.tail.is_empty() && std::mem::take(&mut self.tail_line) {
                self.write.put_slice(b"\r\n");
            }
        }
    }
}
