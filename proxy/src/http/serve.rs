//! The pipeline of one request, from its head to its record. This file is the order in which things happen, and
//! the only place where it is written; each step is a file of its own.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::attempt::{Call, Ended, Flight, PerTry, attempt, race};
use super::body::{Messages, Pump};
use super::context::{Exchange, Reply, Session, Stop};
use super::down::Down;
use super::head::{self, Arrived};
use super::marks::Marks;
use super::replay::Replay;
use super::retry::{Retries, Verdict};
use super::timeout::{Deadline, Limits, Said, Watchdog};
use super::up::Answer;
use super::{mirror, relay, respond, route};
use crate::cluster::Outcome;
use crate::config::Direction;
use crate::fail::Failure;
use crate::filter::Step;
use crate::h1;
use crate::overload::Action;
use crate::upstream::{NotOpen, report};

const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const OPERATION: HeaderName = HeaderName::from_static("x-envoy-decorator-operation");
/// Repetitions on a fresh connection that are safe and that no policy counts.
const SPARE: u32 = 2;

/// Serves one request, and says when it ended. What remains of the connection is the caller's to judge.
pub(crate) async fn exchange(
    session: &Session,
    down: &mut Down<'_>,
    arrived: Arrived,
    dog: &mut Watchdog,
) -> Instant {
    // head
    let (mut exchange, refused) = head::admit(session, arrived);
    if exchange.expects && !session.http.proxy_continue {
        exchange.expects = false;
        down.allow_body();
    }
    dog.start_at(session.http.stream_idle_timeout, exchange.clock);
    let stopped = match refused {
        None if session.worker.overload.is(Action::StopRequests) => Some(overloaded(session)),
        None => pipeline(session, &mut exchange, down, dog).await.err(),
        stopped => stopped,
    };
    match stopped {
        None => {}
        Some(Stop::Reply(reply)) if !exchange.answered => {
            respond::send(session, &mut exchange, down, *reply, dog).await;
        }
        Some(Stop::Reply(_)) => down.abort(),
        Some(Stop::Refused(details)) => {
            exchange.note(Failure::DownstreamProtocol);
            exchange.facts.details = Some(details.into());
            down.refuse();
        }
        Some(Stop::Gone(failure)) => {
            exchange.note(failure);
            exchange.facts.details = Some(failure.row().details.into());
            down.abort();
        }
        Some(Stop::Broken(failure)) => {
            exchange.note(failure);
            exchange.facts.details = Some(failure.row().details.into());
            // What was received goes out before the stream is reset: a reset takes back what is only queued.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            down.abort();
        }
    }
    // record
    let now = Instant::now();
    exchange.facts.ended = Some(now.into_std().saturating_duration_since(exchange.facts.start));
    session.worker.observer.request(&session.http, &exchange.facts);
    for map in [exchange.facts.request_headers, exchange.facts.response_headers] {
        h1::give_map(map);
    }
    now
}

/// The answer while the process takes no new requests.
fn overloaded(session: &Session) -> Stop {
    session.worker.overload.requests.fetch_add(1, Ordering::Relaxed);
    Reply::failure(Failure::Overloaded, "envoy overloaded").into()
}

async fn pipeline(
    session: &Session,
    exchange: &mut Exchange,
    down: &mut Down<'_>,
    dog: &mut Watchdog,
) -> Result<(), Stop> {
    route::read_peer(session, exchange);
    // config, route
    let plan = route::plan(session, exchange);
    // filters
    for step in plan.steps {
        match step {
            Step::Delay(delay) => {
                pause(exchange, down, delay).await?;
                exchange.clock = Instant::now();
            }
            answer => return Err(route::step_reply(exchange, &plan.decision, answer).into()),
        }
    }
    // decide
    let to = route::forwarded(exchange, plan.decision)?;
    head::allow_upgrade(session, exchange, to.forward())
        .map_err(|stop| route::local_reply(exchange, &to, stop))?;
    // action
    route::rewrite(session, exchange, &to);
    decorate(session, exchange);
    let policy = to.forward().retry.as_ref().or(to.host.retry.as_ref());
    let headers = &mut exchange.facts.request_headers;
    let tell = !session.http.suppress_envoy_headers;
    let asks = exchange.marks.has(Marks::ENVOY);
    let said = Said { grpc: exchange.facts.grpc, asks, tell };
    let limits = Limits::of(to.forward(), policy.map(|policy| &**policy), said, headers);
    let retries = if asks { Retries::asked(policy, headers) } else { Retries::new(policy) };
    if let Some(idle) = to.forward().idle_timeout {
        dog.start_at(idle, exchange.clock);
    }
    let empty = exchange.length.is_empty();
    let mut upload = if empty { Pump::flush_only() } else { Pump::default() };
    if !empty && (retries.may_retry() || !plan.copies.is_empty() || exchange.facts.method.is_idempotent()) {
        upload.replay = Some(Replay::default());
    }
    upload.grpc = exchange.facts.grpc.then(Messages::default);
    let mut call = Call {
        to,
        limits,
        retries,
        upload,
        upload_broken: false,
        whole: Deadline::default(),
        receive: Deadline::default(),
        hash: plan.hash,
        tried: Vec::new(),
        complete: empty.then_some(exchange.clock),
        spare: SPARE,
    };
    match empty {
        true => call.whole.set(limits.whole),
        false => call.receive.set(session.http.request_timeout),
    }
    let mut copies = plan.copies;
    mirror::send(session, exchange, &mut copies, &call.upload);
    // attempt
    let ended = attempts(session, exchange, down, dog, &mut call, &mut copies).await;
    mirror::send(session, exchange, &mut copies, &call.upload);
    exchange.facts.bytes_received = call.upload.bytes;
    exchange.facts.request_messages = call.upload.grpc.as_ref().map_or(0, |grpc| grpc.count);
    ended.map_err(|stop| route::local_reply(exchange, &call.to, quiet(session, stop)))
}

/// Takes the header that only this kind of proxy understands off an answer, where the chain wants none.
fn quiet(session: &Session, mut stop: Stop) -> Stop {
    if let (true, Stop::Reply(reply)) = (session.http.suppress_envoy_headers, &mut stop) {
        reply.headers.remove(&OVERLOADED);
    }
    stop
}

/// Attempts until one is final, then relays its response.
async fn attempts(
    session: &Session,
    exchange: &mut Exchange,
    down: &mut Down<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
    copies: &mut Vec<mirror::Copy>,
) -> Result<(), Stop> {
    loop {
        exchange.facts.attempts += 1;
        let (delay, _permit) = match attempt(session, exchange, down, dog, call).await {
            Ok((flight, answer)) => {
                mirror::send(session, exchange, copies, &call.upload);
                match after_answer(session, call, &flight, &answer) {
                    Verdict::Again(delay, permit) => {
                        call.tried.push(flight.endpoint.clone());
                        flight.land().abort();
                        (delay, permit)
                    }
                    verdict => {
                        note_verdict(exchange, &verdict);
                        return relay::relay(session, exchange, down, dog, call, (flight, answer)).await;
                    }
                }
            }
            Err(Ended::Stop(stop)) => return Err(stop),
            Err(Ended::Failed { again: true, .. }) if can_replay(call) => {
                call.spare -= 1;
                exchange.facts.attempts -= 1;
                call.rewind();
                continue;
            }
            Err(Ended::Failed { error, sent, .. }) => {
                exchange.facts.upstream_failure.clone_from(&error.reason);
                match after_failure(session, exchange, call, &error, sent) {
                    Verdict::Again(delay, permit) => (delay, permit),
                    verdict => {
                        note_verdict(exchange, &verdict);
                        return Err(failed(&error, exchange.facts.attempts > 1));
                    }
                }
            }
        };
        wait(down, dog, call, delay).await?;
        exchange.clock = Instant::now();
        call.rewind();
    }
}

fn after_answer(session: &Session, call: &mut Call, flight: &Flight, answer: &Answer) -> Verdict {
    let worker = &session.worker;
    let outcome = Outcome::Status(answer.status.as_u16());
    report(worker, &call.to.cluster, &flight.endpoint, outcome);
    if !can_replay(call) {
        return Verdict::Final;
    }
    let mut picker = worker.picker.borrow_mut();
    call.retries.after_answer(answer.status, &answer.headers, &call.to.cluster, picker.dice())
}

fn after_failure(
    session: &Session,
    exchange: &Exchange,
    call: &mut Call,
    error: &NotOpen,
    sent: bool,
) -> Verdict {
    if !can_replay(call) {
        return Verdict::Final;
    }
    call.tried.extend(exchange.facts.endpoint.clone());
    let mut picker = session.worker.picker.borrow_mut();
    call.retries.after_failure(error.failure, sent, &call.to.cluster, picker.dice())
}

fn can_replay(call: &Call) -> bool {
    match &call.upload.replay {
        Some(replay) => !replay.overflow,
        None => call.upload.bytes == 0,
    }
}

fn note_verdict(exchange: &mut Exchange, verdict: &Verdict) {
    match verdict {
        Verdict::Exhausted => exchange.note(Failure::RetryExhausted),
        Verdict::Overflow => exchange.note(Failure::RetryOverflow),
        Verdict::Final | Verdict::Again(..) => {}
    }
}

/// The answer after the last attempt failed.
fn failed(error: &NotOpen, retried: bool) -> Stop {
    let reply = match error.failure {
        Failure::NoHealthyUpstream => Reply::failure(error.failure, "no healthy upstream"),
        Failure::UpstreamTimeout => {
            let details = "upstream_per_try_timeout".into();
            Reply { details, ..Reply::failure(error.failure, "upstream request timeout") }
        }
        failure => {
            let details = respond::reset_details(failure, error.reason.as_deref());
            let reply = Reply { details, ..Reply::failure(failure, respond::reset_text(failure, retried)) };
            match failure {
                Failure::Overflow => reply.with(OVERLOADED, HeaderValue::from_static("true")),
                _ => reply,
            }
        }
    };
    reply.into()
}

/// A fault's delay; the client may go meanwhile.
async fn pause(exchange: &mut Exchange, down: &mut Down<'_>, delay: Duration) -> Result<(), Stop> {
    exchange.note(Failure::FaultDelay);
    let mut deadline = Deadline::default();
    deadline.set(delay.max(Duration::from_nanos(1)));
    poll_fn(|cx| {
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        down.poll_gone(cx).map(|()| Err(Stop::Gone(Failure::DownstreamReset)))
    })
    .await
}

/// The pause before a retry.
async fn wait(down: &mut Down<'_>, dog: &mut Watchdog, call: &mut Call, delay: Duration) -> Result<(), Stop> {
    let sleep = tokio::time::sleep(delay);
    match race(down, dog, call, &mut PerTry::off(Instant::now()), sleep).await {
        Ok(()) => Ok(()),
        Err(Ended::Stop(stop)) => Err(stop),
        Err(Ended::Failed { error, .. }) => Err(failed(&error, true)),
    }
}

/// Where spans are made, the name of the operation goes on to the next proxy, which names its span by it.
fn decorate(session: &Session, exchange: &mut Exchange) {
    if session.http.tracing.is_none() {
        return;
    }
    let operation = route::operation(exchange);
    let headers = &mut exchange.facts.request_headers;
    let given = exchange.marks.has(Marks::ENVOY).then(|| headers.remove(&OPERATION)).flatten();
    if session.conn.direction == Direction::Outbound {
        let value = operation.and_then(|name| HeaderValue::from_str(&name).ok());
        if let Some(value) = value {
            headers.insert(OPERATION, value);
        }
    } else if let Some(name) = given.as_ref().and_then(|name| name.to_str().ok()) {
        exchange.facts.operation = Some(name.into());
    }
}
