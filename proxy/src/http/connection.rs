//! One HTTP connection: which protocol it speaks, and its requests one after the other or side by side.
//!
//! In: [`Served`], from `listen::admit`. Out: one call of `serve::exchange` per request, with the request as
//! [`Arrived`] whatever the codec. Ends with the connection: idle, drained, broken, or told to close.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::context::Session;
use super::down::Down;
use super::head::Arrived;
use super::serve::exchange;
use super::streams;
use super::timeout::{Deadline, Watchdog};
use crate::config::{Chain, Codec, HttpChain, Listener};
use crate::fail::Failure;
use crate::h1::{self, Peek};
use crate::io::Stream;
use crate::observe::Conn;
use crate::overload::Action;
use crate::worker::Worker;

/// One accepted connection, as `listen` hands it over.
pub struct Served {
    pub stream: Stream,
    pub conn: Arc<Conn>,
    pub listener: Arc<Listener>,
    pub chain: Arc<Chain>,
    /// Ends this connection gracefully: of the process, or of a listener or chain that is gone.
    pub drain: base::drain::Watch,
}

/// Serves HTTP on a connection until it ends or is drained. The codec follows the chain's setting, the agreed
/// ALPN, then the first bytes. Never fails: what goes wrong is in the facts of a request, or nobody's business.
pub fn serve(worker: Rc<Worker>, served: Served, http: Arc<HttpChain>) -> impl Future<Output = ()> {
    let Served { stream, conn, drain, .. } = served;
    // Each in a place of its own: inside of a future there would be room for it at every step that it is handed on.
    let session = Rc::new(Session::new(worker, conn, http, drain));
    let conn = Box::new(h1::Conn::new(stream));
    async move {
        let mut probe = Probe::new(&session);
        let mut watch = session.drain.clone();
        let mut cut = pin!(watch.immediate());
        let mut work = pin!(speak(session, conn));
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Pending if probe.poll(cx, cut.as_mut()) => Poll::Ready(()),
            other => other,
        })
        .await;
    }
}

/// Finds out which protocol it is.
async fn speak(session: Rc<Session>, mut conn: Box<h1::Conn>) {
    let alpn = session.conn.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
    let h2 = match (session.http.codec, alpn) {
        (Codec::Http1, _) => false,
        (Codec::Http2, _) | (Codec::Auto, Some("h2" | "mesh-h2" | "istio-h2")) => true,
        (Codec::Auto, Some("http/1.1" | "istio-http/1.1" | "istio-http/1.0" | "http/1.0")) => false,
        (Codec::Auto, _) => match Box::pin(peek(&session, &mut conn)).await {
            Peek::Closed => return,
            peek => peek == Peek::Http2,
        },
    };
    match h2 {
        true => Box::pin(streams::serve(session, *conn)).await,
        false => serve_h1(session, conn).await,
    }
}

/// Asks whether a drain signal came. The signal itself is polled once, which leaves our waker with it, and again
/// only after something was announced: asking costs one atomic read, not the signal's lock.
pub(super) struct Probe {
    watch: base::drain::Watch,
    armed: bool,
}

impl Probe {
    pub(super) fn new(session: &Session) -> Self {
        Probe { watch: session.drain.clone(), armed: false }
    }

    pub(super) fn poll<F: Future<Output = ()>>(&mut self, cx: &mut Context<'_>, signal: Pin<&mut F>) -> bool {
        if self.armed && !self.watch.is_announced() {
            return false;
        }
        self.armed = true;
        signal.poll(cx).is_ready()
    }
}

/// When a connection that waits for a request goes, once it was told to. A new configuration closes it at once. Where
/// the process leaves, its client may be sending just now, and hears with the next answer that there is no other.
#[derive(Default)]
struct Leaving {
    told: bool,
    due: Option<Deadline>,
}

impl Leaving {
    fn is_due(&mut self, cx: &mut Context<'_>, session: &Session) -> bool {
        if !self.told {
            return false;
        }
        let Some(at) = session.worker.drain.deadline() else { return true };
        let due = self.due.get_or_insert_with(|| {
            let mut due = Deadline::default();
            due.set(at.saturating_duration_since(tokio::time::Instant::now()).max(Duration::from_millis(1)));
            due
        });
        due.poll(cx).is_ready()
    }
}

/// The protocol by its first bytes; who says nothing for as long as an idle connection lives is let go.
async fn peek(session: &Session, conn: &mut h1::Conn) -> Peek {
    let mut drain = session.drain.clone();
    let mut draining = pin!(drain.graceful());
    let mut probe = Probe::new(session);
    let mut idle = Deadline::default();
    idle.set(session.http.idle_timeout);
    let mut began = false;
    poll_fn(|cx| {
        if let Poll::Ready(peek) = conn.poll_peek(cx) {
            return Poll::Ready(peek.unwrap_or(Peek::Closed));
        }
        if conn.has_input() && !began && !session.http.request_headers_timeout.is_zero() {
            began = true;
            idle.set(session.http.request_headers_timeout);
        }
        let over = idle.poll(cx).is_ready() || (!conn.has_input() && probe.poll(cx, draining.as_mut()));
        if over { Poll::Ready(Peek::Closed) } else { Poll::Pending }
    })
    .await
}

/// HTTP/1.1: one exchange at a time, on this task.
async fn serve_h1(session: Rc<Session>, mut conn: Box<h1::Conn>) {
    let http = session.http.clone();
    let limits = h1::Limits {
        max_head: http.max_request_head,
        max_headers: http.max_request_headers,
        accept_http10: http.accept_http10,
    };
    let mut dog = Watchdog::new();
    let mut known = Known::default();
    let mut drain = session.drain.clone();
    let mut draining = pin!(drain.graceful());
    let mut probe = Probe::new(&session);
    let mut leaving = Leaving::default();
    let mut since = Instant::now();
    let mut age = Deadline::default();
    if !http.max_connection_duration.is_zero() {
        // After its time a connection closes with its next answer; one that has none, a little later.
        age.set(http.max_connection_duration + http.drain_timeout);
    }
    loop {
        let next = {
            dog.start_at(http.idle_timeout, since);
            let mut headers_due = Deadline::default();
            let mut began = false;
            poll_fn(|cx| {
                if let Poll::Ready(next) = conn.poll_request(cx, &limits) {
                    return Poll::Ready(Some(next));
                }
                if conn.has_input() && !began {
                    began = true;
                    headers_due.set(http.request_headers_timeout);
                }
                leaving.told |= !leaving.told && probe.poll(cx, draining.as_mut());
                let idle = !began && (leaving.is_due(cx, &session) || age.poll(cx).is_ready());
                if headers_due.poll(cx).is_ready() {
                    return Poll::Ready(Some(Err(h1::Error::Refused(h1::Refusal::LATE))));
                }
                if idle || dog.poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                Poll::Pending
            })
            .await
        };
        let request = match next {
            Some(Ok(Some(request))) => request,
            Some(Err(h1::Error::Refused(refusal))) => {
                return Box::pin(refuse(&session, *conn, refusal)).await;
            }
            Some(Err(h1::Error::Closed)) => return gone(&session),
            Some(Ok(None) | Err(_)) => return,
            None => return Box::pin(conn.close(http.delayed_close)).await,
        };
        if session.is_ending() {
            conn.set_last();
            if session.worker.overload.is(Action::DisableKeepalive) {
                session.worker.overload.keepalives.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Only the first proxy knows that nobody before it took TLS off.
        let first = http.use_remote_address && http.xff_trusted_hops == 0;
        if request.https == Some(true) && first && session.conn.tls.is_none() {
            return Box::pin(refuse(&session, *conn, h1::Refusal::INSECURE)).await;
        }
        let version = request.version;
        let arrived = known.arrived(request);
        let mut down = Down::H1 { conn: &mut conn, version };
        // Boxed, so that a connection that waits does not hold the room of a request.
        since = Box::pin(exchange(&session, &mut down, arrived, &mut dog)).await;
        if !conn.is_reusable() {
            return Box::pin(conn.close(http.delayed_close)).await;
        }
    }
}

/// Texts of the last request: the next one on a connection often has the same.
#[derive(Default)]
struct Known {
    authority: Arc<str>,
    path: Arc<str>,
}

impl Known {
    fn arrived(&mut self, request: h1::Request) -> Arrived {
        let text = |bytes: &Bytes, known: &mut Arc<str>| {
            if known.as_bytes() != &bytes[..] {
                // The codec let only ASCII pass.
                *known = String::from_utf8_lossy(bytes).into();
            }
            known.clone()
        };
        Arrived {
            authority: text(&request.authority, &mut self.authority),
            path: text(&request.path, &mut self.path),
            method: request.method,
            version: request.version,
            headers: request.headers,
            length: request.length,
            head_bytes: request.head_bytes,
            malformed: false,
        }
    }
}

/// Answers a request that could not be read, and closes. There is no exchange, so its facts are made here.
async fn refuse(session: &Session, mut conn: h1::Conn, refusal: h1::Refusal) {
    let status = http::StatusCode::from_u16(refusal.status).unwrap_or(http::StatusCode::BAD_REQUEST);
    tracing::debug!(peer = %session.conn.peer, why = refusal.why, "request refused");
    let late = refusal == h1::Refusal::LATE;
    if late {
        session.worker.overload.slow_heads.fetch_add(1, Ordering::Relaxed);
    }
    // Slow is not wrong.
    let failure = (!late).then_some(Failure::DownstreamProtocol);
    note(session, refusal.status, failure, refusal.details());
    conn.set_last();
    let text = if late { refusal.why } else { status.canonical_reason().unwrap_or_default() };
    super::respond::send_refusal(session, &mut conn, status, text).await;
    conn.close(session.http.delayed_close).await;
}

/// The client went in the middle of a head.
fn gone(session: &Session) {
    note(session, 0, Some(Failure::DownstreamReset), Failure::DownstreamReset.row().details);
}

/// The record of what was no request.
fn note(session: &Session, status: u16, failure: Option<Failure>, details: &str) {
    let mut facts = super::head::blank(session);
    facts.method = http::Method::from_bytes(b"-").unwrap_or_default();
    facts.status = status;
    facts.failures.extend(failure);
    facts.details = Some(details.into());
    facts.ended = Some(std::time::Duration::ZERO);
    session.worker.observer.request(&session.http, &facts);
}
