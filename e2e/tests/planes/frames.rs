//! HTTP/2 as no client library would write it: heads with fields that break a rule, some of which would become other
//! requests if they were written into HTTP/1.1 as they are. Both planes refuse or answer alike, and an origin sees the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use e2e::origin::Origin;
use e2e::planes::Plane;

use crate::differences::DIFFERENCES;
use crate::raw::without_plane;
use crate::stage;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// One head, as the client library would not send it.
#[derive(Clone, Copy)]
struct Head {
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    differs: Option<&'static str>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A field as a literal that no table remembers.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |n: usize| -> Vec<u8> { if n < 127 { vec![n as u8] } else { vec![127, (n - 127) as u8] } };
    [&[0][..], &length(name.len()), name.as_bytes(), &length(value.len()), value.as_bytes()].concat()
}

/// The answer to one head on a connection of its own.
fn outcome(to: SocketAddr, head: &Head, plane: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let fields: Vec<u8> =
        head.fields.iter().flat_map(|(name, value)| literal(name, &value.replace("PLANE", plane))).collect();
    let mut all = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    // END_HEADERS, and END_STREAM with the last frame.
    all.extend(frame(HEADERS, if head.body.is_empty() { 5 } else { 4 }, 1, &fields));
    if !head.body.is_empty() {
        all.extend(frame(DATA, 1, 1, head.body.as_bytes()));
    }
    stream.write_all(&all).unwrap();
    loop {
        let mut start = [0; 9];
        if stream.read_exact(&mut start).is_err() {
            return "refused".into();
        }
        let [a, b, c, kind, flags, ..] = start;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if stream.read_exact(&mut payload).is_err() {
            return "refused".into();
        }
        match kind {
            HEADERS => return status(&payload),
            RST_STREAM | GOAWAY => return "refused".into(),
            SETTINGS if flags == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).unwrap(),
            _ => {}
        }
    }
}

/// The status at the start of a head, where it has a number of its own in HPACK; else how it is spelled.
fn status(block: &[u8]) -> String {
    // A change of the table's size may come first.
    let block = if block.first().is_some_and(|b| b & 0xe0 == 0x20) { &block[1..] } else { block };
    match block.first() {
        Some(index @ 0x88..=0x8e) => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)].to_string()
        }
        _ => "another status".into(),
    }
}

const fn head(name: &'static str, fields: &'static [(&'static str, &'static str)]) -> Head {
    Head { name, fields, body: "", differs: None }
}

macro_rules! fields {
    ($path:expr $(, $name:expr => $value:expr)*) => {
        &[(":method", "GET"), (":scheme", "http"), (":authority", "app.example.com"), (":path", $path) $(, ($name, $value))*]
    };
}

const HEADS: &[Head] = &[
    head("in order", fields!("/PLANE/x")),
    head("connection", fields!("/PLANE/x", "connection" => "close")),
    head("keep-alive", fields!("/PLANE/x", "keep-alive" => "x")),
    head("proxy-connection", fields!("/PLANE/x", "proxy-connection" => "x")),
    head("transfer-encoding", fields!("/PLANE/x", "transfer-encoding" => "chunked")),
    head("upgrade", fields!("/PLANE/x", "upgrade" => "websocket")),
    head("te", fields!("/PLANE/x", "te" => "gzip")),
    head("upper case", fields!("/PLANE/x", "X-Upper" => "x")),
    head("space in a name", fields!("/PLANE/x", "x y" => "x")),
    head("colon in a name", fields!("/PLANE/x", "x:y" => "x")),
    head("line end in a name", fields!("/PLANE/x", "x\r\ny" => "x")),
    head("empty name", fields!("/PLANE/x", "" => "x")),
    head("line end in a value", fields!("/PLANE/x", "x" => "a\r\nhost: other")),
    head("line feed in a value", fields!("/PLANE/x", "x" => "a\nhost: other")),
    head("carriage return in a value", fields!("/PLANE/x", "x" => "a\rb")),
    head("NUL in a value", fields!("/PLANE/x", "x" => "a\0b")),
    head(
        "request in a value",
        fields!("/PLANE/x", "x" => "a\r\n\r\nGET /PLANE/smuggled HTTP/1.1\r\nhost: app.example.com\r\n\r\n"),
    ),
    head("line end in the path", fields!("/PLANE/x HTTP/1.1\r\nx: y\r\n\r\nGET /PLANE/smuggled")),
    head("space in the path", fields!("/PLANE/x y")),
    head("NUL in the path", fields!("/PLANE/x\0")),
    head("tab in the path", fields!("/PLANE/x\ty")),
    Head { differs: Some("http2-fragment"), ..head("fragment", fields!("/PLANE/x#y")) },
    head("path without a slash", fields!("PLANE/x")),
    head("absolute path", fields!("http://app.example.com/PLANE/x")),
    head("star", fields!("*")),
    head("empty path", fields!("")),
    head("no path", &[(":method", "GET"), (":scheme", "http"), (":authority", "app.example.com")]),
    head("no method", &[(":scheme", "http"), (":authority", "app.example.com"), (":path", "/PLANE/x")]),
    head("no scheme", &[(":method", "GET"), (":authority", "app.example.com"), (":path", "/PLANE/x")]),
    head("no authority", &[(":method", "GET"), (":scheme", "http"), (":path", "/PLANE/x")]),
    head(
        "host instead",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/PLANE/x"), ("host", "app.example.com")],
    ),
    head("another host", fields!("/PLANE/x", "host" => "nobody.example.com")),
    head(
        "two hosts",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/PLANE/x"),
            ("host", "app.example.com"),
            ("host", "other"),
        ],
    ),
    head("two paths", fields!("/PLANE/x", ":path" => "/PLANE/y")),
    head("two methods", fields!("/PLANE/x", ":method" => "POST")),
    head("unknown pseudo", fields!("/PLANE/x", ":unknown" => "x")),
    head("status", fields!("/PLANE/x", ":status" => "200")),
    head(
        "pseudo after a field",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            ("x", "y"),
            (":authority", "app.example.com"),
            (":path", "/PLANE/x"),
        ],
    ),
    head(
        "space in the method",
        &[
            (":method", "GET /PLANE/smuggled HTTP/1.1\r\n"),
            (":scheme", "http"),
            (":authority", "app.example.com"),
            (":path", "/PLANE/x"),
        ],
    ),
    head(
        "empty method",
        &[(":method", ""), (":scheme", "http"), (":authority", "app.example.com"), (":path", "/PLANE/x")],
    ),
    head(
        "line end in the authority",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "app.example.com\r\nx: y"),
            (":path", "/PLANE/x"),
        ],
    ),
    head(
        "user in the authority",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "user@app.example.com"),
            (":path", "/PLANE/x"),
        ],
    ),
    head(
        "path in the authority",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "app.example.com/y"),
            (":path", "/PLANE/x"),
        ],
    ),
    head(
        "other scheme",
        &[(":method", "GET"), (":scheme", "ftp"), (":authority", "app.example.com"), (":path", "/PLANE/x")],
    ),
    head(
        "odd scheme",
        &[
            (":method", "GET"),
            (":scheme", "http://x/?"),
            (":authority", "app.example.com"),
            (":path", "/PLANE/x"),
        ],
    ),
    head("connect", &[(":method", "CONNECT"), (":authority", "app.example.com:80")]),
    head(
        "connect with a path",
        &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "app.example.com:80"),
            (":path", "/PLANE/x"),
        ],
    ),
    head(
        "websocket",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "app.example.com"),
            (":path", "/PLANE/x"),
        ],
    ),
    head("length without a body", fields!("/PLANE/x", "content-length" => "5")),
    head("length zero", fields!("/PLANE/x", "content-length" => "0")),
    head("two lengths", fields!("/PLANE/x", "content-length" => "0", "content-length" => "5")),
    head("odd length", fields!("/PLANE/x", "content-length" => "x")),
    Head { body: "hello", ..head("length", fields!("/PLANE/x", "content-length" => "5")) },
    Head {
        body: "GET /PLANE/smuggled HTTP/1.1\r\n\r\n",
        ..head("short length", fields!("/PLANE/x", "content-length" => "3"))
    },
    Head { body: "hello", ..head("long length", fields!("/PLANE/x", "content-length" => "9")) },
    Head { body: "hello", ..head("chunked", fields!("/PLANE/x", "transfer-encoding" => "chunked")) },
    Head { body: "hello", ..head("plus length", fields!("/PLANE/x", "content-length" => "+5")) },
];

#[test]
fn heads_of_http2() {
    let (planes, origins) = stage::start(OBJECTS);
    let mut wrong = Vec::new();
    // All at once, since a plane that refuses takes a second to close.
    let outcomes: Vec<[(String, Vec<String>); 2]> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..HEADS.len())
            .map(|number| {
                let (planes, origins) = (&planes, &origins);
                scope.spawn(move || {
                    [(Plane::Envoy, "envoy"), (Plane::Ours, "ours")].map(|(plane, word)| {
                        let word = format!("{word}.{number}");
                        let outcome = outcome(planes.gateway(plane), &HEADS[number], &word);
                        (outcome, seen(origins, &word))
                    })
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for (head, [envoy, ours]) in HEADS.iter().zip(outcomes) {
        let mut found = Vec::new();
        if envoy != ours {
            found.push(format!("{}: envoy {envoy:?}, ours {ours:?}", head.name));
        }
        match head.differs {
            Some(row) => {
                let statuses = [&envoy, &ours].map(|(outcome, _)| outcome.parse().ok());
                wrong.extend(
                    DIFFERENCES.judge(row, statuses, &found).map(|why| format!("{}: {why}", head.name)),
                );
            }
            None => wrong.append(&mut found),
        }
        let smuggled =
            [&envoy, &ours].iter().any(|(_, seen)| seen.iter().any(|line| line.contains("smuggled HTTP")));
        assert!(!smuggled, "{}: {envoy:?} {ours:?}", head.name);
    }
    stage::no_nack(&planes, &mut wrong);
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

/// What an origin saw of it.
fn seen(origins: &[Origin], word: &str) -> Vec<String> {
    let seen = origins.iter().flat_map(|origin| origin.seen(&format!("{word}/")));
    seen.map(|(line, body)| without_plane(&format!("{line} {body}"))).collect()
}

const OBJECTS: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: default}
spec:
  hosts: [app.example.com]
  gateways: GATEWAYS
  http: [{route: [{destination: {host: a.example.com}}]}]
"#;
