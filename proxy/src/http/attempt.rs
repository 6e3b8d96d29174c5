//! One attempt: pick an endpoint, check a connection out, send the head, and move the request's body until the
//! response's head is there, or something else happens first.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::Poll;

use http::{HeaderName, HeaderValue, Version};
use tokio::time::Instant;

use super::body::{Broken, Pump};
use super::context::{Exchange, Reply, Session, Stop};
use super::down::Down;
use super::retry::Retries;
use super::timeout::{Deadline, Limits, Watchdog};
use super::up::{Answer, Outgoing, Up};
use crate::balance::Hint;
use crate::cluster::{Limit, Outcome, Permit};
use crate::config::{Cluster, Discovery, Endpoint, EndpointAddress, UpstreamHttp};
use crate::fail::Failure;
use crate::pool::{Lane, Want, checkout};
use crate::router::{ForwardTo, host_without_port};
use crate::upstream::{NotOpen, report, transport};
use crate::worker::millis_at;

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const ORIGINAL_DST: HeaderName = HeaderName::from_static("x-envoy-original-dst-host");

/// What all attempts of a request share.
pub(crate) struct Call {
    pub(crate) to: Box<ForwardTo>,
    pub(crate) limits: Limits,
    pub(crate) retries: Retries,
    pub(crate) upload: Pump,
    /// The upload broke at the upstream; its answer may still come.
    pub(crate) upload_broken: bool,
    pub(crate) whole: Deadline,
    /// The request must be complete by then (`request_timeout`).
    pub(crate) receive: Deadline,
    pub(crate) hash: Option<u64>,
    /// Endpoints of earlier attempts.
    pub(crate) tried: Vec<Arc<Endpoint>>,
    /// When the request was complete.
    pub(crate) complete: Option<Instant>,
    /// Safe repetitions that no policy counts.
    pub(crate) spare: u32,
}

impl Call {
    /// Makes ready for another attempt: the body is sent from its start.
    pub(crate) fn rewind(&mut self) {
        self.upload.rewind();
        self.upload_broken = false;
    }
}

/// The clocks of one attempt.
pub(crate) struct PerTry {
    limit: Deadline,
    idle: Watchdog,
}

impl PerTry {
    fn new(call: &Call, now: Instant) -> Self {
        let mut clocks = PerTry::off(now);
        clocks.limit.set(call.limits.per_try);
        if let Some(policy) = call.retries.policy() {
            clocks.idle.start_at(policy.per_try_idle_timeout, now);
        }
        clocks
    }

    /// For what is no attempt.
    pub(crate) fn off(now: Instant) -> Self {
        PerTry { limit: Deadline::default(), idle: Watchdog::since(now) }
    }
}

/// A request under way at an upstream; dropping it ends its accounting.
pub(crate) struct Flight {
    pub(crate) up: Up,
    pub(crate) endpoint: Arc<Endpoint>,
    _active: Active,
    _permit: Permit,
}

/// How an attempt ended without a response.
pub(crate) enum Ended {
    /// At the upstream; another may do better.
    Failed { error: NotOpen, sent: bool, again: bool },
    /// The request is over.
    Stop(Stop),
}

/// Counts a request in flight at its endpoint.
struct Active(Arc<Endpoint>);

impl Active {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.state.active.fetch_add(1, Ordering::Relaxed);
        endpoint.state.requests_total.fetch_add(1, Ordering::Relaxed);
        Active(endpoint)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.state.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Flight {
    /// The connection, when the exchange is over.
    pub(crate) fn land(self) -> Up {
        self.up
    }
}

/// Makes one attempt, up to the head of the response.
pub(crate) async fn attempt(
    session: &Session,
    exchange: &mut Exchange,
    down: &mut Down<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
) -> Result<(Flight, Answer), Ended> {
    let failed = |error: NotOpen| Ended::Failed { error, sent: false, again: false };
    let cluster = call.to.cluster.clone();
    let endpoint = pick(session, exchange, call).ok_or_else(|| failed(Failure::NoHealthyUpstream.into()))?;
    exchange.facts.endpoint = Some(endpoint.clone());
    exchange.facts.upstream = match &endpoint.address {
        EndpointAddress::Ip(address) => Some(*address),
        EndpointAddress::Pipe(_) => None,
    };
    let permit = cluster.limits.acquire(Limit::Requests).ok_or_else(|| failed(Failure::Overflow.into()))?;
    let mut per_try = PerTry::new(call, exchange.clock);
    let want = want(session, exchange, &cluster, &endpoint);
    let lease = {
        let checkout = checkout(&session.worker, &want);
        race(down, dog, call, &mut per_try, checkout).await?.map_err(failed)?
    };
    if call.to.host.attempt_count {
        let count = HeaderValue::from(exchange.facts.attempts);
        exchange.facts.request_headers.insert(ATTEMPT_COUNT, count);
    }
    host_of_endpoint(exchange, call, &endpoint);
    let outgoing = Outgoing {
        method: &exchange.facts.method,
        https: exchange.https,
        authority: &exchange.authority,
        path: &exchange.path,
        headers: &exchange.facts.request_headers,
        length: exchange.length,
        upgrade: exchange.upgrade.is_some(),
        version: exchange.facts.protocol,
    };
    let sent = Up::send(lease, outgoing).await;
    let up =
        sent.map_err(|failure| Ended::Failed { error: failure.into(), sent: false, again: call.spare > 0 })?;
    let active = Active::new(endpoint.clone());
    let mut flight = Flight { up, endpoint, _active: active, _permit: permit };
    note_connection(exchange, &flight);
    let head = head(exchange, down, dog, call, &mut per_try, &mut flight.up).await;
    match head {
        Ok(answer) => Ok((flight, answer)),
        Err(Ended::Failed { error, sent, .. }) => {
            // A connection that was kept for reuse may have ended before it saw this request.
            let again = flight.up.is_reused()
                && error.failure == Failure::UpstreamReset
                && exchange.facts.method.is_idempotent()
                && exchange.upgrade.is_none()
                && call.spare > 0;
            if !again {
                let timeout = error.failure == Failure::UpstreamTimeout;
                report(&session.worker, &cluster, &flight.endpoint, Outcome::LocalFailure { timeout });
                flight.endpoint.state.errors_total.fetch_add(1, Ordering::Relaxed);
            }
            flight.land().abort();
            Err(Ended::Failed { error, sent, again })
        }
        Err(stop) => {
            flight.land().abort();
            Err(stop)
        }
    }
}

fn pick(session: &Session, exchange: &Exchange, call: &Call) -> Option<Arc<Endpoint>> {
    let cluster = &call.to.cluster;
    let mut picker = session.worker.picker.borrow_mut();
    if let Discovery::OriginalDst { use_header, port_override } = cluster.settings.discovery {
        let header = use_header.then(|| exchange.facts.request_headers.get(&ORIGINAL_DST)).flatten();
        let asked = header.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut address = asked.unwrap_or(session.conn.local);
        if let Some(port) = port_override {
            address.set_port(port);
        }
        return Some(picker.original(cluster, address));
    }
    let policy = call.retries.policy().filter(|policy| policy.other_host && !call.tried.is_empty());
    let hint = Hint {
        hash: call.hash,
        avoid: if policy.is_some() { &call.tried } else { &[] },
        again: policy.map_or(0, |policy| policy.host_attempts.max(1)),
        other_priorities: policy.is_some_and(|policy| policy.retry_other_priorities),
    };
    picker.pick(cluster, &hint, millis_at(exchange.clock))
}

/// The protocol and the names of the connection.
pub(crate) fn want<'a>(
    session: &'a Session,
    exchange: &'a Exchange,
    cluster: &'a Arc<Cluster>,
    endpoint: &'a Arc<Endpoint>,
) -> Want<'a> {
    static MESH: LazyLock<[Arc<str>; 3]> =
        LazyLock::new(|| ["istio-http/1.1".into(), "istio".into(), "http/1.1".into()]);
    static PLAIN: LazyLock<[Arc<str>; 1]> = LazyLock::new(|| ["http/1.1".into()]);
    let downstream = exchange.facts.protocol;
    let tls = transport(cluster, endpoint);
    let mut alpn = match tls {
        Some(_) => crate::filter::alpn(&session.http.filters, cluster, downstream),
        None => None,
    };
    let lane = match cluster.settings.http {
        _ if exchange.upgrade.is_some() => Lane::Http1,
        UpstreamHttp::Http1 if cluster.settings.preserve_header_case => Lane::Http1,
        UpstreamHttp::Http2 => Lane::Http2,
        UpstreamHttp::Downstream if downstream == Version::HTTP_2 => Lane::Http2,
        UpstreamHttp::Http1 | UpstreamHttp::Downstream | UpstreamHttp::Auto => Lane::Auto,
    };
    if let (Lane::Http1, Some(tls)) = (lane, tls) {
        // HTTP/2 must not be offered where HTTP/1.1 is needed.
        alpn = match alpn {
            Some(_) => Some(&MESH[..]),
            None if tls.alpn.iter().any(|one| &**one == "h2") => Some(&PLAIN[..]),
            None => None,
        };
    }
    let sni = tls.filter(|tls| tls.auto_sni).map(|_| host_without_port(&exchange.authority));
    Want { cluster, endpoint, lane, alpn, sni, borrowed: session.conn.borrowed }
}

/// `auto_host_rewrite`: the endpoint's own name becomes the host.
fn host_of_endpoint(exchange: &mut Exchange, call: &Call, endpoint: &Endpoint) {
    let rewrite = &call.to.forward().rewrite.host;
    if !matches!(rewrite, crate::config::HostRewrite::Auto) || endpoint.hostname.is_empty() {
        return;
    }
    let mut authority = exchange.authority.to_string();
    let headers = &mut exchange.facts.request_headers;
    crate::filter::finish_host(&call.to, &endpoint.hostname, &mut authority, headers);
    exchange.authority = authority.into();
}

fn note_connection(exchange: &mut Exchange, flight: &Flight) {
    let opened = flight.up.opened();
    exchange.facts.upstream = opened.peer;
    exchange.facts.upstream_local = opened.local;
    exchange.facts.upstream_tls.clone_from(&opened.tls);
    if !flight.up.is_reused() {
        exchange.clock = Instant::now();
    }
    exchange.facts.upstream_started = Some(exchange.clock.into_std());
}

/// Runs `work` unless the client goes or a clock runs out first. Nothing is read from the request's body here.
pub(crate) async fn race<F: Future>(
    down: &mut Down<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
    per_try: &mut PerTry,
    work: F,
) -> Result<F::Output, Ended> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if call.upload.is_read() && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Ended::Stop(Stop::Gone(Failure::DownstreamReset))));
        }
        match clocks(cx, dog, call, per_try, false) {
            Some(ended) => Poll::Ready(Err(ended)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Looks at all clocks.
fn clocks(
    cx: &mut std::task::Context<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
    per_try: &mut PerTry,
    sent: bool,
) -> Option<Ended> {
    if call.whole.poll(cx).is_ready() {
        return Some(Ended::Stop(timed_out()));
    }
    if call.receive.poll(cx).is_ready() {
        let mut reply = Reply::failure(Failure::RequestTimeout, "request timeout");
        reply.last = true;
        return Some(Ended::Stop(reply.into()));
    }
    if per_try.limit.poll(cx).is_ready() || per_try.idle.poll(cx).is_ready() {
        return Some(Ended::Failed { error: Failure::UpstreamTimeout.into(), sent, again: false });
    }
    let idle = dog.poll(cx).is_ready();
    idle.then(|| Ended::Stop(idle_reply(call.upload.is_read())))
}

/// Moves the body up until the head comes down.
async fn head(
    exchange: &mut Exchange,
    down: &mut Down<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
    per_try: &mut PerTry,
    up: &mut Up,
) -> Result<Answer, Ended> {
    let mut progress = call.upload.progress;
    poll_fn(|cx| {
        if !call.upload.is_done() && !call.upload_broken {
            let pumped = call.upload.poll(cx, &mut down.side(), &mut up.side());
            up.note_window();
            match pumped {
                Poll::Ready(Err(Broken::Source(failure))) => {
                    return Poll::Ready(Err(Ended::Stop(broken_request(failure, down))));
                }
                Poll::Ready(Err(Broken::Sink(_))) => call.upload_broken = true,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if progress != call.upload.progress {
                progress = call.upload.progress;
                dog.touch();
                per_try.idle.touch();
            }
            if call.complete.is_none() && call.upload.is_read() {
                call.complete = Some(Instant::now());
                call.whole.set(call.limits.whole);
                call.receive.clear();
            }
        }
        let mut interim = false;
        let answered = up.poll_head(cx, &exchange.facts.method, &mut interim);
        if interim && std::mem::take(&mut exchange.expects) {
            down.allow_body();
        }
        // A write error comes back with the response.
        let _ignored = down.side().poll_flush(cx);
        match answered {
            Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
            Poll::Ready(Err(failure)) => {
                return Poll::Ready(Err(Ended::Failed { error: failure.into(), sent: true, again: false }));
            }
            Poll::Pending => {}
        }
        if call.upload.is_read() && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Ended::Stop(Stop::Gone(Failure::DownstreamReset))));
        }
        match clocks(cx, dog, call, per_try, true) {
            Some(ended) => Poll::Ready(Err(ended)),
            None => Poll::Pending,
        }
    })
    .await
}

/// What a broken request means, which the codec reports as if it were an upstream.
pub(crate) fn client_failure(failure: Failure, down: &Down<'_>) -> Failure {
    match failure {
        Failure::UpstreamProtocol if matches!(down, Down::H2 { .. }) => Failure::DownstreamStream,
        Failure::UpstreamProtocol => Failure::DownstreamProtocol,
        _ => Failure::DownstreamReset,
    }
}

/// The end of a request whose body cannot be read on: who still listens is told why.
fn broken_request(failure: Failure, down: &Down<'_>) -> Stop {
    match client_failure(failure, down) {
        Failure::DownstreamProtocol => {
            let mut reply = Reply::failure(Failure::DownstreamProtocol, "Bad Request");
            if let Down::H1 { conn, .. } = down
                && let Some(refusal) = conn.refusal()
                && let Ok(status) = http::StatusCode::from_u16(refusal.status)
            {
                let body = status.canonical_reason().unwrap_or_default();
                (reply.status, reply.body, reply.details) = (status, body.into(), refusal.details().into());
            }
            Reply { last: true, ..reply }.into()
        }
        failure => Stop::Gone(failure),
    }
}

pub(crate) fn timed_out() -> Stop {
    Reply::failure(Failure::UpstreamTimeout, "upstream request timeout").into()
}

/// Silence: of the upstream where the request is complete, else of the client.
fn idle_reply(complete: bool) -> Stop {
    let mut reply = Reply::failure(Failure::IdleTimeout, "stream timeout");
    if complete {
        reply.status = http::StatusCode::GATEWAY_TIMEOUT;
    }
    // What is left of half a request cannot be told from the next one.
    reply.last = !complete;
    reply.into()
}
