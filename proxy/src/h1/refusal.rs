//! A broken rule: the status that says so, and what Envoy calls it. Pure.
//!
//! Made by the other files of this folder; `http` answers it and logs its details.

use std::fmt;

use super::head::{METHODS, has_prefix};
use super::host::is_target_host;

pub(super) const BAD_HOST: &str = "host is not valid";
pub(super) const STAR: &str = "request target is for OPTIONS";
pub(super) const NOT_AUTHORITY: &str = "request target of CONNECT is not host and port";
pub(super) const CONNECT_BODY: &str = "CONNECT with a body";
pub(super) const SCHEME: &str = "scheme of the request target is not http or https";
pub(super) const BOTH: &str = "content-length beside transfer-encoding";
pub(super) const BAD_TARGET: &str = "host of the request target is not valid";
pub(super) const NOMINATED: &str = "connection names a header that is not the client's to take away";
pub(super) const BODILESS: &str = "a response without a body has a length";
pub(super) const NO_RESPONSE: &str = "no response";
pub(super) const HALF: &str = "connection closed inside a response's head";
pub(super) const OLD_CHUNKS: &str = "transfer-encoding in HTTP/1.0";
pub(super) const MANY: &str = "too many headers";
const CONTROL: &str = "control character in the head";
const SLOW: &str = "request header timeout";
const SECURE: &str = "https target on a connection that is not";

/// A broken rule, and the status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub why: &'static str,
}

impl Refusal {
    /// `https://` asked for over plain text.
    pub(crate) const INSECURE: Refusal = Refusal { status: 403, why: SECURE };

    /// The head took too long.
    pub(crate) const LATE: Refusal = Refusal { status: 408, why: SLOW };

    pub(super) const fn bad(why: &'static str) -> Self {
        Refusal { status: 400, why }
    }

    /// `%RESPONSE_CODE_DETAILS%`
    pub(crate) fn details(self) -> &'static str {
        match self {
            Refusal { status: 426, .. } => "low_version",
            Refusal { why: SLOW, .. } => "request_header_timeout",
            Refusal { why: SECURE, .. } => "http1.https_url_on_plaintext_connection",
            Refusal { why: SCHEME, .. } => "http1.invalid_scheme",
            Refusal { why: CONTROL, .. } => "http1.invalid_characters",
            Refusal { why: BAD_HOST, .. } => "http.invalid_authority",
            Refusal { why: NOMINATED, .. } => "http1.connection_header_rejected",
            Refusal { why: STAR | NOT_AUTHORITY | BAD_TARGET, .. } => "http1.invalid_url",
            Refusal { why: CONNECT_BODY, .. } => "http1.body_disallowed",
            Refusal { why: BOTH, .. } => "http1.content_length_and_chunked_not_allowed",
            Refusal { why: MANY, .. } => "http1.too_many_headers",
            Refusal { status: 431, .. } => "http1.headers_too_large",
            Refusal { status: 501, .. } => "http1.invalid_transfer_encoding",
            _ => "http1.codec_error",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

/// What the parser means by its error over `buf`.
pub(super) fn of_parser(error: httparse::Error, buf: &[u8]) -> Refusal {
    use httparse::Error as E;
    if has_control(buf) {
        return Refusal::bad(CONTROL);
    }
    match error {
        E::TooManyHeaders => Refusal { status: 431, why: MANY },
        E::HeaderName => Refusal::bad("header name is not a token"),
        E::HeaderValue => Refusal::bad("control character in a header value"),
        E::NewLine => Refusal::bad("line end is broken"),
        E::Token | E::Version if is_other_version(buf) => {
            Refusal { status: 426, why: "not HTTP/1.0 or HTTP/1.1" }
        }
        E::Token => Refusal::bad("start line is not a token"),
        E::Version => Refusal::bad("not HTTP/1.0 or HTTP/1.1"),
        E::Status => Refusal::bad("status is not a number"),
    }
}

/// A control character in the head, line ends and tabs aside.
fn has_control(buf: &[u8]) -> bool {
    let head = buf.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(buf.len());
    buf[..head].iter().any(|b| b.is_ascii_control() && !b"\t\r\n".contains(b))
}

/// A request line of another version of HTTP, in order but for that: one that names it, or the first, which had no name.
fn is_other_version(buf: &[u8]) -> bool {
    let line = buf.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let (method, target) = match words[..] {
        [_, target] if target.ends_with(b"HTTP/1.1") => return false,
        [_, _, b"HTTP/1.0" | b"HTTP/1.1"] => return false,
        [method, target] => (method, target),
        [method, target, version] => match version.strip_prefix(b"HTTP/") {
            Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
                (method, target)
            }
            _ => return false,
        },
        _ => return false,
    };
    METHODS.iter().any(|known| known.as_bytes() == method) && is_target(method, target)
}

/// A request target that the method may have.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if method == b"CONNECT" {
        return is_target_host(target, true);
    }
    let schemes = [&b"http://"[..], b"https://"];
    let absolute = schemes.into_iter().find(|scheme| has_prefix(target, scheme)).map(|s| &target[s.len()..]);
    let host = absolute.and_then(|rest| rest.split(|b| matches!(b, b'/' | b'?')).next());
    target.iter().all(u8::is_ascii_graphic)
        && (target.starts_with(b"/")
            || (target.starts_with(b"*") && method == b"OPTIONS")
            || host.is_some_and(|host| is_target_host(host, false)))
}
