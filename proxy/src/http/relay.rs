//! From the response's head to its end: the head is finished and sent, both bodies move until the response is
//! complete. For a protocol switch the bodies are the tunnel.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use super::attempt::{Call, Flight, client_failure};
use super::body::{Broken, Messages, Pump};
use super::context::{Exchange, Session, Stop, WORDS};
use super::down::Down;
use super::head::strip_response;
use super::marks::Marks;
use super::timeout::Watchdog;
use super::up::Answer;
use super::{respond, route};
use crate::fail::Failure;
use crate::h1::Length;

const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const PEER_ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");
const PEER: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");

/// Gives the client the response of the last attempt.
pub(crate) async fn relay(
    session: &Session,
    exchange: &mut Exchange,
    down: &mut Down<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
    (mut flight, answer): (Flight, Answer),
) -> Result<(), Stop> {
    let switch = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    let Answer { status, mut headers, length, head_bytes } = answer;
    if switch && exchange.upgrade.is_none() {
        flight.land().abort();
        let text = respond::reset_text(Failure::UpstreamProtocol, false);
        return Err(super::context::Reply::failure(Failure::UpstreamProtocol, text).into());
    }
    finish_head(session, exchange, call, &mut headers, switch);
    exchange.facts.response_head_bytes = head_bytes as u64;
    exchange.facts.status = status.as_u16();
    exchange.facts.details = Some(WORDS.with(|words| words.via_upstream.clone()));
    if exchange.facts.grpc {
        exchange.facts.grpc_status = grpc_status(&headers);
    }
    // A client that asked for another protocol may speak it already.
    if (session.is_ending() || exchange.upgrade.is_some()) && !switch {
        down.set_last();
    }
    let framing = down.framing(length);
    let sent = down.send_head(status, &headers, framing, switch);
    exchange.facts.response_headers = headers;
    exchange.answered = true;
    sent.map_err(Stop::Gone)?;
    if switch {
        // What follows is a stream of its own; only the route may limit its silence.
        dog.start(call.to.forward().idle_timeout.unwrap_or(Duration::ZERO));
        call.upload = Pump::default();
        call.whole.clear();
    }
    let mut download = match length {
        Length::None if !switch => Pump::flush_only(),
        _ => Pump::default(),
    };
    if exchange.facts.grpc {
        download.grpc = Some(Messages::default());
    }
    let ended = pump(down, dog, call, &mut flight, &mut download, switch).await;
    exchange.facts.bytes_sent = download.bytes;
    exchange.facts.response_messages = download.grpc.as_ref().map_or(0, |grpc| grpc.count);
    if let Some(trailers) = download.trailers {
        exchange.facts.grpc_status = grpc_status(&trailers).or(exchange.facts.grpc_status);
        exchange.facts.trailers = trailers;
    }
    if switch && ended.is_ok() && call.upload.is_read() {
        // Of the two ends of a tunnel the client's came first.
        exchange.note(Failure::DownstreamReset);
        exchange.facts.details = Some(Failure::DownstreamReset.row().details.into());
    }
    match ended {
        Ok(()) => flight.land().finish(exchange.clock),
        Err(_) => flight.land().abort(),
    }
    ended
}

async fn pump(
    down: &mut Down<'_>,
    dog: &mut Watchdog,
    call: &mut Call,
    flight: &mut Flight,
    download: &mut Pump,
    switch: bool,
) -> Result<(), Stop> {
    let mut progress = 0;
    poll_fn(|cx| {
        let up = &mut flight.up;
        if !call.upload.is_done() && !call.upload_broken {
            let pumped = call.upload.poll(cx, &mut down.side(), &mut up.side());
            up.note_window();
            match pumped {
                Poll::Ready(Err(Broken::Source(failure))) => {
                    return Poll::Ready(Err(Stop::Gone(client_failure(failure, down))));
                }
                Poll::Ready(Err(Broken::Sink(_))) => call.upload_broken = true,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        match download.poll(cx, &mut up.side(), &mut down.side()) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(Broken::Source(failure))) => {
                let broken = match failure {
                    Failure::UpstreamCut | Failure::UpstreamProtocol => Failure::UpstreamCut,
                    Failure::UpstreamRemoteReset | Failure::UpstreamRefused => Failure::UpstreamResetLate,
                    _ => Failure::UpstreamTermination,
                };
                return Poll::Ready(Err(Stop::Broken(broken)));
            }
            Poll::Ready(Err(Broken::Sink(_))) => {
                return Poll::Ready(Err(Stop::Gone(Failure::DownstreamReset)));
            }
            Poll::Pending => {}
        }
        if call.upload.is_read() && !switch && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Stop::Gone(Failure::DownstreamReset)));
        }
        let moved = call.upload.progress.wrapping_add(download.progress);
        if moved != progress {
            progress = moved;
            dog.touch();
        }
        if call.whole.poll(cx).is_ready() {
            return Poll::Ready(Err(Stop::Broken(Failure::UpstreamTimeout)));
        }
        if dog.poll(cx).is_ready() {
            return Poll::Ready(Err(Stop::Broken(Failure::IdleTimeout)));
        }
        Poll::Pending
    })
    .await
}

/// The response side of the pipeline, on the head.
fn finish_head(
    session: &Session,
    exchange: &mut Exchange,
    call: &Call,
    headers: &mut HeaderMap,
    switch: bool,
) {
    let now = Instant::now();
    exchange.clock = now;
    exchange.facts.upstream_head = Some(now.into_std());
    let marks = Marks::of(headers);
    let upgrade = marks.has(Marks::HOP).then(|| headers.remove(header::UPGRADE)).flatten();
    strip_response(headers, marks);
    if let (true, Some(upgrade)) = (switch, upgrade) {
        headers.insert(header::UPGRADE, upgrade);
    }
    // An answer to half a request says nothing about how long requests take.
    if let (Some(complete), false) = (call.complete, switch || session.http.suppress_envoy_headers) {
        let taken = now.saturating_duration_since(complete);
        headers.insert(SERVICE_TIME, HeaderValue::from(taken.as_millis() as u64));
    } else if marks.has(Marks::ENVOY) {
        headers.remove(&SERVICE_TIME);
    }
    if session.peers.is_some() && marks.has(Marks::ENVOY) {
        let (id, metadata) = (headers.remove(&PEER_ID), headers.remove(&PEER));
        let discovers = session.peers.as_ref().is_some_and(|peers| peers.upstream_discovery);
        if let (true, Some(id), Some(metadata)) = (discovers, id, metadata) {
            let observer = &session.worker.observer;
            exchange.facts.upstream_peer = observer.peer_of_headers(id.as_bytes(), metadata.as_bytes());
        }
    }
    if call.to.host.attempt_count_in_response {
        headers.insert(ATTEMPT_COUNT, HeaderValue::from(exchange.facts.attempts));
    }
    route::response_headers(exchange, &call.to, headers);
    if let Some((cors, origin)) = &exchange.cors {
        crate::filter::respond(&session.http.filters, Some(cors), Some(origin), headers);
    }
    if let Some(cookie) = exchange.set_cookie.take() {
        headers.append(header::SET_COOKIE, cookie);
    }
    respond::finish_headers(session, exchange, headers);
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
