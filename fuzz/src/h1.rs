//! HTTP/1: heads, bodies in their framing, trailers, one message behind the other.
//!
//! Promises: how the bytes are cut changes nothing; a request that is accepted can be written again and then reads, to our
//! own parser and to a naive one, as the same one request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Method;
use proxy::h1::{Conn, Error, Frame, Length, Limits, Request, RequestLine};
use proxy::io::{Raw, Stream, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// More than anything here is long.
const PIPE: usize = 1 << 20;

/// One message as it was read.
#[derive(Debug, PartialEq)]
struct Message {
    line: String,
    headers: String,
    length: Length,
    body: Vec<u8>,
    trailers: Option<String>,
}

/// How a stream of messages ended: between two of them, or inside one that was refused or cut off. A line that never ended
/// is refused where it came at once with others, and else waited for: both are the end.
#[derive(Debug, PartialEq)]
enum End {
    Between,
    Inside,
}

pub fn h1(bytes: &[u8]) {
    if bytes.len() > PIPE / 4 {
        return;
    }
    let (whole, end) = requests(bytes, bytes.len().max(1));
    for cut in [1, 7] {
        let (parts, other) = requests(bytes, cut);
        let shown: Vec<&Message> = whole.iter().map(|(_, message)| message).collect();
        let again: Vec<&Message> = parts.iter().map(|(_, message)| message).collect();
        assert_eq!((shown, &end), (again, &other), "cut in pieces of {cut}");
    }
    for (request, message) in &whole {
        forwarded(request, message);
    }
    responses(bytes);
}

fn connection(io: DuplexStream) -> Conn {
    Conn::new(Stream::Plain(Wire::new(Raw::Memory(io))))
}

fn now<F: Future + ?Sized>(work: Pin<&mut F>) -> Poll<F::Output> {
    work.poll(&mut Context::from_waker(Waker::noop()))
}

/// Everything that can be read of these bytes, given in pieces of this size.
fn requests(bytes: &[u8], cut: usize) -> (Vec<(Request, Message)>, End) {
    let (near, mut far) = tokio::io::duplex(PIPE);
    let mut reading = pin!(read_all(connection(near)));
    let mut early = None;
    for piece in bytes.chunks(cut) {
        assert!(now(pin!(far.write_all(piece)).as_mut()).is_ready(), "the pipe is long enough");
        if let Poll::Ready(done) = now(reading.as_mut()) {
            early = Some(done);
            break;
        }
    }
    drop(far);
    match early {
        Some(done) => done,
        None => match now(reading) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("still waits after the end of the stream"),
        },
    }
}

async fn read_all(mut conn: Conn) -> (Vec<(Request, Message)>, End) {
    let limits = Limits { accept_http10: true, ..Limits::default() };
    let mut found = Vec::new();
    loop {
        let request = match poll_fn(|cx| conn.poll_request(cx, &limits)).await {
            Ok(Some(request)) => request,
            Ok(None) => return (found, End::Between),
            Err(error) => return (found, end(&error)),
        };
        let line = format!(
            "{} {:?} {:?} {:?} {:?}",
            request.method, request.https, request.authority, request.path, request.version
        );
        let mut message = Message {
            line,
            headers: format!("{:?}", request.headers),
            length: request.length,
            body: Vec::new(),
            trailers: None,
        };
        loop {
            match poll_fn(|cx| conn.poll_frame(cx)).await {
                Ok(Some(Frame::Data(data))) => message.body.extend_from_slice(&data),
                Ok(Some(Frame::Trailers(trailers))) => message.trailers = Some(format!("{trailers:?}")),
                Ok(None) => break,
                Err(error) => return (found, end(&error)),
            }
        }
        if let Length::Fixed(length) = message.length {
            assert_eq!(length, message.body.len() as u64, "a body is as long as it says");
        }
        // What follows a request that ends the connection is not read.
        let last = !request.keep_alive || request.method == Method::CONNECT;
        found.push((request, message));
        if last {
            return (found, End::Between);
        }
    }
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

/// Writes an accepted request as a proxy would and reads it again.
fn forwarded(request: &Request, message: &Message) {
    let text = |bytes: &Bytes| std::str::from_utf8(bytes).expect("targets are ASCII").to_owned();
    let (path, host) = (text(&request.path), text(&request.authority));
    if request.method == Method::CONNECT {
        return;
    }
    let (near, mut far) = tokio::io::duplex(PIPE);
    let mut conn = connection(near);
    let line = RequestLine { method: &request.method, target: &path, host: &host };
    conn.write_request(line, &request.headers, request.length, None);
    let mut body = Bytes::copy_from_slice(&message.body);
    if !body.is_empty() {
        let sent = now(pin!(poll_fn(|cx| conn.poll_data(cx, &mut body))).as_mut());
        assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
    }
    let done = now(pin!(poll_fn(|cx| conn.poll_finish(cx, None))).as_mut());
    assert!(matches!(done, Poll::Ready(Ok(()))), "{done:?}");
    let flushed = now(pin!(poll_fn(|cx| conn.poll_flush(cx))).as_mut());
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "{flushed:?}");
    drop(conn);
    let mut written = Vec::new();
    let read = now(pin!(far.read_to_end(&mut written)).as_mut());
    assert!(matches!(read, Poll::Ready(Ok(_))), "{read:?}");
    naive(&written, message);
    let (again, end) = requests(&written, written.len());
    assert_eq!((again.len(), end), (1, End::Between), "{}", String::from_utf8_lossy(&written));
    assert_eq!(again[0].1.body, message.body, "{}", String::from_utf8_lossy(&written));
    assert_eq!(again[0].0.path, request.path, "{}", String::from_utf8_lossy(&written));
}

/// Lines end in the pair only, every one has a name without blanks, and one header says how long the body is.
fn naive(written: &[u8], message: &Message) {
    let shown = String::from_utf8_lossy(written);
    let end = written.windows(4).position(|part| part == b"\r\n\r\n").expect("a head ends");
    let mut lengths = Vec::new();
    for (number, line) in written[..end].split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r') && !line.contains(&0), "{shown}");
        if number == 0 {
            assert_eq!(line.split(|b| *b == b' ').count(), 3, "{shown}");
            continue;
        }
        let colon = line.iter().position(|b| *b == b':').expect("a header has a colon");
        let name = &line[..colon];
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "{shown}");
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding") {
            lengths.push(line.to_ascii_lowercase());
        }
    }
    match message.length {
        Length::Chunked => assert_eq!(lengths, [b"transfer-encoding: chunked".to_vec()], "{shown}"),
        Length::Fixed(length) => {
            assert_eq!(lengths, [format!("content-length: {length}").into_bytes()], "{shown}");
            assert_eq!(&written[end + 4..], &message.body[..], "{shown}");
        }
        Length::None | Length::Close => {
            assert!(lengths.iter().all(|line| line == b"content-length: 0"), "{shown}");
            assert_eq!(written.len(), end + 4, "{shown}");
        }
    }
}

/// The same bytes as an answer: no promise but that it ends.
fn responses(bytes: &[u8]) {
    for method in [Method::GET, Method::HEAD, Method::CONNECT] {
        let (near, mut far) = tokio::io::duplex(PIPE);
        assert!(now(pin!(far.write_all(bytes)).as_mut()).is_ready());
        drop(far);
        let mut conn = connection(near);
        let work = async {
            while poll_fn(|cx| conn.poll_response(cx, &Limits::default(), &method)).await.is_ok() {
                while let Ok(Some(_)) = poll_fn(|cx| conn.poll_frame(cx)).await {}
                if !conn.is_read() {
                    return;
                }
            }
        };
        assert!(now(pin!(work).as_mut()).is_ready(), "still waits after the end of the stream");
    }
}
