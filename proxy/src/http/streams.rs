//! One HTTP/2 connection: a task for each of its streams, and the task that moves its frames and ends it.
//!
//! In: a session and its stream, from `connection`. Out: one call of `serve::exchange` per request. Who floods, hides
//! behind an unread socket, or takes back what it asks for is sent away with ENHANCE_YOUR_CALM and counted by reason;
//! the rules are in `io::frames`, in the codec, and here for requests that are taken back.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Version, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::body::Stream2;
use super::connection::Probe;
use super::context::Session;
use super::down::Down;
use super::head::Arrived;
use super::malformed::is_malformed;
use super::serve::exchange;
use super::timeout::{Deadline, Watchdog};
use super::up::{announced, head_size};
use crate::h1::{self, Length};
use crate::io::{Flood, Guard, Guarded};
use crate::overload::Action;

/// What waits to be sent on one stream; beyond it its upstream waits. Times the streams of a connection, it bounds what
/// a client that does not read makes us hold.
const SEND_BUFFER: usize = 128 * 1024;
/// Input that a connection that was sent away may still have under way.
const WASTE: usize = 256 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(session: Rc<Session>, conn: h1::Conn) {
    let (mut stream, ahead) = conn.into_parts();
    stream.gather(&session.worker.flusher);
    let options = session.http.h2;
    let (io, guard) = Guarded::server(stream, ahead, options.frames);
    let handshake = h2::server::Builder::new()
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(options.connection())
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_header_list_size(session.http.max_request_head as u32)
        .header_table_size(options.header_table)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(io);
    let Some(Ok(connection)) = begun(&session, handshake).await else { return };
    let mut frames = Frames::new(session.clone(), connection, guard.clone());
    let failed = frames.run().await;
    let aborted = frames.aborted;
    drop(frames);
    if let Some(flood) = guard.reason() {
        session.worker.overload.note_flood(flood);
        tracing::debug!(peer = %session.conn.peer, why = flood.names().0, "connection closed");
    } else if let Some(error) = &failed {
        tracing::debug!(peer = %session.conn.peer, %error, "connection ended");
    }
    // Who was told why we leave should be able to read it.
    if aborted || failed.is_some_and(|error| error.is_library()) {
        linger(&guard, session.http.delayed_close).await;
    }
}

/// The client's preface must come as soon as a head must, or a request.
async fn begun<F: Future>(session: &Session, handshake: F) -> Option<F::Output> {
    let http = &session.http;
    let mut due = Deadline::default();
    due.set(if http.request_headers_timeout.is_zero() {
        http.idle_timeout
    } else {
        http.request_headers_timeout
    });
    let mut handshake = pin!(handshake);
    poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Pending if due.poll(cx).is_ready() => Poll::Ready(None),
        other => other.map(Some),
    })
    .await
}

/// Ends our side, and reads a little so that a reset does not overtake our last words.
async fn linger(guard: &Guard, most: Duration) {
    let Some(mut stream) = guard.take() else { return };
    let work = async {
        stream.shutdown().await?;
        let (mut waste, mut left) = ([0u8; 2048], WASTE);
        while left > 0 {
            match stream.read(&mut waste).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        std::io::Result::Ok(())
    };
    // Either way the connection is over.
    drop(tokio::time::timeout(most, work).await);
}

/// The streams of a connection, counted.
#[derive(Default)]
struct Streams {
    open: Cell<u32>,
    closed: Cell<u32>,
    /// Taken back early.
    premature: Cell<u32>,
}

/// The frames of a connection and the clocks over it.
struct Frames {
    session: Rc<Session>,
    connection: Connection<Guarded, Bytes>,
    guard: Rc<Guard>,
    streams: Rc<Streams>,
    /// No new streams.
    ending: bool,
    /// Neither streams nor frames are waited for.
    aborted: bool,
    idle: Watchdog,
    /// `max_connection_duration`
    age: Deadline,
    /// A head that has begun must be complete by then.
    head: Deadline,
    /// The connection is over by then, whether the client takes part or not.
    end: Deadline,
}

/// A stream that a client opened.
type Opened = (Request<RecvStream>, SendResponse<Bytes>);

impl Frames {
    fn new(session: Rc<Session>, connection: Connection<Guarded, Bytes>, guard: Rc<Guard>) -> Self {
        let mut idle = Watchdog::new();
        idle.start(session.http.idle_timeout);
        let mut age = Deadline::default();
        age.set(session.http.max_connection_duration);
        Frames {
            session,
            connection,
            guard,
            streams: Rc::default(),
            ending: false,
            aborted: false,
            idle,
            age,
            head: Deadline::default(),
            end: Deadline::default(),
        }
    }

    /// To the end; an error of the connection is returned.
    async fn run(&mut self) -> Option<h2::Error> {
        let mut drain = self.session.drain.clone();
        let mut draining = pin!(drain.graceful());
        let mut probe = Probe::new(&self.session);
        loop {
            let next = poll_fn(|cx| self.poll(cx, &mut probe, draining.as_mut())).await;
            let (request, respond) = match next {
                Some(Ok(opened)) => opened,
                Some(Err(error)) => return Some(error),
                None => return None,
            };
            self.idle.touch();
            if !self.ending && self.session.worker.overload.is(Action::DisableKeepalive) {
                self.session.worker.overload.keepalives.fetch_add(1, Ordering::Relaxed);
                self.leave();
            }
            let place = Place::new(self.streams.clone());
            let (session, guard) = (self.session.clone(), self.guard.clone());
            tokio::task::spawn_local(async move {
                if serve_stream(&session, request, respond).await && place.is_premature(&session) {
                    guard.set_flood(Flood::PrematureResets);
                }
            });
        }
    }

    /// Moves frames; the next stream, or the end.
    fn poll<F: Future<Output = ()>>(
        &mut self,
        cx: &mut Context<'_>,
        probe: &mut Probe,
        draining: Pin<&mut F>,
    ) -> Poll<Option<Result<Opened, h2::Error>>> {
        self.guard.turn();
        if !self.ending && (probe.poll(cx, draining) || self.age.poll(cx).is_ready()) {
            self.leave();
        }
        if self.guard.flood().is_some() {
            self.abort();
        }
        if let Poll::Ready(next) = self.connection.poll_accept(cx) {
            return Poll::Ready(next);
        }
        if self.guard.flood().is_some() && !self.aborted {
            self.abort();
            cx.waker().wake_by_ref();
        }
        if self.is_head_late(cx) {
            self.session.worker.overload.slow_heads.fetch_add(1, Ordering::Relaxed);
            self.abort();
            cx.waker().wake_by_ref();
        }
        let open = self.streams.open.get() > 0;
        if open {
            self.idle.touch();
        }
        if !self.ending && self.idle.poll(cx).is_ready() {
            if open {
                self.idle.touch();
            } else {
                self.leave();
            }
            cx.waker().wake_by_ref();
        }
        // A client that neither reads nor goes must not keep what is over.
        if self.ending && (self.aborted || !open) && !self.end.is_set() {
            let http = &self.session.http;
            let most = if self.aborted { http.delayed_close } else { http.drain_timeout };
            self.end.set(most.max(Duration::from_millis(1)));
        }
        if self.end.poll(cx).is_ready() {
            match self.streams.open.get() > 0 && !self.aborted {
                true => self.end.clear(),
                false => return Poll::Ready(None),
            }
        }
        Poll::Pending
    }

    /// No new streams; those that are there go on.
    fn leave(&mut self) {
        self.ending = true;
        self.connection.graceful_shutdown();
    }

    /// The end for all streams.
    fn abort(&mut self) {
        if !self.aborted {
            self.ending = true;
            self.aborted = true;
            self.end.clear();
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
    }

    fn is_head_late(&mut self, cx: &mut Context<'_>) -> bool {
        match (self.guard.is_in_head(), self.head.is_set()) {
            (true, false) => self.head.set(self.session.http.request_headers_timeout),
            (false, true) => self.head.clear(),
            _ => {}
        }
        !self.aborted && self.head.poll(cx).is_ready()
    }
}

/// One stream's place among them.
struct Place(Rc<Streams>);

impl Place {
    fn new(streams: Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Place(streams)
    }

    /// Counts this one as taken back early; whether they are too many. As Envoy counts: half of all streams, once there
    /// were enough, or as soon as it can only become half.
    fn is_premature(&self, session: &Session) -> bool {
        let premature = self.0.premature.get() + 1;
        self.0.premature.set(premature);
        let least = session.worker.overload.plan().premature_streams;
        premature.saturating_mul(2) >= least.max(self.0.closed.get() + 1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.set(self.0.closed.get().saturating_add(1));
    }
}

/// Serves one stream; true: its client took it back early.
async fn serve_stream(session: &Session, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> bool {
    let (mut parts, body) = request.into_parts();
    let malformed = is_malformed(&parts);
    let ended = body.is_end_stream();
    let length = match (ended, announced(&parts.headers)) {
        (true, _) => Length::None,
        (false, Some(length)) => Length::Fixed(length),
        (false, None) => Length::Chunked,
    };
    join_cookies(&mut parts.headers);
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str().into(),
        None => only_host(&parts.headers).into(),
    };
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let head_bytes = head_size(&parts.headers) + path.len();
    let arrived = Arrived {
        authority,
        path: path.into(),
        method: parts.method,
        version: Version::HTTP_2,
        headers: parts.headers,
        length,
        head_bytes,
        malformed,
    };
    let stream = Stream2::reading((!ended).then_some(body));
    let mut down = Down::H2 { respond, stream };
    let begun = Instant::now();
    // Boxed, so that the task is made small and not moved about with the room of an exchange.
    let ended = Box::pin(exchange(session, &mut down, arrived, &mut Watchdog::since(begun))).await;
    down.is_unanswered() && ended.saturating_duration_since(begun) < session.worker.overload.plan().premature
}

/// The one `host`; empty where there is none, or where two leave a choice.
fn only_host(headers: &http::HeaderMap) -> &str {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    }
}

/// HTTP/2 may split `cookie` into several fields, which HTTP/1.1 and applications want as one.
fn join_cookies(headers: &mut http::HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut joined = BytesMut::new();
    for crumb in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    if joined.is_empty() {
        headers.remove(header::COOKIE);
    } else if let Ok(value) = http::HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(header::COOKIE, value);
    }
}
