//! Trailers: fields behind a chunked body, and which fields may stand there. Pure.
//!
//! In: bytes behind the last chunk. Out: a map without what would change the meaning of what was already read, or a
//! refusal. Called by `read`; `write` asks for fields that came over HTTP/2, whose codec takes any.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::head::{Limits, only_crlf};
use super::refusal::{Refusal, of_parser};

/// As many as Envoy takes of headers and of trailers.
const MAX_TRAILERS: usize = 100;

/// Fields that must not be trailers (RFC 9110 6.5.1), since they would change the meaning of what was already read:
/// framing, routing, what concerns one hop, credentials, and what the first proxy says about its client. Whoever
/// merges trailers into headers would take them for what was checked.
const NEVER_TRAIL: [HeaderName; 24] = [
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::HOST,
    header::CONNECTION,
    header::TRAILER,
    header::TE,
    header::UPGRADE,
    header::EXPECT,
    header::MAX_FORWARDS,
    header::RANGE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::FORWARDED,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("x-request-id"),
];

/// Reads trailers: header lines up to an empty one. Returns the bytes used; `None`: not complete.
pub(super) fn parse_trailers(buf: &[u8], limits: &Limits) -> Result<Option<(usize, HeaderMap)>, Refusal> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    const LARGE: Refusal = Refusal { status: 431, why: "trailers are too large" };
    match httparse::parse_headers(buf, &mut slots).map_err(|error| of_parser(error, buf))? {
        httparse::Status::Partial if buf.len() > limits.max_head => Err(LARGE),
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete((size, _)) if size > limits.max_head => Err(LARGE),
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
                if may_trail(&name) {
                    trailers.append(name, value);
                }
            }
            Ok(Some((size, trailers)))
        }
    }
}

/// Whether a field may stand behind a body.
pub(super) fn may_trail(name: &HeaderName) -> bool {
    let text = name.as_str();
    // Names of HTTP/2 may have a quote, which no token has.
    !text.contains('"')
        && !NEVER_TRAIL.contains(name)
        && !text.starts_with("x-forwarded-")
        && !text.starts_with("x-envoy-")
}
