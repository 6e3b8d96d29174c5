//! The head of a request: checked, normalised, stripped of what concerns one hop only, and given its facts.
//!
//! In: a head of either codec. Out: an [`Exchange`], and a [`Stop`] where the request is refused here. This is the
//! first step of the pipeline; nothing after it sees what the client wrote, except as facts.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tokio::time::Instant;

use super::context::{Exchange, Reply, Session, Stop, WORDS};
use super::forwarded;
use super::marks::Marks;
use super::path::{self, Spelling};
use super::up::version_before;
use crate::config::{Forward, HttpChain, Underscores};
use crate::fail::Failure;
use crate::h1::Length;
use crate::observe::{Facts, trace};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// `%RESPONSE_CODE_DETAILS%` of a path without a normal form.
const PATH: &str = "path_normalization_failed";
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request as a codec read it.
pub(crate) struct Arrived {
    pub(crate) method: Method,
    pub(crate) authority: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) length: Length,
    pub(crate) head_bytes: usize,
    /// HTTP/2 only: it breaks a rule that its codec does not know.
    pub(crate) malformed: bool,
}

/// Makes the exchange of a request.
pub(crate) fn admit(session: &Session, arrived: Arrived) -> (Exchange, Option<Stop>) {
    let http = &*session.http;
    let mut headers = arrived.headers;
    let marks = Marks::of(&headers);
    let Hop { upgrade, hostless } = strip_hop_by_hop(&mut headers, marks, arrived.version);
    let authority = if hostless { "".into() } else { arrived.authority };
    let protocol = version_before(session.conn.tls.as_ref(), &mut headers, arrived.version);
    let secure = session.conn.tls.is_some();
    let https = forwarded::rewrite(http, &session.conn, secure, marks, &mut headers);
    let expects = only(&headers, &header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects && !http.proxy_continue {
        headers.remove(header::EXPECT);
    }
    request_id(session, marks, &mut headers);
    let trace = http.tracing.as_ref().map(|tracing| {
        let internal = !http.use_remote_address;
        trace::begin(tracing, internal, &mut headers, &mut *session.worker.rng.borrow_mut())
    });
    let mut facts = blank(session);
    facts.protocol = protocol;
    facts.method = arrived.method;
    facts.path = arrived.path.clone();
    facts.authority = authority.clone();
    facts.scheme = WORDS.with(|words| if https { words.https.clone() } else { words.http.clone() });
    facts.grpc = is_grpc(&headers);
    facts.request_headers = headers;
    facts.request_head_bytes = arrived.head_bytes as u64;
    facts.trace = trace;
    let mut exchange = Exchange {
        clock: Instant::from_std(facts.start),
        facts,
        marks,
        path: arrived.path,
        authority,
        https,
        length: arrived.length,
        expects,
        upgrade: None,
        peer_asked: false,
        cors: None,
        set_cookie: None,
        answered: false,
    };
    let refused = match arrived.malformed {
        true => Some(Stop::Refused("http2.invalid.header.field")),
        false => check(http, &mut exchange, upgrade).err(),
    };
    (exchange, refused)
}

/// Facts of a request of which nothing is known yet.
pub(crate) fn blank(session: &Session) -> Facts {
    WORDS.with(|words| Facts {
        conn: session.conn.clone(),
        start: tokio::time::Instant::now().into_std(),
        start_wall: SystemTime::now(),
        protocol: Version::HTTP_11,
        method: Method::GET,
        path: words.none.clone(),
        authority: words.none.clone(),
        scheme: words.http.clone(),
        request_headers: HeaderMap::new(),
        response_headers: HeaderMap::new(),
        trailers: HeaderMap::new(),
        rule: None,
        operation: None,
        cluster: None,
        endpoint: None,
        upstream: None,
        upstream_local: None,
        upstream_tls: None,
        upstream_failure: None,
        status: 0,
        failures: Vec::new(),
        details: None,
        bytes_received: 0,
        bytes_sent: 0,
        request_head_bytes: 0,
        response_head_bytes: 0,
        request_messages: 0,
        response_messages: 0,
        grpc: false,
        grpc_status: None,
        attempts: 0,
        upstream_started: None,
        upstream_head: None,
        ended: None,
        downstream_peer: None,
        upstream_peer: None,
        trace: None,
    })
}

/// What is refused whatever the routes say.
fn check(http: &HttpChain, exchange: &mut Exchange, upgrade: Option<HeaderValue>) -> Result<(), Stop> {
    if http.underscores != Underscores::Keep {
        underscores(http.underscores, exchange)?;
    }
    if arrived_too_large(http, exchange) {
        return Err(Reply::text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "", "too_many_headers").into());
    }
    if exchange.authority.is_empty() {
        return Err(bad("missing_host_header"));
    }
    let relative = !exchange.path.starts_with('/') && exchange.facts.method != Method::CONNECT;
    if relative && !exchange.path.is_empty() {
        return Err(Reply::text(StatusCode::NOT_FOUND, "", "absolute_path_rejected").into());
    }
    match path::normal(&exchange.path, http.paths) {
        Spelling::Refused => return Err(bad(PATH)),
        Spelling::Elsewhere(to) => return Err(elsewhere(exchange, &to)),
        Spelling::Normal(Cow::Owned(normal)) => {
            exchange.path = normal.into();
            // What was asked is what was understood: logs and spans say the same path as the routes see.
            exchange.facts.path = exchange.path.clone();
        }
        Spelling::Normal(Cow::Borrowed(_)) => {}
    }
    if http.strip_host_port {
        let host = crate::router::host_without_port(&exchange.authority);
        if host.len() != exchange.authority.len() {
            exchange.authority = host.into();
        }
    }
    if exchange.facts.method.as_str() == "QUERY"
        && !exchange.facts.request_headers.contains_key(header::CONTENT_TYPE)
    {
        return Err(bad("query_missing_content_type"));
    }
    if let Some(upgrade) = upgrade {
        exchange.facts.request_headers.insert(header::UPGRADE, upgrade.clone());
        exchange.upgrade = Some(upgrade);
    }
    Ok(())
}

/// The answer that sends the client to the normal form of its path. gRPC clients follow no redirects.
fn elsewhere(exchange: &Exchange, to: &str) -> Stop {
    match HeaderValue::from_str(to) {
        Ok(to) if !exchange.facts.grpc => {
            Reply::text(StatusCode::TEMPORARY_REDIRECT, "", PATH).with(header::LOCATION, to).into()
        }
        _ => bad(PATH),
    }
}

/// 400, after which nothing is read from this client.
fn bad(details: &str) -> Stop {
    Reply { last: true, ..Reply::text(StatusCode::BAD_REQUEST, "", details) }.into()
}

/// Does what the chain says about names that applications may take for others.
fn underscores(rule: Underscores, exchange: &mut Exchange) -> Result<(), Stop> {
    let headers = &mut exchange.facts.request_headers;
    let odd: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    if !odd.is_empty() && rule == Underscores::Reject {
        if exchange.facts.protocol == Version::HTTP_2 {
            return Err(Stop::Refused("http2.unexpected_underscore"));
        }
        let reply = Reply::text(StatusCode::BAD_REQUEST, "Bad Request", "http1.unexpected_underscore");
        return Err(Reply { last: true, failure: Some(Failure::DownstreamProtocol), ..reply }.into());
    }
    odd.iter().for_each(|name| drop(headers.remove(name)));
    Ok(())
}

/// HTTP/1.1 counts while it reads; h2 limits bytes only.
fn arrived_too_large(http: &HttpChain, exchange: &Exchange) -> bool {
    exchange.facts.protocol == Version::HTTP_2
        && exchange.facts.request_headers.len() > http.max_request_headers
}

/// The value of a field that has one line.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn has(list: &[Arc<str>], wanted: &[u8]) -> bool {
    list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(wanted))
}

/// Whether the protocol may be switched: the route's opinion, else the chain's.
pub(crate) fn allow_upgrade(session: &Session, exchange: &Exchange, forward: &Forward) -> Result<(), Stop> {
    let connect = exchange.facts.method == Method::CONNECT;
    let wanted = exchange.upgrade.as_ref().map(HeaderValue::as_bytes).or(connect.then_some(b"connect"));
    let Some(wanted) = wanted else { return Ok(()) };
    let route = forward.upgrades.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(wanted));
    match route.map_or_else(|| has(&session.http.upgrades, wanted), |(_, enabled)| *enabled) {
        true => Ok(()),
        false => Err(Reply::text(StatusCode::FORBIDDEN, "", "upgrade_failed").into()),
    }
}

/// What the fields of one hop say.
struct Hop {
    /// The protocol that an HTTP/1.1 client asks to switch to.
    upgrade: Option<HeaderValue>,
    /// `connection` takes `host` away: the request has none for us either.
    hostless: bool,
}

/// Removes the fields that concern one hop, and those that `connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap, marks: Marks, version: Version) -> Hop {
    if !marks.has(Marks::HOP) {
        headers.remove(header::HOST);
        return Hop { upgrade: None, hostless: false };
    }
    let (mut switches, mut hostless, mut te) = (false, false, false);
    if headers.contains_key(header::CONNECTION) {
        let lines: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
        let tokens = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        for token in tokens.map(str::trim) {
            if token.eq_ignore_ascii_case("upgrade") {
                switches = version == Version::HTTP_11;
            } else if let Ok(name) = HeaderName::try_from(token) {
                hostless |= name == header::HOST;
                te |= name == header::TE;
                // How the body is framed is ours to say and not the client's; `te` is looked at below.
                if name != header::CONTENT_LENGTH && name != header::TE {
                    headers.remove(name);
                }
            }
        }
    }
    let upgrade = headers.remove(header::UPGRADE);
    if headers.remove(HTTP2_SETTINGS).is_some() {
        switches = false;
    }
    if headers.contains_key(header::TE) {
        keep_trailers(headers, te);
    }
    strip_response(headers, marks);
    headers.remove(header::HOST);
    let upgrade = upgrade.filter(|upgrade| switches && !upgrade.as_bytes().eq_ignore_ascii_case(b"h2c"));
    Hop { upgrade, hostless }
}

/// Of all that `te` may list, only that trailers are welcome concerns more than one hop. As by Envoy it is understood in
/// any case where `connection` names it.
fn keep_trailers(headers: &mut HeaderMap, named: bool) {
    if only(headers, &header::TE).is_some_and(|te| te.as_bytes() == b"trailers") {
        return;
    }
    let lines = headers.get_all(header::TE).iter();
    let welcome = lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"trailers" || (named && one.eq_ignore_ascii_case(b"trailers")));
    headers.remove(header::TE);
    if welcome {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The same for a response, where `upgrade` is handled by the caller.
pub(crate) fn strip_response(headers: &mut HeaderMap, marks: Marks) {
    if !marks.has(Marks::HOP) {
        return;
    }
    headers.remove(header::CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(&KEEP_ALIVE);
    headers.remove(&PROXY_CONNECTION);
}

fn request_id(session: &Session, marks: Marks, headers: &mut HeaderMap) {
    let http = &*session.http;
    let foreign = http.use_remote_address && !http.preserve_request_id;
    // One that came may have been taken away: `connection` can name it.
    let has = || marks.has(Marks::REQUEST_ID) && headers.contains_key(&REQUEST_ID);
    if http.generate_request_id && (foreign || !has()) {
        headers.insert(REQUEST_ID, trace::request_id(&mut *session.worker.rng.borrow_mut()));
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}
