//! Responses that are wrong in one way, by the thousand: what an upstream may send that a client must not have to
//! understand. `FAKE` follows many of them: an answer that nobody asked for, and that no request must get.

use super::corpus::{CODINGS, LENGTHS};

/// What the origin answers.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) method: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) family: &'static str,
}

const FAKE: &str = "HTTP/1.1 200 OK\r\nx-fake: yes\r\ncontent-length: 4\r\n\r\nfake";

pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    bytes(&mut all);
    lines(&mut all);
    framing(&mut all);
    statuses(&mut all);
    fields(&mut all);
    cut(&mut all);
    all
}

fn put(all: &mut Vec<Case>, family: &'static str, method: &'static str, bytes: impl Into<Vec<u8>>) {
    all.push(Case { method, bytes: bytes.into(), family });
}

fn get(all: &mut Vec<Case>, family: &'static str, bytes: impl Into<Vec<u8>>) {
    put(all, family, "GET", bytes);
}

fn ok(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}")
}

fn bytes(all: &mut Vec<Case>) {
    let chunked = |body: &str| ok("transfer-encoding: chunked\r\n", body);
    for (family, text) in [
        ("byte-first", format!("@{}", ok("content-length: 2\r\n", "ok"))),
        ("byte-version", "HTTP/1@1 200 OK\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-minor", "HTTP/1.@ 200 OK\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-space", "HTTP/1.1@200 OK\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-status", "HTTP/1.1 20@ OK\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-status-start", "HTTP/1.1 @00 OK\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-status-end", "HTTP/1.1 200@OK\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-reason", "HTTP/1.1 200 O@K\r\ncontent-length: 2\r\n\r\nok".into()),
        ("byte-line-end", "HTTP/1.1 200 OK\r@content-length: 2\r\n\r\nok".into()),
        ("byte-line-start", ok("content-length: 2\r\n@x: y\r\n", "ok")),
        ("byte-name", ok("content-length: 2\r\nx@a: y\r\n", "ok")),
        ("byte-colon", ok("content-length: 2\r\nx@: y\r\n", "ok")),
        ("byte-value", ok("content-length: 2\r\nx: y@z\r\n", "ok")),
        ("byte-value-end", ok("content-length: 2\r\nx: y@\r\n", "ok")),
        ("byte-head-end", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r@ok".into()),
        ("byte-length", ok("content-length: 2@\r\n", "ok")),
        ("byte-length-start", ok("content-length:@2\r\n", "ok")),
        ("byte-coding", ok("transfer-encoding: chunked@\r\n", "2\r\nok\r\n0\r\n\r\n")),
        ("byte-coding-start", ok("transfer-encoding:@chunked\r\n", "2\r\nok\r\n0\r\n\r\n")),
        ("byte-size", chunked("@2\r\nok\r\n0\r\n\r\n")),
        ("byte-size-end", chunked("2@\r\nok\r\n0\r\n\r\n")),
        ("byte-extension", chunked("2;@\r\nok\r\n0\r\n\r\n")),
        ("byte-data-end", chunked("2\r\nok@\n0\r\n\r\n")),
        ("byte-last", chunked("2\r\nok\r\n0@\r\n\r\n")),
        ("byte-end", chunked("2\r\nok\r\n0\r\n\r@")),
        ("byte-trailer", chunked("2\r\nok\r\n0\r\nx@: y\r\n\r\n")),
        ("byte-after", format!("{}@", ok("content-length: 2\r\n", "ok"))),
    ] {
        let (before, after) = text.split_once('@').unwrap();
        for byte in 0..=255 {
            get(all, family, [before.as_bytes(), &[byte], after.as_bytes()].concat());
        }
    }
}

fn lines(all: &mut Vec<Case>) {
    let rest = "content-length: 2\r\n\r\nok";
    for line in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.0 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/11 200 OK",
        "http/1.1 200 OK",
        "HTTPS/1.1 200 OK",
        "ICY 200 OK",
        "200 OK",
        "",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 OK",
        "HTTP/1.1 2 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 0200 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 +200 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1 200.0 OK",
        "HTTP/1.1 0x200 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "HTTP/1.1 999 OK",
        "HTTP/1.1 1000 OK",
        "HTTP/1.1 200 OK\r",
        "\r\nHTTP/1.1 200 OK",
        "\nHTTP/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "GET / HTTP/1.1",
        "HTTP/1.1 200 OK\0",
        "HTTP/1.1 200\0OK",
        "HTTP/1.1 200 \u{e9}",
        "HTTP/1.1 200 OK\r\n x",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200 OK HTTP/1.1",
        "\u{feff}HTTP/1.1 200 OK",
    ] {
        get(all, "line", format!("{line}\r\n{rest}"));
        get(all, "line", format!("{line}\n{rest}"));
    }
}

/// Size lines of chunks whose data is two letters.
const SIZES: &[&str] = &[
    "2",
    "02",
    "00000000000000002",
    "2 ",
    " 2",
    "+2",
    "-2",
    "0x2",
    "2;",
    "2;a",
    "2;a=b",
    "2 ;a",
    "",
    "x",
    "2,2",
    "ffffffffffffffff",
    "fffffffffffffffff",
    "2;\n",
    "2;\r",
    "2\n",
    "3",
    "1",
    "0",
    "100000002",
    "10000000000000002",
];

fn framing(all: &mut Vec<Case>) {
    let body = format!("2\r\nok\r\n0\r\n\r\n{FAKE}");
    for value in LENGTHS {
        get(all, "length", ok(&format!("content-length: {value}\r\n"), "hello"));
        get(all, "length-fake", ok(&format!("content-length: {value}\r\n"), &format!("hello{FAKE}")));
        put(all, "length-head", "HEAD", ok(&format!("content-length: {value}\r\n"), ""));
        get(all, "length-1.0", format!("HTTP/1.0 200 OK\r\ncontent-length: {value}\r\n\r\nhello"));
        for other in LENGTHS {
            get(
                all,
                "length-twice",
                ok(
                    &format!("content-length: {value}\r\nContent-Length: {other}\r\n"),
                    &format!("hello{FAKE}"),
                ),
            );
        }
    }
    for value in CODINGS {
        get(all, "coding", ok(&format!("transfer-encoding: {value}\r\n"), &body));
        get(all, "coding-1.0", format!("HTTP/1.0 200 OK\r\ntransfer-encoding: {value}\r\n\r\n{body}"));
        put(all, "coding-head", "HEAD", ok(&format!("transfer-encoding: {value}\r\n"), ""));
        for length in ["2", "12", "0", "x"] {
            get(
                all,
                "both",
                ok(&format!("transfer-encoding: {value}\r\ncontent-length: {length}\r\n"), &body),
            );
            get(
                all,
                "both",
                ok(&format!("content-length: {length}\r\ntransfer-encoding: {value}\r\n"), &body),
            );
        }
        for other in CODINGS {
            get(
                all,
                "coding-twice",
                ok(&format!("transfer-encoding: {value}\r\ntransfer-encoding: {other}\r\n"), &body),
            );
        }
    }
    for size in SIZES {
        get(all, "chunk", ok("transfer-encoding: chunked\r\n", &format!("{size}\r\nok\r\n0\r\n\r\n")));
        get(all, "chunk", ok("transfer-encoding: chunked\r\n", &format!("{size}\r\nok\r\n0\r\n\r\n{FAKE}")));
        get(all, "chunk", ok("transfer-encoding: chunked\r\n", &format!("2\r\nok\r\n{size}\r\n\r\n{FAKE}")));
    }
    for end in ["\r\n", "\n", "\r", "", " \r\n", "x\r\n", "\r\r\n", "\r\n\r\n"] {
        for last in [
            "0\r\n\r\n",
            "0\n\n",
            "0\r\n\n",
            "0\r\n",
            "0\r\r",
            "00\r\n\r\n",
            "0\r\nx: y\r\n\r\n",
            "0\r\ncontent-length: 9\r\n\r\n",
            "0\r\nset-cookie: a=b\r\n\r\n",
            "0\r\nx y\r\n\r\n",
            "0\r\nx: y\n\r\n",
            "",
        ] {
            get(all, "chunk-end", ok("transfer-encoding: chunked\r\n", &format!("2\r\nok{end}{last}")));
        }
    }
}

fn statuses(all: &mut Vec<Case>) {
    for status in [
        100, 101, 102, 103, 150, 199, 200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304,
        307, 400, 401, 404, 417, 418, 426, 431, 451, 499, 500, 501, 502, 503, 504, 505, 511, 599, 600, 999,
    ] {
        for lines in [
            "",
            "content-length: 0\r\n",
            "content-length: 2\r\n",
            "transfer-encoding: chunked\r\n",
            "connection: close\r\n",
            "connection: upgrade\r\nupgrade: websocket\r\n",
        ] {
            for method in ["GET", "HEAD", "POST"] {
                let body = if lines.contains("chunked") { "2\r\nok\r\n0\r\n\r\n" } else { "ok" };
                put(all, "status", method, format!("HTTP/1.1 {status} X\r\n{lines}\r\n"));
                put(all, "status-body", method, format!("HTTP/1.1 {status} X\r\n{lines}\r\n{body}"));
                put(all, "status-then", method, format!("HTTP/1.1 {status} X\r\n{lines}\r\n{FAKE}"));
            }
        }
    }
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
        "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 100 C\r\n\r\n",
        "HTTP/1.1 100 C\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 100 C\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        get(all, "interim", format!("{interim}{}", ok("content-length: 2\r\n", "ok")));
        get(all, "interim", format!("{}{}", interim.repeat(50), ok("content-length: 2\r\n", "ok")));
    }
}

fn fields(all: &mut Vec<Case>) {
    for line in [
        "x: y",
        "x:",
        "x",
        "x y",
        ": y",
        " x: y",
        "x : y",
        "x\t: y",
        "x(y): z",
        "x_y: z",
        ":status: 404",
        ":path: /",
        "x: \u{e9}",
        "x: \0",
        "x: y\r\n z",
        "x: y\r\n\tz",
        "x: y\n z",
        "x: a\rb",
        "x: a\nb: c",
        "set-cookie: a\r\nset-cookie: b",
        "connection: close",
        "connection: keep-alive",
        "connection: x\r\nx: y",
        "connection: content-length",
        "connection: transfer-encoding",
        "connection: set-cookie\r\nset-cookie: a",
        "connection: upgrade\r\nupgrade: h2c",
        "keep-alive: timeout=5",
        "proxy-connection: close",
        "te: trailers",
        "trailer: x",
        "upgrade: h2c",
        "via: 1.1 a",
        "date: x",
        "server: x",
        "x-envoy-upstream-service-time: 7",
        "x-envoy-overloaded: true",
        "content-type: a\r\ncontent-type: b",
        "location: /\u{e9}",
        "alt-svc: h3",
        "www-authenticate: x",
        "x-request-id: y",
        "host: a",
    ] {
        get(all, "field", ok(&format!("{line}\r\ncontent-length: 2\r\n"), "ok"));
        get(all, "field", ok(&format!("content-length: 2\r\n{line}\r\n"), &format!("ok{FAKE}")));
        get(all, "field", ok(&format!("{line}\r\ntransfer-encoding: chunked\r\n"), "2\r\nok\r\n0\r\n\r\n"));
        put(all, "field-head", "HEAD", ok(&format!("{line}\r\ncontent-length: 2\r\n"), ""));
    }
    for count in [50, 98, 99, 100, 101, 200, 256, 300, 2000] {
        let lines: String = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
        get(all, "count", ok(&format!("{lines}content-length: 2\r\n"), "ok"));
        get(all, "count", ok("transfer-encoding: chunked\r\n", &format!("2\r\nok\r\n0\r\n{lines}\r\n")));
    }
    for size in [8_000, 58_000, 62_000, 70_000, 200_000] {
        get(all, "size", ok(&format!("x: {}\r\ncontent-length: 2\r\n", "y".repeat(size)), "ok"));
        get(
            all,
            "size",
            ok("transfer-encoding: chunked\r\n", &format!("2\r\nok\r\n0\r\nx: {}\r\n\r\n", "y".repeat(size))),
        );
        get(
            all,
            "size",
            ok("transfer-encoding: chunked\r\n", &format!("2;{}\r\nok\r\n0\r\n\r\n", "y".repeat(size))),
        );
    }
}

/// Whole answers that end too early, at every place.
fn cut(all: &mut Vec<Case>) {
    for text in [
        ok("content-length: 10\r\n", "0123456789"),
        ok("transfer-encoding: chunked\r\n", "5\r\n01234\r\n5\r\n56789\r\n0\r\nx: y\r\n\r\n"),
        "HTTP/1.0 200 OK\r\n\r\n0123456789".into(),
        ok("", "0123456789"),
        format!("HTTP/1.1 100 C\r\n\r\n{}", ok("content-length: 10\r\n", "0123456789")),
    ] {
        for end in 0..text.len() {
            get(all, "cut", &text[..end]);
        }
    }
}
