//! HTTP/2 that would be something else in HTTP/1.1: heads and trailers with every odd byte, pseudo-headers that lack or
//! repeat, fields of one hop, lengths that lie. What arrives at an HTTP/1.1 origin is judged by the oracle; how each is
//! answered is compared with Envoy.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use e2e::frames::{
    Connection, DATA, END, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, SETTINGS, field, frame, status,
};

use super::backend::Record;
use super::kinds;
use super::lists::{HOSTS, LENGTHS, NAMES, PATHS, TES, TRAILERS};
use super::requests::judge_records;
use super::stage::{self, Side};
use super::verdict::{self, Judged};

/// Connections under way at a time: a plane that refuses takes its time to close.
const AT_ONCE: usize = 96;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One stream.
#[derive(Clone, Default)]
struct Asked {
    family: &'static str,
    head: Fields,
    /// Frames of data; none: the head ends the stream, or the trailers do.
    data: Vec<&'static [u8]>,
    trailers: Option<Fields>,
    /// Whether the last frame ends it.
    unended: bool,
}

#[test]
fn streams_become_one_request_or_none() {
    let (judged, wrong) = judge(&[stage::PLAIN], &all());
    verdict::give("streams", &kinds::STREAMS, &judged, wrong);
}

#[test]
fn underscores_over_http2() {
    let settings = ["ALLOW", "REJECT_REQUEST", "DROP_HEADER"].map(|action| {
        (action, format!("common_http_protocol_options: {{headers_with_underscores_action: {action}}}"))
    });
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, text)| (*name, &**text)).collect();
    let mut cases = Vec::new();
    for list in [
        &[][..],
        &[("x_a", "b")],
        &[("x-a", "b"), ("x_a", "c")],
        &[("_", "a"), ("a_", "b")],
        &[("content_length", "5")],
        &[("x-a", "b_c")],
    ] {
        put(&mut cases, "underscore", head(list));
    }
    let (judged, mut wrong) = judge(&settings, &cases);
    verdict::compare("underscores", &[], &judged, &mut wrong);
    verdict::fail("underscores", &wrong);
}

/// Every case at every listener of both planes.
fn judge(settings: &[(&str, &str)], cases: &[Asked]) -> (Vec<Judged>, Vec<String>) {
    let mut sides = stage::both(&(Arc::new(|_: &str| None) as _), settings);
    let each: Vec<(usize, &Asked)> =
        (0..settings.len()).flat_map(|listener| cases.iter().map(move |asked| (listener, asked))).collect();
    let (mut judged, mut wrong) = verdict::judge(&each, AT_ONCE, |number, (listener, asked), _| {
        let [envoy, ours] = [0, 1].map(|which| vec![outcome(sides[which].listen[*listener], asked, number)]);
        Judged { family: asked.family, bytes: told(asked, number), envoy, ours }
    });
    sides.iter_mut().for_each(Side::stop);
    judge_records(&sides[1], &mut wrong);
    let seen = [0, 1].map(|which| seen(&sides[which]));
    for one in &mut judged {
        let number = one.bytes.split(|b| *b == b' ').next().unwrap();
        let number: usize = String::from_utf8_lossy(number).parse().unwrap();
        for (told, seen) in [&mut one.envoy, &mut one.ours].into_iter().zip(&seen) {
            // What was begun before it was refused is a matter of moments.
            if let (Some(seen), false) = (seen.get(&number), told[0] == "refused") {
                told[0].push_str(" <- ");
                told[0].push_str(seen);
            }
        }
    }
    (judged, wrong)
}

/// The case as text: its number, then a field on each line.
fn told(asked: &Asked, number: usize) -> Vec<u8> {
    let mut text = format!("{number} {}\n", asked.family).into_bytes();
    let trailers = asked.trailers.iter().flatten();
    for (name, value) in asked.head.iter().chain(trailers) {
        text.extend_from_slice(&[name, &b"="[..], value, b"\n"].concat());
    }
    text.extend_from_slice(&asked.data.concat());
    text
}

/// What became of the stream: its status and how it ended.
fn outcome(to: SocketAddr, asked: &Asked, number: usize) -> String {
    let mut connection = Connection::open(to, &[]);
    let block =
        |fields: &Fields| -> Vec<u8> { fields.iter().flat_map(|(name, value)| field(name, value)).collect() };
    let mut head = asked.head.clone();
    head.push((b"x-case".into(), number.to_string().into()));
    let last = asked.data.is_empty() && asked.trailers.is_none() && !asked.unended;
    let mut all = frame(HEADERS, END_HEADERS | if last { END } else { 0 }, 1, &block(&head));
    for (at, data) in asked.data.iter().enumerate() {
        let last = at + 1 == asked.data.len() && asked.trailers.is_none() && !asked.unended;
        all.extend(frame(DATA, if last { END } else { 0 }, 1, data));
    }
    if let Some(trailers) = &asked.trailers {
        all.extend(frame(HEADERS, END_HEADERS | END, 1, &block(trailers)));
    }
    if connection.send(&all).is_err() {
        return "refused".into();
    }
    answered(&mut connection).unwrap_or_else(|_| "refused".into())
}

fn answered(connection: &mut Connection) -> io::Result<String> {
    let mut answer: Option<u16> = None;
    loop {
        let next = match connection.next_frame() {
            Ok(next) => next,
            Err(error) => return answer.map(|status| format!("{status} cut")).ok_or(error),
        };
        match next.kind {
            HEADERS => answer = answer.or(status(&next.payload)),
            RST_STREAM if next.stream == 1 => {
                return Ok(answer.map_or("refused".into(), |status| format!("{status} reset")));
            }
            GOAWAY if answer.is_none() => return Ok("refused".into()),
            SETTINGS if next.flags & END == 0 => connection.send(&frame(SETTINGS, END, 0, &[]))?,
            _ => {}
        }
        if [HEADERS, DATA].contains(&next.kind) && next.flags & END != 0 {
            return Ok(answer.map_or("no status".into(), |status| status.to_string()));
        }
    }
}

/// What the origin got of each case.
fn seen(side: &Side) -> BTreeMap<usize, String> {
    let mut seen: BTreeMap<usize, String> = BTreeMap::new();
    for record in side.backend.records() {
        let Record::Message(message) = record else { continue };
        let number = message.values("x-case").first().and_then(|value| {
            let text = String::from_utf8_lossy(value);
            text.parse().ok()
        });
        let Some(number) = number else { continue };
        let mut joined: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &message.headers {
            if ["x-request-id", "x-case", "x-forwarded-for"].contains(&name.as_str()) {
                continue;
            }
            let all = joined.entry(name).or_default();
            if !all.is_empty() {
                all.push(',');
            }
            all.push_str(&value.escape_ascii().to_string());
        }
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let text = format!("{} {} {joined:?} {body:?}", message.start.0, message.start.1);
        // Twice would be one too many.
        seen.entry(number).and_modify(|all| all.push_str(" and again")).or_insert(text);
    }
    seen
}

fn fields(list: &[(&str, &str)]) -> Fields {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

const PSEUDO: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "app.example.com"), (":path", "/x")];

/// A head in order, with some of its fields as these say.
fn head(changes: &[(&str, &str)]) -> Fields {
    let mut head = fields(&PSEUDO);
    for (name, value) in changes {
        match head.iter_mut().find(|(other, _)| other == name.as_bytes()) {
            Some((_, old)) => *old = value.as_bytes().to_vec(),
            None => head.push((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
        }
    }
    head
}

fn all() -> Vec<Asked> {
    let mut all = Vec::new();
    every_byte(&mut all);
    pseudo(&mut all);
    targets(&mut all);
    one_hop(&mut all);
    lengths(&mut all);
    trailers(&mut all);
    others(&mut all);
    all
}

fn put(all: &mut Vec<Asked>, family: &'static str, head: Fields) {
    all.push(Asked { family, head, ..Asked::default() });
}

/// What is neither letter nor digit, in each place.
fn every_byte(all: &mut Vec<Asked>) {
    for byte in (0..=0x2f_u8).chain(0x3a..=0x40).chain(0x5b..=0x60).chain(0x7b..=0x80).chain([0xa0, 0xff]) {
        let with = |before: &str, after: &str| [before.as_bytes(), &[byte], after.as_bytes()].concat();
        for (family, name, value) in [
            ("byte-name", with("x", "y"), b"z".to_vec()),
            ("byte-name-start", with("", "y"), b"z".to_vec()),
            ("byte-value", b"x".to_vec(), with("y", "z")),
            ("byte-value-start", b"x".to_vec(), with("", "z")),
            ("byte-value-end", b"x".to_vec(), with("y", "")),
            ("byte-cookie", b"cookie".to_vec(), with("a=", "b")),
        ] {
            let mut head = fields(&PSEUDO);
            head.push((name, value));
            put(all, family, head);
        }
        for (family, at, before, after) in [
            ("byte-method", 0, "GE", "T"),
            ("byte-method-end", 0, "GET", ""),
            ("byte-scheme", 1, "ht", "tp"),
            ("byte-authority", 2, "app", "example.com"),
            ("byte-authority-end", 2, "app.example.com", ""),
            ("byte-path", 3, "/x", "y"),
            ("byte-path-start", 3, "", "/y"),
            ("byte-path-end", 3, "/x", ""),
        ] {
            let mut head = fields(&PSEUDO);
            head[at].1 = with(before, after);
            put(all, family, head);
        }
    }
    for byte in b'A'..=b'Z' {
        let mut head = fields(&PSEUDO);
        head.push((vec![b'x', byte], b"z".to_vec()));
        put(all, "byte-name", head);
    }
}

/// Each pseudo-header missing, empty, twice, late; and others.
fn pseudo(all: &mut Vec<Asked>) {
    for (at, (name, value)) in PSEUDO.iter().enumerate() {
        let mut missing = fields(&PSEUDO);
        missing.remove(at);
        put(all, "pseudo", missing.clone());
        put(all, "pseudo", [missing.clone(), fields(&[("x", "y"), (name, value)])].concat());
        put(all, "pseudo", [missing.clone(), fields(&[("host", "app.example.com")])].concat());
        put(all, "pseudo", [missing.clone(), fields(&[(&name.to_uppercase(), value)])].concat());
        put(all, "pseudo", [missing, fields(&[(&name[1..], value)])].concat());
        put(all, "pseudo", head(&[(name, "")]));
        for other in [value, "other", ""] {
            put(all, "pseudo", [fields(&PSEUDO), fields(&[(name, other)])].concat());
            put(all, "pseudo", [fields(&PSEUDO), fields(&[("x", "y"), (name, other)])].concat());
        }
    }
    for name in
        [":", ":x", ":status", ":protocol", ":host", ":version", "::path", ":path ", ": path", ":Path"]
    {
        for value in ["", "200", "websocket"] {
            put(all, "pseudo", [fields(&PSEUDO), fields(&[(name, value)])].concat());
        }
    }
    for scheme in
        ["https", "HTTP", "ftp", "ws", "http:", "http://", "http:80", "1", "http+unix", "x y", "http\r\n"]
    {
        put(all, "scheme", head(&[(":scheme", scheme)]));
    }
    for method in [
        "POST",
        "HEAD",
        "OPTIONS",
        "get",
        "FOO",
        "CONNECT",
        "TRACE",
        "PRI",
        "GET / HTTP/1.1",
        "GET\r\nx: y",
        "*",
    ] {
        put(all, "method", head(&[(":method", method)]));
        all.push(Asked {
            family: "method",
            head: head(&[(":method", method)]),
            data: vec![b"hello"],
            ..Asked::default()
        });
    }
    for list in [
        &[(":method", "CONNECT"), (":authority", "app.example.com:80")][..],
        &[(":method", "CONNECT"), (":authority", "app.example.com")],
        &[(":method", "CONNECT"), (":authority", "user@app.example.com:80")],
        &[(":method", "CONNECT"), (":authority", "")],
        &[(":method", "CONNECT")],
        &[(":method", "CONNECT"), (":scheme", "http"), (":authority", "app.example.com:80")],
        &[(":method", "CONNECT"), (":authority", "app.example.com:80"), (":path", "/")],
        &[(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "app.example.com")],
        &[
            (":method", "GET"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
        ],
        &[(":method", "CONNECT"), (":authority", "app.example.com:80"), ("content-length", "5")],
    ] {
        put(all, "connect", fields(list));
    }
}

/// Paths and authorities of every form.
fn targets(all: &mut Vec<Asked>) {
    for path in PATHS {
        let path = path.replace("T0KEN", "x");
        for method in ["GET", "OPTIONS"] {
            put(all, "path", head(&[(":path", &path), (":method", method)]));
        }
    }
    for path in [
        "http://app.example.com/x",
        "https://other/x",
        "http://user@app.example.com/",
        "x",
        "/x HTTP/1.1\r\ny: z",
    ] {
        put(all, "path", head(&[(":path", path)]));
    }
    for host in HOSTS {
        put(all, "authority", head(&[(":authority", host)]));
        put(all, "authority", head(&[("host", host)]));
        let mut only = fields(&[(":method", "GET"), (":scheme", "http"), (":path", "/x"), ("host", host)]);
        put(all, "host", only.clone());
        only.push((b"host".to_vec(), b"app.example.com".to_vec()));
        put(all, "host", only);
    }
}

/// Fields that concern one hop of HTTP/1.1.
fn one_hop(all: &mut Vec<Asked>) {
    for name in
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"]
    {
        for value in
            ["", "close", "keep-alive", "x", "chunked", "identity", "websocket", "h2c", "trailers", "te"]
        {
            put(all, "one-hop", head(&[(name, value)]));
            all.push(Asked {
                family: "one-hop",
                head: head(&[(":method", "POST"), (name, value)]),
                data: vec![b"5\r\nhello\r\n0\r\n\r\n"],
                ..Asked::default()
            });
        }
    }
    for te in TES {
        put(all, "te", head(&[("te", te)]));
        put(all, "te", [head(&[("te", "trailers")]), fields(&[("te", te)])].concat());
    }
    for name in NAMES.iter().filter(|name| !name.starts_with(':')) {
        put(all, "one-hop", head(&[("connection", name), (name, "v")]));
        put(all, "field", head(&[(name, "v")]));
    }
    for expect in ["100-continue", "100-Continue", "x", ""] {
        for data in [vec![], vec![&b"hello"[..]]] {
            all.push(Asked {
                family: "expect",
                head: head(&[(":method", "POST"), ("expect", expect)]),
                data,
                ..Asked::default()
            });
        }
    }
}

/// Lengths, and data that is as long or is not.
fn lengths(all: &mut Vec<Asked>) {
    const PREY: &[u8] = b"GET /prey HTTP/1.1\r\nhost: app.example.com\r\n\r\n";
    for value in LENGTHS.iter().copied().chain(["0", "5", "3", "4", "10", "44"]) {
        for data in
            [vec![], vec![&b""[..]], vec![b"hello"], vec![b"hel", b"lo"], vec![b"hello", b""], vec![PREY]]
        {
            for method in ["GET", "POST"] {
                all.push(Asked {
                    family: "length",
                    head: head(&[(":method", method), ("content-length", value)]),
                    data: data.clone(),
                    ..Asked::default()
                });
            }
        }
        for other in ["5", "0", value] {
            all.push(Asked {
                family: "length-twice",
                head: [
                    head(&[(":method", "POST"), ("content-length", value)]),
                    fields(&[("content-length", other)]),
                ]
                .concat(),
                data: vec![b"hello"],
                ..Asked::default()
            });
        }
        all.push(Asked {
            family: "length-trailers",
            head: head(&[(":method", "POST"), ("content-length", value)]),
            data: vec![b"hello"],
            trailers: Some(fields(&[("x", "y")])),
            ..Asked::default()
        });
    }
}

/// Fields behind the data.
fn trailers(all: &mut Vec<Asked>) {
    let lines = TRAILERS.iter().filter_map(|line| line.split_once(": "));
    let more = [
        (":method", "GET"),
        (":status", "200"),
        ("", "y"),
        ("X", "y"),
        ("x\r\ny", "z"),
        ("x y", "z"),
        ("x", "a\r\nb: c"),
        ("x", "a\r\n\r\nGET /prey HTTP/1.1\r\n\r\n"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", " y "),
        ("te", "trailers"),
        ("connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
    ];
    for (name, value) in lines.chain(more) {
        for lower in [name.to_owned(), name.to_lowercase()] {
            for data in [vec![], vec![&b"hello"[..]]] {
                all.push(Asked {
                    family: "trailers",
                    head: head(&[(":method", "POST")]),
                    data,
                    trailers: Some(fields(&[("x-fine", "1"), (&lower, value)])),
                    ..Asked::default()
                });
            }
        }
    }
}

fn others(all: &mut Vec<Asked>) {
    let crumbs = |list: &[&str]| {
        let crumbs: Vec<(&str, &str)> = list.iter().map(|crumb| ("cookie", *crumb)).collect();
        [fields(&PSEUDO), fields(&crumbs)].concat()
    };
    for list in [
        &["a=b", "c=d"][..],
        &["a=b", ""],
        &["", ""],
        &["a=b; c=d", "e=f"],
        &["a=b;", "c=d"],
        &["a\u{e9}", "b"],
    ] {
        put(all, "cookie", crumbs(list));
    }
    for count in [10, 90, 99, 100, 101, 200] {
        let many: Fields = (0..count).map(|n| (format!("x-{n}").into(), b"y".to_vec())).collect();
        put(all, "count", [fields(&PSEUDO), many].concat());
    }
    for list in [
        &[("x", "a"), ("x", "b"), ("x", "")][..],
        &[("x_y", "z")],
        &[("content-type", "application/grpc"), ("te", "trailers")],
        &[("x", "  spaced  ")],
        &[("x", "\t")],
        &[("trailer", "x"), ("te", "trailers")],
        &[("range", "bytes=0-1"), ("range", "bytes=2-3")],
        &[("expect", "100-continue"), ("expect", "100-continue")],
    ] {
        put(all, "field", [fields(&PSEUDO), fields(list)].concat());
    }
}
