//! Where a body ends: RFC 9112 section 6.3 with every doubt refused instead of resolved. Pure.
//!
//! In: headers, version, and for responses the status and the request's method. Out: a [`Length`], or a refusal.
//! Called for every head by `head`.

use http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};

use super::Refusal;

/// How the length of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No body.
    None,
    /// `content-length`; may be 0.
    Fixed(u64),
    Chunked,
    /// Until the connection closes: responses only.
    Close,
}

impl Length {
    /// True when nothing follows the head.
    pub fn is_empty(self) -> bool {
        matches!(self, Length::None | Length::Fixed(0))
    }
}

const OTHER: Refusal = Refusal { status: 501, why: "transfer coding is not implemented" };

/// The length of a request's body. That HTTP/1.0 knows no chunks is for the caller to say.
pub(super) fn of_request(method: &Method, headers: &HeaderMap) -> Result<Length, Refusal> {
    match (transfer_encoding(headers)?, content_length(headers)?) {
        (false, Some(1..)) if *method == Method::CONNECT => Err(Refusal::bad(super::refusal::CONNECT_BODY)),
        (true, _) if *method == Method::CONNECT => Err(OTHER),
        (true, _) => Ok(Length::Chunked),
        (false, Some(n)) => Ok(Length::Fixed(n)),
        (false, None) => Ok(Length::None),
    }
}

/// The length of the body of a response to a request with `method`.
pub(super) fn of_response(
    headers: &HeaderMap,
    version: Version,
    status: StatusCode,
    method: &Method,
) -> Result<Length, Refusal> {
    let chunked = transfer_encoding(headers)?;
    let length = content_length(headers)?;
    if chunked && version == Version::HTTP_10 {
        return Err(Refusal::bad(super::refusal::OLD_CHUNKS));
    }
    let never = has_no_body(status);
    if never && (chunked || length.is_some_and(|length| length > 0)) {
        return Err(Refusal::bad(super::refusal::BODILESS));
    }
    let bodiless = never
        || status == StatusCode::NOT_MODIFIED
        || *method == Method::HEAD
        || (*method == Method::CONNECT && status.is_success());
    Ok(match (bodiless, chunked, length) {
        (true, ..) => Length::None,
        (false, true, _) => Length::Chunked,
        (false, false, Some(n)) => Length::Fixed(n),
        (false, false, None) => Length::Close,
    })
}

/// Statuses whose responses end with their head, and that must not name a length (RFC 9110 8.6).
pub(super) fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}

/// True for exactly one `chunked` and no length beside it; other codings are not implemented.
fn transfer_encoding(headers: &HeaderMap) -> Result<bool, Refusal> {
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(false);
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::bad(super::refusal::BOTH));
    }
    let twice = |_| Refusal { status: 501, why: "more than one transfer-encoding" };
    let Some(value) = single(headers, &header::TRANSFER_ENCODING, "").map_err(twice)? else {
        return Ok(false);
    };
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    Err(OTHER)
}

/// The one `content-length`, digits only. Two of them are refused even when they agree.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = single(headers, &header::CONTENT_LENGTH, "more than one content-length")? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    // 18 digits are always below 2^63, so sums never overflow.
    match text.filter(|t| t.len() <= 18).and_then(|t| t.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => Err(Refusal::bad("content-length is not a number")),
    }
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    twice: &'static str,
) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::bad(twice));
    }
    Ok(first.map(http::HeaderValue::as_bytes))
}
