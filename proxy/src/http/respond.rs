//! Answers that the proxy makes itself, in Envoy's words, and what every response gets on its way out.
//!
//! In: a [`Reply`]; or the headers of a response that goes down. Out: the answer, in gRPC's form for gRPC requests;
//! `server`, `date` and the like set or kept. Called by `serve` and `relay`.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::ready;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::context::{Exchange, Reply, Session};
use super::down::Down;
use super::timeout::Watchdog;
use crate::fail::Failure;
use crate::h1::{self, Length};

const PEER_ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");
const PEER: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Sends an answer of our own.
pub(crate) async fn send(
    session: &Session,
    exchange: &mut Exchange,
    down: &mut Down<'_>,
    reply: Reply,
    dog: &mut Watchdog,
) {
    // What went before may have run the clock down.
    dog.start(session.http.stream_idle_timeout);
    if let Some(failure) = reply.failure {
        exchange.note(failure);
    }
    exchange.facts.details = Some(reply.details.clone());
    let unread = match down {
        Down::H1 { conn, .. } => !conn.is_read(),
        Down::H2 { .. } => false,
    };
    // What comes after a request for another protocol is not HTTP.
    let switches = exchange.upgrade.is_some() || exchange.facts.method == Method::CONNECT;
    if reply.last || unread || switches || session.is_ending() {
        down.set_last();
    }
    let (status, mut headers, mut body) = shape(exchange, reply);
    if let Some((cors, origin)) = &exchange.cors {
        crate::filter::respond(&session.http.filters, Some(cors), Some(origin), &mut headers);
    }
    finish_headers(session, exchange, &mut headers);
    exchange.facts.status = status.as_u16();
    let head = exchange.facts.method == Method::HEAD;
    let length = match (head, status) {
        (true, _) | (_, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Length::None,
        _ => Length::Fixed(body.len() as u64),
    };
    if head {
        body = Bytes::new();
    }
    exchange.answered = true;
    exchange.facts.bytes_sent = body.len() as u64;
    let sent = down.send_head(status, &headers, length, false);
    exchange.facts.response_headers = headers;
    if sent.is_err() || write(down, body, length, dog).await.is_err() {
        exchange.note(Failure::DownstreamReset);
        down.abort();
    }
}

/// Answers bytes that were no request; there are no facts but the status.
pub(crate) async fn send_refusal(
    session: &Session,
    conn: &mut h1::Conn,
    status: StatusCode,
    text: &'static str,
) {
    let mut headers = HeaderMap::new();
    headers.insert(header::DATE, date(SystemTime::now()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let (false, Ok(server)) =
        (session.http.server_name.is_empty(), HeaderValue::from_str(&session.http.server_name))
    {
        headers.insert(header::SERVER, server);
    }
    let mut body = Bytes::from_static(text.as_bytes());
    let length = Length::Fixed(body.len() as u64);
    conn.write_response(status, http::Version::HTTP_11, &headers, length, None);
    // The connection ends here whether this arrives or not.
    std::future::poll_fn(|cx| conn.poll_data(cx, &mut body)).await.ok();
}

async fn write(
    down: &mut Down<'_>,
    mut body: Bytes,
    length: Length,
    dog: &mut Watchdog,
) -> Result<(), Failure> {
    let mut written = length.is_empty();
    std::future::poll_fn(|cx| {
        if dog.poll(cx).is_ready() {
            return std::task::Poll::Ready(Err(Failure::IdleTimeout));
        }
        if !written {
            ready!(down.write_last(cx, &mut body))?;
            written = true;
        }
        down.side().poll_flush(cx)
    })
    .await
}

/// Status, headers and body; for gRPC the status goes into headers.
fn shape(exchange: &mut Exchange, reply: Reply) -> (StatusCode, HeaderMap, Bytes) {
    let mut headers = reply.headers;
    if exchange.facts.grpc {
        let code = reply.grpc.unwrap_or_else(|| grpc_of_http(reply.status));
        exchange.facts.grpc_status = Some(code);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from(code));
        if !reply.body.is_empty()
            && let Ok(message) = HeaderValue::try_from(percent_encoded(&reply.body))
        {
            headers.insert(GRPC_MESSAGE, message);
        }
        return (StatusCode::OK, headers, Bytes::new());
    }
    if !reply.body.is_empty() {
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    }
    (reply.status, headers, reply.body)
}

/// What every response gets: `date`, `server`, and our metadata for a peer that sent its own.
pub(crate) fn finish_headers(session: &Session, exchange: &Exchange, headers: &mut HeaderMap) {
    if !headers.contains_key(header::DATE) {
        headers.insert(header::DATE, date(exchange.facts.start_wall));
    }
    let http = &*session.http;
    if !http.server_pass_through && !http.server_name.is_empty() {
        thread_local! {
            static LAST: RefCell<(std::sync::Arc<str>, HeaderValue)> =
                RefCell::new(("".into(), HeaderValue::from_static("")));
        }
        let value = LAST.with_borrow_mut(|last| {
            if last.0 != http.server_name {
                let value = HeaderValue::from_str(&http.server_name);
                *last = (http.server_name.clone(), value.unwrap_or(HeaderValue::from_static("envoy")));
            }
            last.1.clone()
        });
        headers.insert(header::SERVER, value);
    }
    let propagates = session.peers.as_ref().is_some_and(|peers| peers.downstream_propagation);
    if propagates && exchange.peer_asked {
        headers.insert(PEER_ID, session.worker.node.peer_id.clone());
        headers.insert(PEER, session.worker.node.peer_metadata.clone());
    }
}

/// The `date` of a response; the text is made once a second.
fn date(now: SystemTime) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> =
            const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
    }
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|last| {
        if last.0 != second {
            let text = jiff::Timestamp::from_second(second as i64)
                .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            let value = text.ok().and_then(|text| HeaderValue::try_from(text).ok());
            *last = (second, value.unwrap_or(HeaderValue::from_static("")));
        }
        last.1.clone()
    })
}

/// gRPC's mapping of HTTP statuses.
fn grpc_of_http(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

fn percent_encoded(text: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' '..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// The body of a 503 after a failed attempt.
pub(crate) fn reset_text(failure: Failure, retried: bool) -> String {
    let what = match failure {
        Failure::ConnectFailure => "remote connection failure",
        Failure::ConnectTimeout => "connection timeout",
        Failure::UpstreamRefused => "remote refused stream reset",
        Failure::UpstreamRemoteReset => "remote reset",
        Failure::UpstreamProtocol => "protocol error",
        Failure::Overflow => "overflow",
        _ => "connection termination",
    };
    let latest = if retried { "retried and the latest reset reason" } else { "reset reason" };
    format!("upstream connect error or disconnect/reset before headers. {latest}: {what}")
}

/// `%RESPONSE_CODE_DETAILS%` of a failed attempt, with what the transport said. It stays out of the body, since
/// clients need not know how our side is built.
pub(crate) fn reset_details(failure: Failure, reason: Option<&str>) -> Arc<str> {
    let details = failure.row().details;
    match (reason, details.strip_suffix('}')) {
        (Some(reason), Some(start)) => {
            format!("{start}|{}}}", reason.replace(char::is_whitespace, "_")).into()
        }
        _ => details.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(
            reset_text(Failure::ConnectFailure, false),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        );
        assert_eq!(
            &*reset_details(Failure::ConnectFailure, Some("delayed connect error: Connection refused")),
            "upstream_reset_before_response_started{remote_connection_failure|\
             delayed_connect_error:_Connection_refused}"
        );
        assert_eq!(date(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(percent_encoded("a%b\n\u{e9}".as_bytes()), "a%25b%0A%C3%A9");
        assert_eq!(grpc_of_http(StatusCode::SERVICE_UNAVAILABLE), 14);
    }
}
