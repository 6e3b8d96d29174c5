//! Heads of requests and responses, parsed from a buffer by httparse and then judged by our own rules.
//! Values share the buffer's memory; nothing is copied but non-standard names. Pure: no I/O, no clock.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use smallvec::SmallVec;

use super::buffers;
use super::framing::{self, Length};
use super::host::{is_host, is_target_host};
use super::refusal::{
    BAD_HOST, BAD_TARGET, MANY, NOMINATED, NOT_AUTHORITY, OLD_CHUNKS, Refusal, SCHEME, STAR, of_parser,
};

/// More headers than this do not fit the parser's stack and are refused whatever the limit says.
const PARSE_HEADERS: usize = 256;
/// So many names in `connection`, and so long a `te` among what it names, are refused, as by Envoy.
const MAX_NOMINATED: usize = 10;
const MAX_TE: usize = 256;
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Methods that HTTP/1.1 requests may have, as in Envoy: those that were registered when its parser was written.
pub(super) const METHODS: [&str; 35] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];
const LARGE: Refusal = Refusal { status: 431, why: "head is too large" };
/// Names and values as ranges of the head, before it is split off.
type Ranges = SmallVec<[(u32, u32, u32, u32); 32]>;

/// What a head may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, with the request line.
    pub max_head: usize,
    pub max_headers: usize,
    /// HTTP/1.0 requests are answered 426 unless true.
    pub accept_http10: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_head: 60 * 1024, max_headers: 100, accept_http10: false }
    }
}

/// The head of a request. All text is visible ASCII.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// `http` or `https` of an absolute target.
    pub https: Option<bool>,
    /// Of the target, else of `host`; empty where there is none.
    pub authority: Bytes,
    /// Begins with `/` or, for OPTIONS, with `*`; empty for CONNECT.
    pub path: Bytes,
    pub version: Version,
    pub headers: HeaderMap,
    pub length: Length,
    pub keep_alive: bool,
    pub head_bytes: usize,
}

/// The head of a response.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub length: Length,
    pub keep_alive: bool,
    pub head_bytes: usize,
}

/// Takes a request's head off the buffer; `None`: it is not complete yet.
pub(super) fn parse_request(buf: &mut BytesMut, limits: &Limits) -> Result<Option<Request>, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; PARSE_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut parsed, buf, &mut slots)
        .map_err(|error| if is_large(buf, limits) { LARGE } else { of_parser(error, buf) })?;
    let Some(size) = complete(status, buf, limits)? else { return Ok(None) };
    let method = match parsed.method {
        Some("GET") => Method::GET,
        Some("POST") => Method::POST,
        other => {
            let known = other.filter(|name| METHODS.contains(name));
            known.and_then(|name| name.parse().ok()).ok_or(Refusal::bad("method is not known"))?
        }
    };
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let target = range(buf, parsed.path.unwrap_or_default().as_bytes());
    let ranges = header_ranges(buf, parsed.headers, limits)?;
    let head = take_head(buf, size)?;
    let target = head.slice(target.0 as usize..target.1 as usize);
    let target = split_target(target, &method)?;
    let headers = header_map(&head, &ranges)?;
    let length = framing::of_request(&method, &headers)?;
    let Target { https, authority, path } = target.judged(&method)?;
    let keep_alive = keep_alive(&headers, version, true)?;
    if version == Version::HTTP_10 {
        if !limits.accept_http10 {
            return Err(Refusal { status: 426, why: "HTTP/1.0 is not accepted" });
        }
        if length == Length::Chunked {
            return Err(Refusal::bad(OLD_CHUNKS));
        }
    }
    let host = host(&headers)?;
    let authority = authority.unwrap_or(host);
    Ok(Some(Request {
        method,
        https,
        authority,
        path,
        version,
        headers,
        length,
        keep_alive,
        head_bytes: size,
    }))
}

/// Takes a response's head off the buffer; `None`: it is not complete yet.
pub(super) fn parse_response(
    buf: &mut BytesMut,
    limits: &Limits,
    method: &Method,
) -> Result<Option<Response>, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; PARSE_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, buf, &mut slots)
        .map_err(|error| of_parser(error, buf))?;
    let Some(size) = complete(status, buf, limits)? else { return Ok(None) };
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| Refusal::bad("status is out of range"))?;
    let ranges = header_ranges(buf, parsed.headers, limits)?;
    let head = take_head(buf, size)?;
    let mut headers = header_map(&head, &ranges)?;
    let length = framing::of_response(&headers, version, status, method)?;
    let keep_alive = length != Length::Close && keep_alive(&headers, version, false)?;
    if framing::has_no_body(status) {
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Some(Response { status, version, headers, length, keep_alive, head_bytes: size }))
}

/// Not even the first line ends within what a head may take: that is said before anything else that is wrong with it,
/// and is the same however the bytes were cut.
fn is_large(buf: &[u8], limits: &Limits) -> bool {
    buf.get(..limits.max_head).is_some_and(|start| !start.contains(&b'\n'))
}

/// The size of a complete head, or whether to wait for more.
fn complete(
    status: httparse::Status<usize>,
    buf: &BytesMut,
    limits: &Limits,
) -> Result<Option<usize>, Refusal> {
    match status {
        httparse::Status::Complete(size) if size > limits.max_head => Err(LARGE),
        httparse::Status::Complete(size) => Ok(Some(size)),
        httparse::Status::Partial if buf.len() > limits.max_head => Err(LARGE),
        httparse::Status::Partial => Ok(None),
    }
}

fn header_ranges(buf: &[u8], lines: &[httparse::Header<'_>], limits: &Limits) -> Result<Ranges, Refusal> {
    if lines.len() > limits.max_headers {
        return Err(Refusal { status: 431, why: MANY });
    }
    let ranges = lines.iter().map(|line| {
        let (name, value) = (range(buf, line.name.as_bytes()), range(buf, line.value));
        (name.0, name.1, value.0, value.1)
    });
    Ok(ranges.collect())
}

/// Where `part`, a slice of `whole`, lies in it.
fn range(whole: &[u8], part: &[u8]) -> (u32, u32) {
    if part.is_empty() {
        return (0, 0);
    }
    // Addresses of slices of one buffer that is far smaller than 4 GiB.
    let start = (part.as_ptr().addr() - whole.as_ptr().addr()) as u32;
    (start, start + part.len() as u32)
}

fn take_head(buf: &mut BytesMut, size: usize) -> Result<Bytes, Refusal> {
    if !only_crlf(&buf[..size]) {
        return Err(Refusal::bad("line ends without carriage return"));
    }
    Ok(buf.split_to(size).freeze())
}

/// httparse takes a bare line feed for a line end and allows carriage returns nowhere else, so counting both
/// tells whether each line ended in the pair.
pub(super) fn only_crlf(head: &[u8]) -> bool {
    let count = |byte: u8| head.iter().map(|b| usize::from(*b == byte)).sum::<usize>();
    count(b'\n') == count(b'\r')
}

fn header_map(head: &Bytes, ranges: &Ranges) -> Result<HeaderMap, Refusal> {
    let mut headers = buffers::take_map(ranges.len());
    for &(name_start, name_end, value_start, value_end) in ranges {
        let name = HeaderName::from_bytes(&head[name_start as usize..name_end as usize])
            .map_err(|_| Refusal::bad("header name is not a token"))?;
        let value = HeaderValue::from_maybe_shared(head.slice(value_start as usize..value_end as usize))
            .map_err(|_| Refusal::bad("control character in a header value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Scheme, authority and path of a request target; without an authority the `host` header is the one.
struct Target {
    https: Option<bool>,
    authority: Option<Bytes>,
    path: Bytes,
}

impl Target {
    fn of_path(path: Bytes) -> Self {
        Target { https: None, authority: None, path }
    }

    /// Whether the authority is one. What frames the body is looked at before, as by Envoy.
    fn judged(self, method: &Method) -> Result<Self, Refusal> {
        let connects = *method == Method::CONNECT;
        match &self.authority {
            Some(authority) if !is_target_host(authority, connects) => {
                Err(Refusal::bad(if connects { NOT_AUTHORITY } else { BAD_TARGET }))
            }
            _ => Ok(self),
        }
    }
}

fn split_target(target: Bytes, method: &Method) -> Result<Target, Refusal> {
    if !target.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(Refusal::bad("character in the request target"));
    }
    if *method == Method::CONNECT {
        return Ok(Target { https: None, authority: Some(target), path: Bytes::new() });
    }
    match target.first() {
        Some(b'/') => return Ok(Target::of_path(target)),
        // What follows the star leads nowhere, as the star alone.
        Some(b'*') if *method == Method::OPTIONS => return Ok(Target::of_path(target)),
        Some(b'*') => return Err(Refusal::bad(STAR)),
        _ => {}
    }
    let (https, rest) = if has_prefix(&target, b"http://") {
        (false, 7)
    } else if has_prefix(&target, b"https://") {
        (true, 8)
    } else if target.windows(3).any(|part| part == b"://") {
        return Err(Refusal::bad(SCHEME));
    } else {
        return Err(Refusal::bad("request target has no path"));
    };
    let end =
        target[rest..].iter().position(|b| matches!(b, b'/' | b'?')).map_or(target.len(), |at| rest + at);
    let authority = target.slice(rest..end);
    let path = match target.get(end) {
        Some(b'/') => target.slice(end..),
        // A query right after the authority: the path is `/`.
        Some(_) => [b"/", &target[end..]].concat().into(),
        None => Bytes::from_static(b"/"),
    };
    Ok(Target { https: Some(https), authority: Some(authority), path })
}

pub(super) fn has_prefix(target: &[u8], prefix: &[u8]) -> bool {
    target.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The one `host`. Whether a request needs one is for the pipeline to say.
fn host(headers: &HeaderMap) -> Result<Bytes, Refusal> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(host), None) if host.is_empty() => Ok(Bytes::new()),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(Bytes::copy_from_slice(host.as_bytes())),
        (Some(_), None) => Err(Refusal::bad(BAD_HOST)),
        (None, _) => Ok(Bytes::new()),
        (Some(_), Some(_)) => Err(Refusal::bad("more than one host")),
    }
}

/// Whether the connection may carry another message. In a request, fields that tell the next hop where the request came
/// from, and pseudo-headers, are not the client's to take away, nor may it name so much that looking for it costs.
fn keep_alive(headers: &HeaderMap, version: Version, request: bool) -> Result<bool, Refusal> {
    let (mut keep, mut closes, mut count) = (version != Version::HTTP_10, false, 0);
    for token in tokens(headers, &header::CONNECTION) {
        closes |= token.eq_ignore_ascii_case(b"close");
        keep |= token.eq_ignore_ascii_case(b"keep-alive");
        count += usize::from(request);
        let refused = || token.first() == Some(&b':') || is_origin(token) || is_long_te(token, headers);
        if count >= MAX_NOMINATED || (request && refused()) {
            return Err(Refusal::bad(NOMINATED));
        }
    }
    // This one is no standard, and proxies are the ones who are sent it: it closes, and keeps nothing open.
    closes |= tokens(headers, &PROXY_CONNECTION).any(|token| token.eq_ignore_ascii_case(b"close"));
    Ok(keep && !closes)
}

/// What a field lists, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    lines.filter(|token| !token.is_empty()).map(<[u8]>::trim_ascii)
}

/// `te`, where it is longer than anybody's.
fn is_long_te(token: &[u8], headers: &HeaderMap) -> bool {
    token.eq_ignore_ascii_case(b"te")
        && headers.get_all(header::TE).iter().map(HeaderValue::len).sum::<usize>() >= MAX_TE
}

/// A header that says where a request came from.
fn is_origin(token: &[u8]) -> bool {
    [&b"x-forwarded-for"[..], b"x-forwarded-host", b"x-forwarded-proto"]
        .iter()
        .any(|name| token.eq_ignore_ascii_case(name))
}
