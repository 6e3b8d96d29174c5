//! Bodies of both codecs behind one face, and the pump that moves one from a side to the other.
//!
//! A [`Side`] is one end of an exchange, HTTP/1.1 or HTTP/2, to read from and to write to. A [`Pump`] takes frames
//! from one and gives them to the other, never more than the other takes: back-pressure goes through. Bytes,
//! gRPC messages and trailers are noted on the way.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::replay::Replay;
use crate::fail::Failure;
use crate::h1::{self, Frame};

/// One end of an exchange.
pub(crate) enum Side<'a> {
    H1(&'a mut h1::Conn),
    H2(&'a mut Stream2),
}

/// The halves of an HTTP/2 stream, as far as they are there.
#[derive(Default)]
pub(crate) struct Stream2 {
    pub(crate) recv: Option<RecvStream>,
    pub(crate) send: Option<SendStream<Bytes>>,
    /// An upload waits for its window.
    pub(crate) waits: bool,
    ended: bool,
}

/// Where a transfer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Source(Failure),
    Sink(Failure),
}

/// Moves one body.
#[derive(Default)]
pub(crate) struct Pump {
    chunk: Bytes,
    /// `chunk` is the last data and no trailers follow.
    last: bool,
    stage: Stage,
    /// There is no body at all.
    empty: bool,
    pub(crate) bytes: u64,
    /// gRPC messages, counted where the body is gRPC.
    pub(crate) grpc: Option<Messages>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Keeps what passes, for retries and mirrors.
    pub(crate) replay: Option<Replay>,
    /// Grows with each frame; timers look at it.
    pub(crate) progress: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Reading,
    Ending,
    Flushing,
    Done,
}

impl Side<'_> {
    /// The next piece; `None` at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Failure>> {
        match self {
            Side::H1(conn) => conn.poll_frame(cx).map_err(|error| match error {
                h1::Error::Closed => Failure::UpstreamCut,
                error => of_h1(&error),
            }),
            Side::H2(stream) => stream.poll_frame(cx),
        }
    }

    /// Reads and forgets; false at the end.
    pub(super) fn poll_waste(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let frame = ready!(self.poll_frame(cx))?;
        if let Some(Frame::Data(data)) = &frame {
            self.release(data.len());
        }
        Poll::Ready(Ok(frame.is_some()))
    }

    /// Nothing more will come.
    fn is_read(&self) -> bool {
        match self {
            Side::H1(conn) => conn.is_read(),
            Side::H2(stream) => stream.recv.as_ref().is_none_or(RecvStream::is_end_stream),
        }
    }

    /// Lets the other side send as much again.
    fn release(&mut self, bytes: usize) {
        if let Side::H2(Stream2 { recv: Some(recv), .. }) = self {
            // Fails only where the stream is gone; the next read says so.
            recv.flow_control().release_capacity(bytes).ok();
        }
    }

    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
        last: bool,
    ) -> Poll<Result<(), Failure>> {
        match self {
            Side::H1(conn) => conn.poll_data(cx, chunk).map_err(|_| Failure::UpstreamReset),
            Side::H2(stream) => stream.poll_data(cx, chunk, last),
        }
    }

    pub(super) fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        trailers: Option<&HeaderMap>,
    ) -> Poll<Result<(), Failure>> {
        match self {
            Side::H1(conn) => conn.poll_finish(cx, trailers).map_err(|_| Failure::UpstreamReset),
            Side::H2(stream) => Poll::Ready(stream.finish(trailers)),
        }
    }

    /// Sends what is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Side::H1(conn) => conn.poll_flush(cx).map_err(|_| Failure::UpstreamReset),
            Side::H2(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Stream2 {
    /// The receiving half of a request; `None`: it has no body.
    pub(crate) fn reading(recv: Option<RecvStream>) -> Self {
        Stream2 { recv, ..Stream2::default() }
    }

    /// The sending half of a request; the other comes with the response.
    pub(crate) fn writing(send: SendStream<Bytes>) -> Self {
        Stream2 { send: Some(send), ..Stream2::default() }
    }

    /// The sending half of a response whose head was sent; `ended`: with the head the stream has ended.
    pub(crate) fn answers(&mut self, send: SendStream<Bytes>, ended: bool) {
        self.send = Some(send);
        self.ended = ended;
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Failure>> {
        let Some(recv) = &mut self.recv else { return Poll::Ready(Ok(None)) };
        loop {
            match ready!(recv.poll_data(cx)) {
                // Empty frames are legal and carry nothing.
                Some(Ok(data)) if data.is_empty() && !recv.is_end_stream() => {}
                Some(Ok(data)) => return Poll::Ready(Ok(Some(Frame::Data(data)))),
                Some(Err(error)) => return Poll::Ready(Err(of_h2(&error))),
                None => break,
            }
        }
        let trailers = ready!(recv.poll_trailers(cx)).map_err(|error| of_h2(&error))?;
        self.recv = None;
        Poll::Ready(Ok(trailers.map(Frame::Trailers)))
    }

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
        last: bool,
    ) -> Poll<Result<(), Failure>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Err(Failure::UpstreamReset)) };
        if chunk.is_empty() && last {
            self.ended = true;
            return Poll::Ready(send.send_data(Bytes::new(), true).map_err(|error| of_h2(&error)));
        }
        while !chunk.is_empty() {
            send.reserve_capacity(chunk.len());
            while send.capacity() == 0 {
                self.waits = true;
                match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(of_h2(&error))),
                    None => return Poll::Ready(Err(Failure::UpstreamReset)),
                }
            }
            self.waits = false;
            let part = chunk.split_to(send.capacity().min(chunk.len()));
            self.ended = last && chunk.is_empty();
            send.send_data(part, self.ended).map_err(|error| of_h2(&error))?;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
        let Some(send) = self.send.as_mut().filter(|_| !self.ended) else { return Ok(()) };
        self.ended = true;
        match trailers {
            Some(trailers) => send.send_trailers(trailers.clone()),
            None => send.send_data(Bytes::new(), true),
        }
        .map_err(|error| of_h2(&error))
    }

    /// Resets both halves.
    pub(crate) fn reset(&mut self, reason: h2::Reason) {
        if let Some(send) = &mut self.send {
            send.send_reset(reason);
        }
        self.recv = None;
    }
}

impl Pump {
    /// Everything was read and written.
    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Everything was read from the source.
    pub(crate) fn is_read(&self) -> bool {
        self.last || self.stage != Stage::Reading
    }

    /// A pump for a message that has no body: only the flush is left.
    pub(crate) fn flush_only() -> Self {
        Pump { stage: Stage::Flushing, empty: true, ..Pump::default() }
    }

    /// A pump for a body that was read before.
    pub(crate) fn again(replay: Replay) -> Self {
        Pump { replay: Some(replay), ..Pump::default() }
    }

    /// Writes it all again to another sink.
    pub(crate) fn rewind(&mut self) {
        self.stage = if self.empty { Stage::Flushing } else { Stage::Reading };
        self.chunk = Bytes::new();
        self.last = false;
        if let Some(replay) = &mut self.replay {
            replay.rewind();
        }
    }

    /// Moves what can be moved now.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side<'_>,
        to: &mut Side<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            match self.stage {
                Stage::Reading if !self.chunk.is_empty() => {
                    let size = self.chunk.len();
                    ready!(to.poll_data(cx, &mut self.chunk, self.last)).map_err(Broken::Sink)?;
                    from.release(size);
                    if self.last {
                        self.stage = Stage::Ending;
                    }
                }
                Stage::Reading => match self.poll_next(cx, from) {
                    Poll::Pending => {
                        // What is here goes out before we wait for more.
                        if let Poll::Ready(Err(failure)) = to.poll_flush(cx) {
                            return Poll::Ready(Err(Broken::Sink(failure)));
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(next) => self.take(next.map_err(Broken::Source)?, from),
                },
                Stage::Ending => {
                    ready!(to.poll_finish(cx, self.trailers.as_ref())).map_err(Broken::Sink)?;
                    self.stage = Stage::Flushing;
                }
                Stage::Flushing => {
                    ready!(to.poll_flush(cx)).map_err(Broken::Sink)?;
                    self.stage = Stage::Done;
                }
                Stage::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, from: &mut Side<'_>) -> Poll<Result<Next, Failure>> {
        if let Some(replay) = &mut self.replay
            && let Some(next) = replay.next()
        {
            return Poll::Ready(Ok(Next::Again(next)));
        }
        from.poll_frame(cx).map_ok(|frame| frame.map_or(Next::End, Next::New))
    }

    fn take(&mut self, next: Next, from: &Side<'_>) {
        self.progress = self.progress.wrapping_add(1);
        match next {
            Next::New(Frame::Data(data)) => {
                self.bytes += data.len() as u64;
                if let Some(grpc) = &mut self.grpc {
                    grpc.count(&data);
                }
                self.last = from.is_read();
                if let Some(replay) = &mut self.replay {
                    replay.keep(&data, self.last);
                }
                self.stage = if data.is_empty() && self.last { Stage::Ending } else { Stage::Reading };
                self.chunk = data;
            }
            Next::Again((data, last)) => {
                self.last = last && self.trailers.is_none();
                self.chunk = data;
            }
            Next::New(Frame::Trailers(trailers)) => {
                self.trailers = Some(trailers);
                self.end();
            }
            Next::End => self.end(),
        }
    }

    fn end(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.complete = true;
        }
        self.stage = Stage::Ending;
    }
}

/// What is pumped next: fresh from the source, or again for another attempt.
enum Next {
    New(Frame),
    Again((Bytes, bool)),
    End,
}

/// Counts the length-prefixed messages of a gRPC body.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) count: u64,
    /// Bytes of the current message that are still to come.
    left: u64,
    prefix: [u8; 5],
    filled: usize,
}

impl Messages {
    fn count(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let n = self.left.min(data.len() as u64) as usize;
                self.left -= n as u64;
                data = &data[n..];
                continue;
            }
            let n = (self.prefix.len() - self.filled).min(data.len());
            self.prefix[self.filled..self.filled + n].copy_from_slice(&data[..n]);
            self.filled += n;
            data = &data[n..];
            if self.filled == self.prefix.len() {
                let [_, a, b, c, d] = self.prefix;
                self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
                self.filled = 0;
                self.count += 1;
            }
        }
    }
}

/// What an error of the HTTP/1.1 codec means for the side it came from.
pub(crate) fn of_h1(error: &h1::Error) -> Failure {
    match error {
        h1::Error::Refused(_) => Failure::UpstreamProtocol,
        h1::Error::Closed | h1::Error::Io(_) => Failure::UpstreamReset,
    }
}

/// What an error of HTTP/2 means for the side it came from.
pub(crate) fn of_h2(error: &h2::Error) -> Failure {
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => Failure::UpstreamRefused,
        Some(_) if error.is_go_away() && error.is_remote() => Failure::UpstreamReset,
        Some(_) if error.is_remote() => Failure::UpstreamRemoteReset,
        Some(_) if error.is_library() => Failure::UpstreamProtocol,
        _ => Failure::UpstreamReset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_over_any_split() {
        let body = [&[0u8, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[1, 0, 0, 1, 0], &[7; 256]].concat();
        for size in [1, 2, 5, 7, 100, body.len()] {
            let mut messages = Messages::default();
            body.chunks(size).for_each(|part| messages.count(part));
            assert_eq!(messages.count, 3, "in pieces of {size}");
        }
    }
}
