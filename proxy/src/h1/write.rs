//! Messages as they go out: heads, and bodies in their framing. Header names are written in lower case. The
//! headers that carry the framing are written from [`Length`] and never copied from the map.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};

use super::Length;
use super::trail::may_trail;

/// The first line of a request and its host.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    pub method: &'a Method,
    /// Path with query; the authority for CONNECT.
    pub target: &'a str,
    pub host: &'a str,
}

/// What is left to write of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoder {
    Done,
    Fixed(u64),
    Chunked,
    /// Up to the end of the connection.
    Close,
    /// As it is; the end of the body ends our side of the connection at once.
    Tunnel,
}

impl Encoder {
    pub(super) fn new(length: Length) -> Self {
        match length {
            Length::None | Length::Fixed(0) => Encoder::Done,
            Length::Fixed(n) => Encoder::Fixed(n),
            Length::Chunked => Encoder::Chunked,
            Length::Close => Encoder::Close,
        }
    }
}

/// Writes a request's head. `connection` is the value of that header, if it is needed.
pub(super) fn request(
    buf: &mut BytesMut,
    line: RequestLine<'_>,
    headers: &HeaderMap,
    length: Length,
    connection: Option<&str>,
) {
    buf.reserve(line.target.len() + line.host.len() + 64 + size_of(headers));
    buf.put_slice(line.method.as_str().as_bytes());
    buf.put_u8(b' ');
    buf.put_slice(line.target.as_bytes());
    buf.put_slice(b" HTTP/1.1\r\nhost: ");
    buf.put_slice(line.host.as_bytes());
    buf.put_slice(b"\r\n");
    for (name, value) in headers {
        if name != header::HOST && !is_framing(name) {
            put_header(buf, name, value);
        }
    }
    // A request without a body says so, but for the methods that have none, and where another protocol follows.
    let none = [Method::GET, Method::HEAD, Method::DELETE, Method::TRACE, Method::CONNECT];
    let explicit = connection.is_none() && !none.contains(line.method);
    match length {
        Length::None if !explicit => {}
        other => put_length(buf, other),
    }
    end_head(buf, connection);
}

/// Writes a response's head. For a bodiless answer to HEAD, or 304, `length` is `None` and the map's
/// `content-length` stays as it is.
pub(super) fn response(
    buf: &mut BytesMut,
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
    length: Length,
    connection: Option<&str>,
) {
    buf.reserve(64 + size_of(headers));
    buf.put_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    buf.put_slice(status.as_str().as_bytes());
    buf.put_u8(b' ');
    buf.put_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    buf.put_slice(b"\r\n");
    for (name, value) in headers {
        let keep = !is_framing(name) || (length == Length::None && name == header::CONTENT_LENGTH);
        if keep {
            put_header(buf, name, value);
        }
    }
    if length != Length::None {
        put_length(buf, length);
    }
    end_head(buf, connection);
}

/// Writes the last chunk and the trailers. Those of HTTP/2 may have any name but few.
pub(super) fn last_chunk(buf: &mut BytesMut, trailers: Option<&HeaderMap>) {
    buf.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten().filter(|(name, _)| may_trail(name)) {
        put_header(buf, name, value);
    }
    buf.put_slice(b"\r\n");
}

/// Writes a chunk's size line.
pub(super) fn chunk_size(buf: &mut BytesMut, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0u8; 16];
    let (mut at, mut rest) = (text.len(), size);
    while at == text.len() || rest > 0 {
        at -= 1;
        text[at] = DIGITS[rest % 16];
        rest /= 16;
    }
    buf.put_slice(&text[at..]);
    buf.put_slice(b"\r\n");
}

fn is_framing(name: &HeaderName) -> bool {
    name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING || name == header::CONNECTION
}

fn put_header(buf: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    buf.put_slice(name.as_str().as_bytes());
    buf.put_slice(b": ");
    buf.put_slice(value.as_bytes());
    buf.put_slice(b"\r\n");
}

fn put_length(buf: &mut BytesMut, length: Length) {
    match length {
        Length::None => buf.put_slice(b"content-length: 0\r\n"),
        Length::Fixed(n) => {
            buf.put_slice(b"content-length: ");
            put_decimal(buf, n);
            buf.put_slice(b"\r\n");
        }
        Length::Chunked => buf.put_slice(b"transfer-encoding: chunked\r\n"),
        Length::Close => {}
    }
}

fn put_decimal(buf: &mut BytesMut, number: u64) {
    let mut text = [0u8; 20];
    let (mut at, mut rest) = (text.len(), number);
    while at == text.len() || rest > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    buf.put_slice(&text[at..]);
}

fn end_head(buf: &mut BytesMut, connection: Option<&str>) {
    if let Some(connection) = connection {
        buf.put_slice(b"connection: ");
        buf.put_slice(connection.as_bytes());
        buf.put_slice(b"\r\n");
    }
    buf.put_slice(b"\r\n");
}

/// An upper estimate, so that a head is written without growing the buffer.
fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
