//! HTTP/1: heads, bodies in their framing, trailers, one message behind the other.
//!
//! Promises: how the bytes are cut changes nothing; what is accepted, request or response, can be written again and then
//! reads as the same one message, to our own parser and to a plain reading of the standard; a chunked body is what that
//! reading finds.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use proxy::h1::{Conn, Error, Frame, Length, Limits, Request, RequestLine, Response};
use proxy::io::{Raw, Stream, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::oracle::{self, Read};

/// More than anything here is long.
const PIPE: usize = 1 << 20;
/// What comes before the chunks that are tried.
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/// One message as it was read.
#[derive(Debug)]
struct Message<H> {
    head: H,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// How a stream of messages ended: between two of them, or inside one that was refused or cut off. A line that never ended
/// is refused where it came at once with others, and else waited for: both are the end.
#[derive(Debug, PartialEq)]
enum End {
    Between,
    Inside,
}

type Found<H> = (Vec<Message<H>>, End);

pub fn h1(bytes: &[u8]) {
    if bytes.len() > PIPE / 4 {
        return;
    }
    for request in same_in_pieces(bytes, all_requests) {
        forwarded(&request);
    }
    for method in [Method::GET, Method::HEAD, Method::CONNECT] {
        for response in same_in_pieces(bytes, |conn| all_responses(conn, method.clone())) {
            answered(&response, &method);
        }
    }
}

/// The same for what is surely a chunked body.
pub fn chunks(bytes: &[u8]) {
    if bytes.len() > PIPE / 4 {
        return;
    }
    let sent = [CHUNKED, bytes].concat();
    let all = same_in_pieces(&sent, all_requests);
    let Some(first) = all.first() else { return };
    let Read::Whole(plain) = oracle::request(&sent) else { panic!("no request, but {first:?}") };
    assert_eq!(plain.body, first.body);
    for (name, value) in first.trailers.iter().flatten() {
        let same = |(other, text): &(String, Vec<u8>)| {
            other.eq_ignore_ascii_case(name.as_str()) && text == value.as_bytes()
        };
        assert!(plain.trailers.iter().any(same), "{name} in {first:?}");
    }
    all.iter().for_each(forwarded);
}

fn connection(io: DuplexStream) -> Conn {
    Conn::new(Stream::Plain(Wire::new(Raw::Memory(io))))
}

fn now<F: Future>(work: F) -> Poll<F::Output> {
    pin!(work).poll(&mut Context::from_waker(Waker::noop()))
}

/// Everything that can be read of these bytes, whatever the pieces that they come in.
fn same_in_pieces<H: Debug, F: Future<Output = Found<H>>>(
    bytes: &[u8],
    read: impl Fn(Conn) -> F,
) -> Vec<Message<H>> {
    let whole = in_pieces(bytes, bytes.len().max(1), &read);
    for cut in [1, 7] {
        let parts = in_pieces(bytes, cut, &read);
        assert_eq!(format!("{whole:?}"), format!("{parts:?}"), "cut in pieces of {cut}");
    }
    whole.0
}

fn in_pieces<H, F: Future<Output = Found<H>>>(
    bytes: &[u8],
    cut: usize,
    read: impl Fn(Conn) -> F,
) -> Found<H> {
    let (near, mut far) = tokio::io::duplex(PIPE);
    let mut reading = pin!(read(connection(near)));
    for piece in bytes.chunks(cut) {
        assert!(now(far.write_all(piece)).is_ready(), "the pipe is long enough");
        if let Poll::Ready(done) = now(reading.as_mut()) {
            return done;
        }
    }
    drop(far);
    match now(reading) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("still waits after the end of the stream"),
    }
}

async fn all_requests(mut conn: Conn) -> Found<Request> {
    let limits = Limits { accept_http10: true, ..Limits::default() };
    let mut found = Vec::new();
    loop {
        let request = match poll_fn(|cx| conn.poll_request(cx, &limits)).await {
            Ok(Some(request)) => request,
            Ok(None) => return (found, End::Between),
            Err(error) => return (found, end(&error)),
        };
        let (last, length) = (!request.keep_alive || request.method == Method::CONNECT, request.length);
        match rest(&mut conn, request, length).await {
            Ok(message) => found.push(message),
            Err(error) => return (found, end(&error)),
        }
        // What follows a request that ends the connection is not read.
        if last {
            return (found, End::Between);
        }
    }
}

async fn all_responses(mut conn: Conn, method: Method) -> Found<Response> {
    let mut found = Vec::new();
    loop {
        let response = match poll_fn(|cx| conn.poll_response(cx, &Limits::default(), &method)).await {
            Ok(response) => response,
            Err(error) => return (found, end(&error)),
        };
        let (last, length) = (!response.keep_alive, response.length);
        match rest(&mut conn, response, length).await {
            Ok(message) => found.push(message),
            Err(error) => return (found, end(&error)),
        }
        if last {
            return (found, End::Between);
        }
    }
}

/// The body and the trailers behind a head.
async fn rest<H>(conn: &mut Conn, head: H, length: Length) -> Result<Message<H>, Error> {
    let mut message = Message { head, body: Vec::new(), trailers: None };
    while let Some(frame) = poll_fn(|cx| conn.poll_frame(cx)).await? {
        match frame {
            Frame::Data(data) => message.body.extend_from_slice(&data),
            Frame::Trailers(trailers) => message.trailers = Some(trailers),
        }
    }
    assert!(conn.is_read(), "a body has an end");
    if let Length::Fixed(length) = length {
        assert_eq!(length, message.body.len() as u64, "a body is as long as it says");
    }
    Ok(message)
}

fn end(error: &Error) -> End {
    match error {
        Error::Refused(refusal) => {
            assert!((400..600).contains(&refusal.status), "{refusal:?}");
            End::Inside
        }
        Error::Closed => End::Inside,
        Error::Io(error) => panic!("a pipe does not fail: {error}"),
    }
}

/// What a connection writes: a head, and then the rest of the message.
fn written<H>(message: &Message<H>, head: impl FnOnce(&mut Conn)) -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(PIPE);
    let mut conn = connection(near);
    head(&mut conn);
    let mut body = Bytes::copy_from_slice(&message.body);
    let trailers = message.trailers.as_ref();
    let sent = now(async {
        if !body.is_empty() {
            poll_fn(|cx| conn.poll_data(cx, &mut body)).await?;
        }
        poll_fn(|cx| conn.poll_finish(cx, trailers)).await?;
        poll_fn(|cx| conn.poll_flush(cx)).await
    });
    assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
    drop(conn);
    let mut written = Vec::new();
    let read = now(far.read_to_end(&mut written));
    assert!(matches!(read, Poll::Ready(Ok(_))), "{read:?}");
    written
}

/// Writes an accepted request as a proxy would and reads it again.
fn forwarded(message: &Message<Request>) {
    let request = &message.head;
    let text = |bytes: &Bytes| std::str::from_utf8(bytes).expect("targets are ASCII").to_owned();
    let (path, host) = (text(&request.path), text(&request.authority));
    if request.method == Method::CONNECT {
        return;
    }
    let line = RequestLine { method: &request.method, target: &path, host: &host };
    let written = written(message, |conn| conn.write_request(line, &request.headers, request.length, None));
    let shown = written.escape_ascii();
    let (plain, Ok(())) = oracle::requests(&written) else { panic!("no requests: {shown}") };
    assert_eq!(plain.len(), 1, "{shown}");
    assert_eq!(plain[0].start, (request.method.to_string(), path), "{shown}");
    assert_eq!(plain[0].values("host"), [host.as_bytes()], "{shown}");
    same(&plain[0], &request.headers, message);
    let (again, end) = in_pieces(&written, written.len(), all_requests);
    assert_eq!((again.len(), end), (1, End::Between), "{shown}");
    assert_eq!(again[0].head.path, request.path, "{shown}");
    assert_eq!((&again[0].body, &again[0].trailers), (&message.body, &message.trailers), "{shown}");
}

/// The same for a response to a request with `method`.
fn answered(message: &Message<Response>, method: &Method) {
    let response = &message.head;
    if *method == Method::CONNECT {
        return;
    }
    let written = written(message, |conn| {
        conn.write_response(response.status, Version::HTTP_11, &response.headers, response.length, None);
    });
    let shown = written.escape_ascii();
    let Read::Whole(plain) = oracle::response(&written, method.as_str(), true) else {
        panic!("no response: {shown}")
    };
    assert_eq!((plain.start.0.as_str(), plain.size), (response.status.as_str(), written.len()), "{shown}");
    same(&plain, &response.headers, message);
}

/// All but the fields that say where the message ends is as it came.
fn same<H: Debug>(plain: &oracle::Message, headers: &HeaderMap, message: &Message<H>) {
    assert_eq!(plain.body, message.body, "{plain:?}");
    let ours = ["host", "connection", "content-length", "transfer-encoding"];
    for name in headers.keys().filter(|name| !ours.contains(&name.as_str())) {
        let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        assert_eq!(plain.values(name.as_str()), values, "{name} of {plain:?}");
    }
    if plain.chunked {
        let count = message.trailers.as_ref().map_or(0, HeaderMap::len);
        assert_eq!(plain.trailers.len(), count, "{plain:?}");
    }
}
