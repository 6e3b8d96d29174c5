//! Tables of what is refused and what is read, and bodies in both directions over a pipe.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::head::{parse_request, parse_response};
use super::*;
use crate::io::{Raw, Stream, Wire};

fn request(text: &[u8]) -> Result<Option<Request>, Refusal> {
    parse_request(&mut BytesMut::from(text), &Limits::default())
}

/// Bytes, the status of the refusal, and why; any reason where empty.
type Hostile<'a> = &'a [(&'a [u8], u16, &'a str)];

fn refused(cases: Hostile<'_>) {
    for (text, status, why) in cases {
        let shown = String::from_utf8_lossy(text);
        let refusal = request(text).expect_err(&shown);
        assert_eq!(refusal.status, *status, "{shown}: {refusal}");
        assert!(why.is_empty() || refusal.why == *why, "{shown}: {refusal}, not {why}");
    }
}

#[test]
fn hostile_heads_are_refused() {
    refused(&[
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one host"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host is not valid"),
        (b"GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400, "host is not valid"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host is not valid"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "line ends without carriage return"),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, "line ends without carriage return"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400, "header name is not a token"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", 400, "header name is not a token"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "control character in the head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "control character in a header value"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, "header name is not a token"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, ""),
        (b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, ""),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request target has no path"),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request target is for OPTIONS"),
        (
            b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "scheme of the request target is not http or https",
        ),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 426, "not HTTP/1.0 or HTTP/1.1"),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426, "HTTP/1.0 is not accepted"),
        (b"GET /\r\n\r\n", 426, ""),
        (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400, ""),
    ]);
}

#[test]
fn hostile_framing_is_refused() {
    refused(&[
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "content-length beside transfer-encoding",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n",
            400,
            "content-length beside transfer-encoding",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For\r\n\r\n",
            400,
            "connection names a header that is not the client's to take away",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            "more than one content-length",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            400,
            "more than one content-length",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            400,
            "content-length is not a number",
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400, "content-length is not a number"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "content-length is not a number"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400, "content-length is not a number"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", 400, "content-length is not a number"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            400,
            "content-length is not a number",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            501,
            "transfer coding is not implemented",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            501,
            "transfer coding is not implemented",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
            "more than one transfer-encoding",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
            "transfer coding is not implemented",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            501,
            "transfer coding is not implemented",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            501,
            "transfer coding is not implemented",
        ),
    ]);
}

#[test]
fn limits_of_heads() {
    let long = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", &vec![b'x'; 70_000][..]].concat();
    assert_eq!(request(&long).unwrap_err().status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(request(many.as_bytes()).unwrap_err().status, 431);
    let fine = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(99));
    assert_eq!(request(fine.as_bytes()).unwrap().unwrap().headers.len(), 100);
}

#[test]
fn targets_are_split() {
    let cases: &[(&str, Option<bool>, &str, &str)] = &[
        ("GET /a?b HTTP/1.1\r\nHost: h:80\r\n\r\n", None, "h:80", "/a?b"),
        ("GET http://x/a HTTP/1.1\r\nHost: h\r\n\r\n", Some(false), "x", "/a"),
        ("GET HTTPS://x:1?q HTTP/1.1\r\nHost: h\r\n\r\n", Some(true), "x:1", "/?q"),
        ("GET http://x HTTP/1.1\r\nHost: h\r\n\r\n", Some(false), "x", "/"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", None, "h", "*"),
        ("CONNECT x:443 HTTP/1.1\r\nHost: h\r\n\r\n", None, "x:443", ""),
        ("\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", None, "[::1]:80", "/"),
    ];
    for (text, https, authority, path) in cases {
        let head = request(text.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (head.https, &head.authority[..], &head.path[..]),
            (*https, authority.as_bytes(), path.as_bytes())
        );
    }
}

#[test]
fn connection_persistence() {
    let keep = |head: &str| request(head.as_bytes()).unwrap().unwrap().keep_alive;
    assert!(keep("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert!(!keep("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n"));
}

#[test]
fn response_lengths() {
    let read = |text: &str, method: Method| {
        parse_response(&mut BytesMut::from(text.as_bytes()), &Limits::default(), &method)
            .map(|head| head.unwrap().length)
    };
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(read(ok, Method::GET), Ok(Length::Fixed(5)));
    assert_eq!(read(ok, Method::HEAD), Ok(Length::None));
    assert_eq!(read("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", Method::GET), Ok(Length::None));
    assert_eq!(read("HTTP/1.1 204 No\r\n\r\n", Method::GET), Ok(Length::None));
    assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n", Method::GET), Ok(Length::Close));
    assert_eq!(read("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", Method::GET), Ok(Length::None));
    assert!(read("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", Method::GET).is_err());
    assert!(read("HTTP/1.1 100 Go\r\nTransfer-Encoding: chunked\r\n\r\n", Method::GET).is_err());
    assert!(
        read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Method::GET)
            .is_err()
    );
    assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Method::GET).is_err());
}

fn pipe() -> (Conn, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 20);
    (Conn::new(Stream::Plain(Wire::new(Raw::Memory(near)))), far)
}

async fn body(conn: &mut Conn) -> Result<(Vec<u8>, Option<HeaderMap>), Error> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| conn.poll_frame(cx)).await? {
        match frame {
            Frame::Data(piece) => data.extend_from_slice(&piece),
            Frame::Trailers(map) => trailers = Some(map),
        }
    }
    Ok((data, trailers))
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn chunked_bodies_byte_by_byte_and_pipelined() {
    let (mut conn, mut far) = pipe();
    let text = format!("{CHUNKED}5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-End: yes\r\n\r\n{CHUNKED}0\r\n\r\n");
    let writer = tokio::spawn(async move {
        for byte in text.as_bytes() {
            far.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        far
    });
    let limits = Limits::default();
    let head = poll_fn(|cx| conn.poll_request(cx, &limits)).await.unwrap().unwrap();
    assert_eq!(head.length, Length::Chunked);
    let (data, trailers) = body(&mut conn).await.unwrap();
    assert_eq!(data, b"hello!");
    assert_eq!(trailers.unwrap()["x-end"], "yes");
    assert!(poll_fn(|cx| conn.poll_request(cx, &limits)).await.unwrap().is_some());
    assert_eq!(body(&mut conn).await.unwrap().0, b"");
    drop(writer.await.unwrap());
    assert!(poll_fn(|cx| conn.poll_request(cx, &limits)).await.unwrap().is_none());
}

#[tokio::test]
async fn hostile_chunks_are_refused() {
    for bad in [
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n",
        "-1\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "\r\n",
        "5\r\nhelloo\r\n",
        "fffffffffffffffff\r\n",
        "5;\x01\r\nhello\r\n",
        "0\r\nbad name: x\r\n\r\n",
        "0\r\nx: y\n\r\n",
        &format!("5;{}\r\nhello\r\n", "e".repeat(300)),
    ] {
        let (mut conn, mut far) = pipe();
        far.write_all(format!("{CHUNKED}{bad}").as_bytes()).await.unwrap();
        poll_fn(|cx| conn.poll_request(cx, &Limits::default())).await.unwrap();
        assert!(matches!(body(&mut conn).await, Err(Error::Refused(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn an_end_inside_a_message_is_an_error() {
    for text in ["GET / HT".to_owned(), format!("{CHUNKED}5\r\nhe"), format!("{CHUNKED}0\r\n")] {
        let (mut conn, mut far) = pipe();
        far.write_all(text.as_bytes()).await.unwrap();
        drop(far);
        let outcome = match poll_fn(|cx| conn.poll_request(cx, &Limits::default())).await {
            Ok(_) => body(&mut conn).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(matches!(outcome, Err(Error::Closed)), "{text}");
    }
}

/// What is wrong and too long besides is one of the two, in whatever pieces it comes.
#[tokio::test]
async fn large_heads_are_refused_alike_in_pieces() {
    let long = "a".repeat(70_000);
    for (text, status) in [
        (format!("GET /{long}"), 431),
        (format!("GET / {long}"), 431),
        (format!("GET / HTTP/1.1\r\nx: {long}"), 431),
        (format!("GET /{} HTTP/1.x\r\n{long}", "a".repeat(50_000)), 400),
        (format!("GET / HTTP/1.1\r\nx : y\r\n{long}"), 400),
        (format!("{CHUNKED}0\r\nx: {long}\r\n\r\n"), 431),
    ] {
        for size in [100, 10_000, text.len()] {
            let (mut conn, mut far) = pipe();
            let write = async {
                for piece in text.as_bytes().chunks(size) {
                    // Who was refused reads no more.
                    if far.write_all(piece).await.is_err() {
                        return;
                    }
                }
            };
            let read = async {
                let outcome = match poll_fn(|cx| conn.poll_request(cx, &Limits::default())).await {
                    Ok(_) => body(&mut conn).await.map(|_| ()),
                    Err(error) => Err(error),
                };
                drop(conn);
                outcome
            };
            let ((), outcome) = tokio::join!(write, read);
            let Err(Error::Refused(refusal)) = outcome else { panic!("{size}: {outcome:?}") };
            assert_eq!(refusal.status, status, "in pieces of {size}: {:?}", text.get(..60));
        }
    }
}

#[tokio::test]
async fn messages_are_written() {
    let (mut conn, mut far) = pipe();
    let mut headers = HeaderMap::new();
    headers.insert("x-a", HeaderValue::from_static("b"));
    let line = RequestLine { method: &Method::POST, target: "/p?q", host: "h" };
    conn.write_request(line, &headers, Length::Chunked, None);
    let large = Bytes::from(vec![b'x'; 10_000]);
    for piece in [Bytes::from_static(b"hello"), large] {
        let mut piece = piece;
        poll_fn(|cx| conn.poll_data(cx, &mut piece)).await.unwrap();
    }
    poll_fn(|cx| conn.poll_finish(cx, Some(&headers))).await.unwrap();
    poll_fn(|cx| conn.poll_flush(cx)).await.unwrap();
    conn.write_response(StatusCode::OK, Version::HTTP_11, &headers, Length::Fixed(2), None);
    let mut piece = Bytes::from_static(b"ok");
    poll_fn(|cx| conn.poll_data(cx, &mut piece)).await.unwrap();
    poll_fn(|cx| conn.poll_finish(cx, None)).await.unwrap();
    assert!(conn.is_reusable());
    conn.set_last();
    conn.write_response(StatusCode::NO_CONTENT, Version::HTTP_11, &HeaderMap::new(), Length::None, None);
    poll_fn(|cx| conn.poll_flush(cx)).await.unwrap();
    drop(conn);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    let expected = format!(
        "POST /p?q HTTP/1.1\r\nhost: h\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n2710\r\n{}\r\n0\r\nx-a: b\r\n\r\n\
         HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok\
         HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        "x".repeat(10_000)
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn the_first_bytes_tell_the_protocol() {
    for (text, peek) in
        [("GET /", Peek::Http1), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nx", Peek::Http2), ("", Peek::Closed)]
    {
        let (mut conn, mut far) = pipe();
        far.write_all(text.as_bytes()).await.unwrap();
        drop(far);
        assert_eq!(poll_fn(|cx| conn.poll_peek(cx)).await.unwrap(), peek);
        assert_eq!(conn.into_parts().1, text.as_bytes());
    }
}
