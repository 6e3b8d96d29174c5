//! Heads of requests and responses, parsed from a buffer by httparse and then judged by our own rules.
//! Values share the buffer's memory; nothing is copied but non-standard names. Pure: no I/O, no clock.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use smallvec::SmallVec;

use super::buffers;
use super::framing::{self, Length};
use super::refusal::{BAD_HOST, MANY, NOT_AUTHORITY, Refusal, SCHEME, STAR, of_parser};

/// More headers than this do not fit the parser's stack and are refused whatever the limit says.
const PARSE_HEADERS: usize = 256;
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Methods that HTTP/1.1 requests may have, as in Envoy: those that were registered when its parser was written.
const METHODS: [&str; 34] = [
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
    /// Begins with `/`, or is `*`; empty for CONNECT.
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
        .map_err(|error| of_parser(error, buf))?;
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
    if version == Version::HTTP_10 && !limits.accept_http10 {
        return Err(Refusal { status: 426, why: "HTTP/1.0 is not accepted" });
    }
    let headers = header_map(&head, &ranges)?;
    let target = head.slice(target.0 as usize..target.1 as usize);
    let (https, authority, path) = split_target(target, &method, &headers)?;
    let length = framing::of_request(&method, &headers, version)?;
    let keep_alive = keep_alive(&headers, version);
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
    let headers = header_map(&head, &ranges)?;
    let length = framing::of_response(&headers, version, status, method)?;
    let keep_alive = length != Length::Close && keep_alive(&headers, version);
    Ok(Some(Response { status, version, headers, length, keep_alive, head_bytes: size }))
}

/// Reads trailers: header lines up to an empty one. Returns the bytes used; `None`: not complete.
pub(super) fn parse_trailers(buf: &[u8], limits: &Limits) -> Result<Option<(usize, HeaderMap)>, Refusal> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(buf, &mut slots).map_err(|error| of_parser(error, buf))? {
        httparse::Status::Partial if buf.len() > limits.max_head => {
            Err(Refusal { status: 431, why: "trailers are too large" })
        }
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete((size, lines)) => {
            if !only_crlf(&buf[..size]) {
                return Err(Refusal::bad("line ends without carriage return"));
            }
            let mut trailers = HeaderMap::with_capacity(lines.len());
            for line in lines {
                let name = HeaderName::from_bytes(line.name.as_bytes())
                    .map_err(|_| Refusal::bad("header name is not a token"))?;
                let value = HeaderValue::from_bytes(line.value)
                    .map_err(|_| Refusal::bad("control character in a header value"))?;
                if !is_framing(&name) {
                    trailers.append(name, value);
                }
            }
            Ok(Some((size, trailers)))
        }
    }
}

/// Fields that must not be trailers: they would change the meaning of what was already read.
fn is_framing(name: &HeaderName) -> bool {
    [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST, header::CONNECTION, header::TRAILER]
        .contains(name)
}

/// The size of a complete head, or whether to wait for more.
fn complete(
    status: httparse::Status<usize>,
    buf: &BytesMut,
    limits: &Limits,
) -> Result<Option<usize>, Refusal> {
    const LARGE: Refusal = Refusal { status: 431, why: "head is too large" };
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
fn only_crlf(head: &[u8]) -> bool {
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

/// Scheme, authority and path from the request target and `host`.
fn split_target(
    target: Bytes,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Option<bool>, Bytes, Bytes), Refusal> {
    if !target.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(Refusal::bad("character in the request target"));
    }
    let host = host(headers)?;
    if *method == Method::CONNECT {
        let colon = target.iter().rposition(|b| *b == b':');
        let port = colon.map_or(&[][..], |colon| &target[colon + 1..]);
        if port.is_empty() || !port.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::bad(NOT_AUTHORITY));
        }
        return Ok((None, checked_authority(target)?, Bytes::new()));
    }
    if &target[..] == b"*" && *method != Method::OPTIONS {
        return Err(Refusal::bad(STAR));
    }
    if target.first() == Some(&b'/') || &target[..] == b"*" {
        return Ok((None, host, target));
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
    let authority = checked_authority(target.slice(rest..end))?;
    let path = match target.get(end) {
        Some(b'/') => target.slice(end..),
        // A query right after the authority: the path is `/`.
        Some(_) => [b"/", &target[end..]].concat().into(),
        None => Bytes::from_static(b"/"),
    };
    Ok((Some(https), authority, path))
}

fn has_prefix(target: &[u8], prefix: &[u8]) -> bool {
    target.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The one `host`. Whether a request needs one is for the pipeline to say.
fn host(headers: &HeaderMap) -> Result<Bytes, Refusal> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(host), None) if host.is_empty() => Ok(Bytes::new()),
        (Some(host), None) => checked_authority(Bytes::copy_from_slice(host.as_bytes())),
        (None, _) => Ok(Bytes::new()),
        (Some(_), Some(_)) => Err(Refusal::bad("more than one host")),
    }
}

/// Host and optional port, no user.
fn checked_authority(authority: Bytes) -> Result<Bytes, Refusal> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(b);
    if authority.is_empty() || !authority.iter().all(allowed) {
        return Err(Refusal::bad(BAD_HOST));
    }
    Ok(authority)
}

/// Whether the connection may carry another message.
fn keep_alive(headers: &HeaderMap, version: Version) -> bool {
    let mut keep = version != Version::HTTP_10;
    // The second is no standard, and proxies are the ones who are sent it.
    let named = headers.get_all(header::CONNECTION).iter().chain(headers.get_all(PROXY_CONNECTION));
    for value in named {
        for token in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep
}
