//! Requests that are wrong in one way or in several, by the thousand: every byte in every place of a message, products
//! of the fields that frame it, known families of request smuggling, and random connections that mix all of it.
//!
//! `T0KEN` in a case becomes its number with as many letters, so that no length changes.

/// What a client sends on one connection, and the ways in which it is unusual.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) bytes: Vec<u8>,
    /// The kind of place or field that is odd, for messages and for the table of differences.
    pub(crate) family: &'static str,
}

/// Small and the same on every machine (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    pub(crate) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const HOST: &str = "Host: app.example.com\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// What an attacker would like to see served as a request of its own.
const INNER: &str = "GET /T0KEN/inner HTTP/1.1\r\nHost: app.example.com\r\n\r\n";

/// Everything, in an order that never changes.
pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    bytes(&mut all);
    first_lines(&mut all);
    hosts(&mut all);
    lengths(&mut all);
    codings(&mut all);
    both(&mut all);
    chunks(&mut all);
    trailers(&mut all);
    fields(&mut all);
    sizes(&mut all);
    meanings(&mut all);
    mixed(&mut all);
    all
}

fn put(all: &mut Vec<Case>, family: &'static str, bytes: impl Into<Vec<u8>>) {
    all.push(Case { bytes: bytes.into(), family });
}

fn post(lines: &str, body: &str) -> String {
    format!("POST /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post(CHUNKED, body)
}

/// Every byte in every place: `@` marks it.
fn bytes(all: &mut Vec<Case>) {
    let get = |lines: &str| format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\n");
    let places: Vec<(&'static str, String)> = vec![
        ("byte-first", format!("@GET /T0KEN/x HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-method", format!("G@T /T0KEN/x HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-method-end", format!("GET@ /T0KEN/x HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-method-space", format!("GET@/T0KEN/x HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-target-start", format!("GET @/T0KEN/x HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-target", format!("GET /T0KEN/a@b HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-query", format!("GET /T0KEN/a?b@c HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-target-end", format!("GET /T0KEN/x@ HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-target-host", format!("GET http://app@example.com/T0KEN/x HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-target-space", format!("GET /T0KEN/x@HTTP/1.1\r\n{HOST}\r\n")),
        ("byte-version", format!("GET /T0KEN/x HTTP@1.1\r\n{HOST}\r\n")),
        ("byte-version-major", format!("GET /T0KEN/x HTTP/@.1\r\n{HOST}\r\n")),
        ("byte-version-dot", format!("GET /T0KEN/x HTTP/1@1\r\n{HOST}\r\n")),
        ("byte-version-minor", format!("GET /T0KEN/x HTTP/1.@\r\n{HOST}\r\n")),
        ("byte-version-end", format!("GET /T0KEN/x HTTP/1.1@\r\n{HOST}\r\n")),
        ("byte-line-end", format!("GET /T0KEN/x HTTP/1.1\r@{HOST}\r\n")),
        ("byte-line-start", get("@x-a: b\r\n")),
        ("byte-name", get("x-@a: b\r\n")),
        ("byte-colon", get("x-a@: b\r\n")),
        ("byte-for-colon", get("x-a@ b\r\n")),
        ("byte-value-start", get("x-a:@b\r\n")),
        ("byte-value", get("x-a: b@c\r\n")),
        ("byte-value-end", get("x-a: b@\r\n")),
        ("byte-field-end", get("x-a: b\r@x-c: d\r\n")),
        ("byte-head-end", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}\r@")),
        ("byte-host", "GET /T0KEN/x HTTP/1.1\r\nHost: app@example.com\r\n\r\n".to_owned()),
        ("byte-host-end", "GET /T0KEN/x HTTP/1.1\r\nHost: app.example.com@\r\n\r\n".to_owned()),
        ("byte-length-start", post("Content-Length:@5\r\n", "hello")),
        ("byte-length", post("Content-Length: 1@\r\n", "hello hello hello h")),
        ("byte-length-end", post("Content-Length: 5@\r\n", "hello")),
        ("byte-length-name", post("Content@Length: 5\r\n", "hello")),
        ("byte-coding-start", post("Transfer-Encoding:@chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")),
        ("byte-coding", post("Transfer-Encoding: chu@ked\r\n", "5\r\nhello\r\n0\r\n\r\n")),
        ("byte-coding-end", post("Transfer-Encoding: chunked@\r\n", "5\r\nhello\r\n0\r\n\r\n")),
        ("byte-coding-name", post("Transfer@Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")),
        ("byte-size-start", chunked("@5\r\nhello\r\n0\r\n\r\n")),
        ("byte-size", chunked("@\r\nhello\r\n0\r\n\r\n")),
        ("byte-size-end", chunked("5@\r\nhello\r\n0\r\n\r\n")),
        ("byte-extension", chunked("5;a@b\r\nhello\r\n0\r\n\r\n")),
        ("byte-size-line", chunked("5\r@hello\r\n0\r\n\r\n")),
        ("byte-data-end", chunked("5\r\nhello@\n0\r\n\r\n")),
        ("byte-data-line", chunked("5\r\nhello\r@0\r\n\r\n")),
        ("byte-last-size", chunked("5\r\nhello\r\n0@\r\n\r\n")),
        ("byte-last-end", chunked("5\r\nhello\r\n0\r\n\r@")),
        ("byte-trailer-name", chunked("5\r\nhello\r\n0\r\nx-@a: b\r\n\r\n")),
        ("byte-trailer-colon", chunked("5\r\nhello\r\n0\r\nx-a@: b\r\n\r\n")),
        ("byte-trailer-value", chunked("5\r\nhello\r\n0\r\nx-a: b@c\r\n\r\n")),
        ("byte-trailer-end", chunked("5\r\nhello\r\n0\r\nx-a: b\r@\r\n")),
    ];
    for (family, text) in places {
        let (before, after) = text.split_once('@').unwrap();
        for byte in 0..=255 {
            put(all, family, [before.as_bytes(), &[byte], after.as_bytes()].concat());
        }
    }
}

/// Methods, and what looks like one.
const METHODS: &[&str] = &[
    "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "Get", "GETT",
    "FOO", "X", "", "M-SEARCH", "PROPFIND", "QUERY", "GET/", "G,T", "BREW", "\"GET\"",
];

/// Request targets of every form, and of none.
const TARGETS: &[&str] = &[
    "/T0KEN/x",
    "/T0KEN/x?y",
    "/T0KEN?",
    "//T0KEN/x",
    "/T0KEN/./x",
    "/T0KEN/../x",
    "/T0KEN/%2e%2e/x",
    "/T0KEN//x",
    "/T0KEN/%00",
    "/T0KEN/%",
    "/T0KEN/%zz",
    "/T0KEN/x#y",
    "*",
    "",
    "x",
    "T0KEN/x",
    "?T0KEN",
    "http:/T0KEN",
    "http:///T0KEN",
    "http://app.example.com",
    "http://app.example.com/T0KEN/x",
    "HTTP://app.example.com/T0KEN/x",
    "https://app.example.com/T0KEN/x",
    "http://app.example.com:80/T0KEN/x",
    "http://app.example.com:/T0KEN/x",
    "http://app.example.com:x/T0KEN",
    "http://user@app.example.com/T0KEN/x",
    "http://other.example.com/T0KEN/x",
    "http://app.example.com?T0KEN",
    "http://app.example.com#T0KEN",
    "http://[::1]/T0KEN",
    "http://[::1/T0KEN",
    "http://a b/T0KEN",
    "http://app.example.com\\T0KEN",
    "ftp://app.example.com/T0KEN",
    "://T0KEN",
    "app.example.com:80",
    "app.example.com",
    "app.example.com:x",
    "/T0KEN/\\x",
    "/T0KEN/x;y=z",
    "/T0KEN/[x]",
    "/T0KEN/{x}",
    "/T0KEN/<x>",
    "/T0KEN/\"x\"",
    "/T0KEN/x|y",
    "/T0KEN/x^y",
    "/T0KEN/http://x",
];

/// Versions, and what looks like one.
const VERSIONS: &[&str] = &[
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2",
    "HTTP/2.0",
    "HTTP/3.0",
    "HTTP/1.2",
    "HTTP/1.9",
    "HTTP/1.10",
    "HTTP/01.1",
    "HTTP/1.01",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/.1",
    "HTTP/11",
    "http/1.1",
    "Http/1.1",
    "HTTPS/1.1",
    "HTTP 1.1",
    "HTTP/1.1 ",
    "HTTP/1.1x",
    "HTTP/-1.1",
    "HTTP/1,1",
    "ICAP/1.0",
    "RTSP/1.0",
    "",
    "HTTP/",
    "HTTP/1.1HTTP/1.1",
];

fn first_lines(all: &mut Vec<Case>) {
    for method in METHODS {
        // QUERY without a content type is refused for that, where its target is not refused first.
        for target in TARGETS.iter().filter(|target| *method != "QUERY" || !target.contains("com?")) {
            put(all, "first-line", format!("{method} {target} HTTP/1.1\r\n{HOST}\r\n"));
        }
        for version in VERSIONS {
            put(all, "version", format!("{method} /T0KEN/x {version}\r\n{HOST}\r\n"));
        }
    }
    for target in TARGETS {
        for version in ["HTTP/1.0", "HTTP/2.0"] {
            put(all, "version", format!("GET {target} {version}\r\n{HOST}\r\n"));
        }
    }
    for (one, two) in [
        (" ", "  "),
        ("  ", " "),
        ("\t", " "),
        (" ", "\t"),
        ("", " "),
        (" ", ""),
        ("\u{b}", " "),
        (" ", "\u{c}"),
    ] {
        put(all, "first-line", format!("GET{one}/T0KEN/x{two}HTTP/1.1\r\n{HOST}\r\n"));
    }
    for before in [
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "\r\r\n",
        " ",
        "\t",
        " \r\n",
        "\r\n ",
        "\0",
        "\u{feff}",
        "\r\n\n",
        "x\r\n",
        "\r\n\t\r\n",
    ] {
        put(all, "before-line", format!("{before}GET /T0KEN/x HTTP/1.1\r\n{HOST}\r\n"));
        let first = format!("GET /T0KEN/1 HTTP/1.1\r\n{HOST}\r\n");
        put(all, "between", format!("{first}{before}GET /T0KEN/x HTTP/1.1\r\n{HOST}\r\n"));
        put(
            all,
            "between",
            format!("{}{before}GET /T0KEN/x HTTP/1.1\r\n{HOST}\r\n", post("Content-Length: 5\r\n", "hello")),
        );
    }
    for text in [
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /T0KEN\r\n",
        "GET /T0KEN\r\n\r\n",
        "GET\r\n\r\n",
        "\r\n\r\n\r\n",
        "GET /T0KEN/x HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "GET /T0KEN HTTP/1.1\r\n\r\n",
        "GET /T0KEN HTTP/1.1\n\n",
        "GET /T0KEN/x y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /T0KEN/x HTTP/1.1\rHost: a\r\r",
        "GET /T0KEN/x HTTP/1.1\r\n\rHost: a\r\n\r\n",
    ] {
        put(all, "first-line", text);
    }
}

/// Values of `host`.
const HOSTS: &[&str] = &[
    "app.example.com",
    "APP.example.com",
    "app.example.com:80",
    "app.example.com:",
    "app.example.com:0",
    "app.example.com:65536",
    "app.example.com:99999999999",
    "app.example.com:x",
    "app.example.com:-1",
    "app.example.com:80:80",
    ":80",
    ":",
    "",
    " ",
    ".",
    "..",
    "app.example.com.",
    "app..example.com",
    "user@app.example.com",
    "@app.example.com",
    "app.example.com@",
    "app.example.com/x",
    "app.example.com?x",
    "app.example.com#x",
    "app example.com",
    "app\texample.com",
    "app.example.com, other",
    "app.example.com,other",
    "http://app.example.com",
    "[::1]",
    "[::1]:80",
    "[::1",
    "::1",
    "[]",
    "[x]",
    "127.0.0.1",
    "127.0.0.1:80",
    "a_b",
    "*",
    "%61pp.example.com",
    "app.example.com%00",
    "app.example.com\\x",
    "app.example.com;x",
    "\"app.example.com\"",
    "<app>",
    "{app}",
    "app|x",
    "app^x",
    "app`x",
    "caf\u{e9}.example.com",
    "xn--caf-dma.example.com",
    "app.example.com:+80",
    "app.example.com:8 0",
];

fn hosts(all: &mut Vec<Case>) {
    for value in HOSTS {
        put(all, "host", format!("GET /T0KEN/x HTTP/1.1\r\nHost: {value}\r\n\r\n"));
        put(all, "host-1.0", format!("GET /T0KEN/x HTTP/1.0\r\nHost: {value}\r\n\r\n"));
        put(
            all,
            "host-absolute",
            format!("GET http://app.example.com/T0KEN/x HTTP/1.1\r\nHost: {value}\r\n\r\n"),
        );
        put(
            all,
            "host-twice",
            format!("GET /T0KEN/x HTTP/1.1\r\nHost: app.example.com\r\nHost: {value}\r\n\r\n"),
        );
        put(
            all,
            "host-twice",
            format!("GET /T0KEN/x HTTP/1.1\r\nHost: {value}\r\nx-a: b\r\nhOST: app.example.com\r\n\r\n"),
        );
        put(all, "connect", format!("CONNECT {value} HTTP/1.1\r\nHost: app.example.com\r\n\r\n"));
    }
    for lines in [
        "",
        "Host\r\n",
        "Host : app.example.com\r\n",
        " Host: app.example.com\r\n",
        "host:app.example.com\r\n",
        "Hos t: app.example.com\r\n",
        "X-Host: a\r\n",
        "Host: app.example.com\r\n\tx\r\n",
    ] {
        put(all, "host", format!("GET /T0KEN/x HTTP/1.1\r\n{lines}\r\n"));
        put(all, "host-absolute", format!("GET http://app.example.com/T0KEN/x HTTP/1.1\r\n{lines}\r\n"));
    }
}

pub(super) const LENGTHS: [&str; 44] = [
    "5",
    "05",
    "005",
    "0",
    "00",
    "6",
    "4",
    "+5",
    "-5",
    "-0",
    "+0",
    "5 ",
    " 5",
    "\t5",
    "5\t",
    "5,5",
    "5, 5",
    "5,6",
    "5;5",
    "5 5",
    "0x5",
    "5h",
    "5.0",
    "5e0",
    "0b101",
    "0o5",
    "\"5\"",
    "'5'",
    "",
    "five",
    "\u{665}",
    "5\u{b}",
    "5\u{c}",
    "5\0",
    "5\r",
    "5\n",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551621",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999999999999",
    "4294967301",
    "000000000000000000000000005",
];

fn lengths(all: &mut Vec<Case>) {
    for value in LENGTHS {
        for (name, colon) in [
            ("Content-Length", ": "),
            ("content-length", ":"),
            ("CONTENT-LENGTH", ":  "),
            ("Content-Length", " : "),
            ("Content-Length", "\t:"),
        ] {
            put(all, "length", post(&format!("{name}{colon}{value}\r\n"), "hello"));
        }
        put(
            all,
            "length-get",
            format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}Content-Length: {value}\r\n\r\nhello"),
        );
        put(
            all,
            "length-1.0",
            format!("POST /T0KEN/x HTTP/1.0\r\n{HOST}Content-Length: {value}\r\n\r\nhello"),
        );
        for method in ["HEAD", "DELETE", "CONNECT", "OPTIONS", "TRACE"] {
            put(
                all,
                "length-method",
                format!("{method} /T0KEN/x HTTP/1.1\r\n{HOST}Content-Length: {value}\r\n\r\nhello"),
            );
        }
        for other in LENGTHS {
            put(
                all,
                "length-twice",
                post(&format!("Content-Length: {value}\r\ncontent-length: {other}\r\n"), "hello"),
            );
        }
    }
    for name in [
        "Content-Length ",
        " Content-Length",
        "Content_Length",
        "Content Length",
        "Content-Length\0",
        "X-Content-Length",
        "Content-Lengt",
        "Content-Length\u{b}",
        "\u{ff}Content-Length",
        "Content\u{2d}Length",
        "Content.Length",
    ] {
        put(all, "length-name", post(&format!("{name}: 5\r\n"), "hello"));
        put(all, "length-name", post(&format!("{name}: 5\r\nContent-Length: 6\r\n"), "hello!"));
        put(all, "length-name", post(&format!("Content-Length: {}\r\n{name}: 0\r\n", INNER.len()), INNER));
    }
}

pub(super) const CODINGS: [&str; 52] = [
    "chunked",
    "Chunked",
    "CHUNKED",
    "chunKed",
    " chunked",
    "chunked ",
    "\tchunked",
    "chunked\t",
    "\u{b}chunked",
    "chunked\u{b}",
    "\u{c}chunked",
    "\u{0}chunked",
    "chunked\0",
    "chunked, identity",
    "identity, chunked",
    "identity",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "chunked,chunked",
    ", chunked",
    "chunked,",
    ",chunked,",
    "chunked;x",
    "chunked; q=1",
    "chunked;x=y",
    "\"chunked\"",
    "'chunked'",
    "xchunked",
    "chunkedx",
    "x-chunked",
    "chunke",
    "chunk",
    "chunked chunked",
    "chunked\r",
    "\rchunked",
    "chunked\n",
    "\nchunked",
    "chunked\r\n ",
    "\r\n chunked",
    "\r\n\tchunked",
    "",
    "deflate",
    "compress",
    "trailers",
    "cow",
    "chunked\u{a0}",
    "\u{212a}hunked",
    "ch\u{fc}nked",
    "chun\tked",
    "identity;chunked",
];

fn codings(all: &mut Vec<Case>) {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    for value in CODINGS {
        for line in [
            "Transfer-Encoding: ",
            "transfer-encoding:",
            "TRANSFER-ENCODING: ",
            "Transfer-Encoding : ",
            "Transfer-Encoding\t:",
            " Transfer-Encoding: ",
            "Transfer_Encoding: ",
            "X: y\r\n Transfer-Encoding: ",
        ] {
            put(all, "coding", post(&format!("{line}{value}\r\n"), body));
        }
        put(
            all,
            "coding-get",
            format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n{body}"),
        );
        put(
            all,
            "coding-1.0",
            format!("POST /T0KEN/x HTTP/1.0\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n{body}"),
        );
        put(
            all,
            "coding-connect",
            format!("CONNECT app.example.com:80 HTTP/1.1\r\n{HOST}Transfer-Encoding: {value}\r\n\r\n{body}"),
        );
        put(
            all,
            "coding-inner",
            post(&format!("Transfer-Encoding: {value}\r\n"), &format!("0\r\n\r\n{INNER}")),
        );
        for other in CODINGS {
            put(
                all,
                "coding-twice",
                post(&format!("Transfer-Encoding: {value}\r\nTransfer-Encoding: {other}\r\n"), body),
            );
        }
    }
}

/// Length and coding: the classic ways to be two messages at once.
fn both(all: &mut Vec<Case>) {
    for value in CODINGS {
        for length in ["5", "0", "15", "3", "05", "+5", "x", "6,6"] {
            let body = format!("0\r\n\r\n{INNER}");
            put(
                all,
                "both",
                post(&format!("Content-Length: {length}\r\nTransfer-Encoding: {value}\r\n"), &body),
            );
            put(
                all,
                "both",
                post(&format!("Transfer-Encoding: {value}\r\nContent-Length: {length}\r\n"), &body),
            );
        }
        let full = format!("0\r\n\r\n{INNER}");
        put(
            all,
            "both",
            post(&format!("Content-Length: {}\r\nTransfer-Encoding: {value}\r\n", full.len()), &full),
        );
        put(
            all,
            "both-1.0",
            format!(
                "POST /T0KEN/x HTTP/1.0\r\n{HOST}Content-Length: {}\r\nTransfer-Encoding: {value}\r\n\r\n{full}",
                full.len()
            ),
        );
        for connection in
            ["transfer-encoding", "content-length", "close, transfer-encoding", "keep-alive, host", "upgrade"]
        {
            put(
                all,
                "nominated",
                post(
                    &format!(
                        "Connection: {connection}\r\nContent-Length: {}\r\nTransfer-Encoding: {value}\r\n",
                        full.len()
                    ),
                    &full,
                ),
            );
        }
    }
}

/// Size lines of chunks whose data is five letters.
const SIZES: &[&str] = &[
    "5",
    "05",
    "0000000000000005",
    "00000000000000005",
    "000000000000000000000000000000000000005",
    "5 ",
    " 5",
    "\t5",
    "5\t",
    "+5",
    "-5",
    "0x5",
    "0X5",
    "5h",
    "5.",
    "5,5",
    "five",
    "",
    "5;",
    "5;a",
    "5;a=b",
    "5;a=\"b\"",
    "5;a=\"b",
    "5; a=b",
    "5 ;a=b",
    "5;a=b;c=d",
    "5;;",
    "5\u{b}",
    "5\0",
    "5\r",
    "5\n",
    "5;\n",
    "5;\r",
    "5;a\rb",
    "5;a\nb",
    "5;a=\"\r\n\"",
    "5;\0",
    "5;\u{e9}",
    "10000000000000005",
    "100000005",
    "ffffffffffffffff",
    "fffffffffffffffff",
    "7fffffffffffffff",
    "8000000000000000",
    "FFFFFFFFFFFFFFFFFFFFFFFF",
    "5\r\n",
    "G",
    "-",
    "0",
    "00",
    "0;a",
    "3",
    "6",
    "a",
    "A",
    "5_0",
    "5'",
    "\u{665}",
    "0b101",
    "1e0",
];

fn chunks(all: &mut Vec<Case>) {
    for size in SIZES {
        put(all, "chunk-size", chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")));
        put(all, "chunk-last", chunked(&format!("5\r\nhello\r\n{size}\r\n\r\n")));
        put(all, "chunk-second", chunked(&format!("1\r\na\r\n{size}\r\nhello\r\n0\r\n\r\n")));
        put(all, "chunk-inner", chunked(&format!("{size}\r\n\r\n{INNER}")));
    }
    for end in [
        "\r\n",
        "\n",
        "\r",
        "\r\r\n",
        "\n\r",
        "",
        " \r\n",
        "\r\n\r\n",
        "x\r\n",
        "\0\r\n",
        "\r\n ",
        "\u{b}\r\n",
    ] {
        for last in [
            "0\r\n\r\n",
            "0\n\n",
            "0\r\n\n",
            "0\n\r\n",
            "0\r\r",
            "0\r\n",
            "0\r\n\r",
            "00\r\n\r\n",
            "\r\n0\r\n\r\n",
            "0\r\n\r\n\r\n",
            "0 \r\n\r\n",
            "-0\r\n\r\n",
            "0\r\nx: y\r\n\r\n",
        ] {
            put(all, "chunk-end", chunked(&format!("5\r\nhello{end}{last}")));
            put(all, "chunk-end", chunked(&format!("5\r\nhello{end}{last}{INNER}")));
        }
        put(all, "chunk-line", chunked(&format!("5{end}hello\r\n0\r\n\r\n")));
        put(all, "chunk-line", chunked(&format!("5;x{end}hello\r\n0\r\n\r\n")));
        put(all, "chunk-line", chunked(&format!("5\r\nhello\r\n0;x{end}\r\n")));
        put(all, "chunk-line", chunked(&format!("5;x{end}5\r\nhello\r\n0\r\n\r\n")));
    }
    for length in [100, 200, 254, 255, 256, 300, 1000, 4000, 16_000, 70_000] {
        let filler = "x".repeat(length);
        put(all, "extension-size", chunked(&format!("5;{filler}\r\nhello\r\n0\r\n\r\n")));
        put(all, "extension-size", chunked(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(length))));
    }
    let many: String = (0..2000).map(|_| "1\r\na\r\n").collect();
    put(all, "chunk-many", chunked(&format!("{many}0\r\n\r\n")));
    let many: String = (0..500).map(|_| "1;aaaaaaaaaaaaaaaa\r\na\r\n").collect();
    put(all, "chunk-many", chunked(&format!("{many}0\r\n\r\n")));
}

fn trailers(all: &mut Vec<Case>) {
    for lines in [
        "x: y\r\n",
        "x:y\r\n",
        "x:\r\n",
        "X-Upper: y\r\n",
        "x: y\r\nz: w\r\n",
        "x: y\n",
        "x: y\r",
        "x\r\n",
        ": y\r\n",
        "x : y\r\n",
        " x: y\r\n",
        "x: y\r\n z\r\n",
        "x: \0\r\n",
        "x\0: y\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: other.example.com\r\n",
        "Connection: close\r\n",
        "Trailer: x\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Authorization: Bearer x\r\n",
        "Cookie: a=b\r\n",
        "X-Forwarded-For: 1.2.3.4\r\n",
        "X-Forwarded-Client-Cert: By=x\r\n",
        "X-Envoy-Retry-On: 5xx\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: websocket\r\n",
        "TE: trailers\r\n",
        "Keep-Alive: 1\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Encoding: gzip\r\n",
        ":method: GET\r\n",
        ":path: /x\r\n",
        "grpc-status: 0\r\n",
        "x_y: z\r\n",
        "x: \u{e9}\r\n",
        "Proxy-Authorization: x\r\n",
    ] {
        put(all, "trailers", chunked(&format!("5\r\nhello\r\n0\r\n{lines}\r\n")));
        put(all, "trailers", chunked(&format!("0\r\n{lines}\r\n{INNER}")));
    }
    for count in [10, 63, 64, 65, 99, 100, 101, 300] {
        let lines: String = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
        put(all, "trailer-size", chunked(&format!("5\r\nhello\r\n0\r\n{lines}\r\n")));
    }
    for size in [1000, 30_000, 60_000, 61_000, 70_000, 200_000] {
        put(all, "trailer-size", chunked(&format!("5\r\nhello\r\n0\r\nx: {}\r\n\r\n", "y".repeat(size))));
    }
}

/// Header lines: their form, and what some of them say.
const FIELDS: &[&str] = &[
    "x: y",
    "x:y",
    "x:",
    "x: ",
    "x:\t",
    "x",
    "x y",
    ":",
    ": y",
    ":y",
    " x: y",
    "\tx: y",
    "x : y",
    "x\t: y",
    "x y: z",
    "x:: y",
    "\"x\": y",
    "x(y): z",
    "x/y: z",
    "x@y: z",
    "x[y]: z",
    "x{y}: z",
    "x=y: z",
    "x?y: z",
    "x,y: z",
    "x;y: z",
    "x\\y: z",
    ":method: GET",
    ":path: /other",
    ":authority: other",
    ":scheme: https",
    ":status: 200",
    ":foo: bar",
    "x_y: z",
    "_: z",
    "x-\u{e9}: y",
    "x: \u{e9}",
    "x: \u{2028}",
    "x: y\u{b}",
    "x: y\u{c}",
    "x: y\u{7f}",
    "x: y\u{1}",
    "x: y\u{1b}",
    "x: y\u{8}",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: close",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
    "TE: gzip",
    "TE: trailers, gzip",
    "TE: chunked",
    "Trailer: x",
    "Via: 1.1 x",
    "Forwarded: for=1.2.3.4",
    "Max-Forwards: 0",
    "Expect: 100-continue",
    "Expect: 100-Continue",
    "Expect: 200-ok",
    "Expect: 100-continue, x",
    "Upgrade: h2c",
    "Upgrade: websocket",
    "HTTP2-Settings: x",
    "Date: x",
    "Server: x",
    "Cookie: a=b\r\nCookie: c=d",
    "Content-Type: x\r\nContent-Type: y",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: x-a",
    "Connection: , ,",
    "Connection: close, x",
    "Connection: keep-alive, close",
    "Connection: cLoSe",
    "Connection: \"close\"",
    "Connection:",
    "Connection: upgrade",
    "Connection: te\r\nTE: trailers",
    "Connection: cookie\r\nCookie: a=b",
    "Connection: authorization\r\nAuthorization: x",
    "Connection: x-forwarded-for\r\nx-forwarded-for: 1.2.3.4",
    "Connection: x-request-id",
    "Connection: host",
    "Connection: :path",
    "Connection: :method",
    "Connection: expect\r\nExpect: 100-continue",
    "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x",
    "Connection: upgrade\r\nUpgrade: foo",
    "Connection: close\r\nConnection: keep-alive",
    "Connection: x\u{e9}y",
    "x-envoy-original-path: /x",
    "x-envoy-internal: true",
    "x-envoy-retry-on: 5xx",
    "x-envoy-upstream-rq-timeout-ms: 1000",
    "x-envoy-upstream-alt-stat-name: x",
    "x-envoy-force-trace: 1",
    "x-envoy-decorator-operation: x",
    "x-envoy-attempt-count: 7",
    "x-forwarded-proto: https",
    "x-forwarded-proto: ftp",
    "x-forwarded-host: other",
    "x-forwarded-for: 1.2.3.4",
    "x-forwarded-for: ,",
    "x-forwarded-client-cert: x",
    "x-forwarded-port: 1",
    "x-real-ip: 1.2.3.4",
    "x-http-method-override: DELETE",
];

fn fields(all: &mut Vec<Case>) {
    for line in FIELDS {
        put(all, "field", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{line}\r\n\r\n"));
        put(all, "field", format!("GET /T0KEN/x HTTP/1.1\r\n{line}\r\n{HOST}\r\n"));
        put(all, "field-post", post(&format!("{line}\r\nContent-Length: 5\r\n"), "hello"));
        put(all, "field-chunked", post(&format!("{line}\r\n{CHUNKED}"), "5\r\nhello\r\n0\r\n\r\n"));
    }
    for fold in ["\r\n y", "\r\n\ty", "\r\n  ", "\r\n \r\n y", "\n y", "\r y"] {
        for line in [
            "x: y",
            "Host: app.example.com",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Connection: close",
        ] {
            put(all, "fold", format!("POST /T0KEN/x HTTP/1.1\r\n{HOST}{line}{fold}\r\n\r\n"));
        }
    }
    for end in ["\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\r", "\u{85}", "\u{2028}", "\0"] {
        put(all, "line-end", format!("GET /T0KEN/x HTTP/1.1{end}Host: app.example.com{end}{end}"));
        put(all, "line-end", format!("GET /T0KEN/x HTTP/1.1\r\nHost: app.example.com{end}\r\n"));
        put(all, "line-end", format!("GET /T0KEN/x HTTP/1.1\r\nHost: app.example.com\r\n{end}"));
        put(
            all,
            "line-end",
            format!(
                "GET /T0KEN/x HTTP/1.1\r\nHost: app.example.com\r\nx: y{end}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        );
        put(
            all,
            "line-end",
            format!(
                "GET /T0KEN/x HTTP/1.1\r\nHost: app.example.com\r\nx: y{end}Content-Length: {}\r\n\r\n{INNER}",
                INNER.len()
            ),
        );
    }
}

fn sizes(all: &mut Vec<Case>) {
    for count in [50, 96, 97, 98, 99, 100, 101, 150, 255, 256, 257, 300, 2000] {
        let lines: String = (0..count).map(|n| format!("x-{n}: y\r\n")).collect();
        put(all, "head-count", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\n"));
    }
    for size in [8_000, 32_000, 58_000, 64_000, 70_000, 150_000] {
        let filler = "y".repeat(size);
        put(all, "head-size", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}x: {filler}\r\n\r\n"));
        put(all, "head-size", format!("GET /T0KEN/{filler} HTTP/1.1\r\n{HOST}\r\n"));
        put(all, "head-size", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{filler}: x\r\n\r\n"));
        put(all, "head-size", format!("{filler} /T0KEN/x HTTP/1.1\r\n{HOST}\r\n"));
        put(all, "head-size", filler.clone());
        put(all, "head-size", format!("GET /T0KEN/x HTTP/1.1\r\nHost: {filler}\r\n\r\n"));
    }
    for size in [1, 1000, 100_000, 1_000_000] {
        put(all, "body-size", post(&format!("Content-Length: {size}\r\n"), &"y".repeat(size)));
        put(all, "body-size", chunked(&format!("{size:x}\r\n{}\r\n0\r\n\r\n", "y".repeat(size))));
    }
}

/// Requests whose meaning, not whose form, changes what may follow.
fn meanings(all: &mut Vec<Case>) {
    let then = INNER;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PUT"] {
        for lines in [
            "",
            "Content-Length: 0\r\n",
            "Content-Length: 5\r\n",
            CHUNKED,
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ] {
            let body = if lines.contains("chunked") {
                "5\r\nhello\r\n0\r\n\r\n"
            } else if lines.contains(": 5") {
                "hello"
            } else {
                ""
            };
            put(all, "meaning", format!("{method} /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\n{body}"));
            put(all, "meaning", format!("{method} /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\n{body}{then}"));
            put(
                all,
                "meaning",
                format!("{method} /T0KEN/x HTTP/1.1\r\n{HOST}Connection: close\r\n{lines}\r\n{body}{then}"),
            );
        }
    }
    for lines in [
        "",
        "Content-Length: 0\r\n",
        "Content-Length: 5\r\n",
        CHUNKED,
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
    ] {
        for target in ["app.example.com:80", "/T0KEN", "http://app.example.com/T0KEN", "app.example.com"] {
            put(all, "connect", format!("CONNECT {target} HTTP/1.1\r\n{HOST}{lines}\r\nhello{then}"));
        }
    }
}

/// Connections of several requests, drawn from all that went before.
fn mixed(all: &mut Vec<Case>) {
    let mut dice = Dice::new(0x5eed);
    // Large ones would make the draw slow and say nothing new.
    let pool: Vec<Case> = all.iter().filter(|case| case.bytes.len() < 400).cloned().collect();
    let good = [
        format!("GET /T0KEN/g HTTP/1.1\r\n{HOST}\r\n"),
        post("Content-Length: 5\r\n", "hello"),
        chunked("5\r\nhello\r\n0\r\n\r\n"),
        format!("HEAD /T0KEN/h HTTP/1.1\r\n{HOST}\r\n"),
        post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
    ];
    for _ in 0..1500 {
        let mut bytes = Vec::new();
        for _ in 0..1 + dice.below(3) {
            bytes.extend_from_slice(good[dice.below(good.len())].as_bytes());
        }
        let drawn = &pool[dice.below(pool.len())];
        bytes.extend_from_slice(&drawn.bytes);
        bytes.extend_from_slice(good[dice.below(good.len())].as_bytes());
        put(all, drawn.family, bytes);
    }
    let good: Vec<&[u8]> = good.iter().map(|text| text.as_bytes()).collect();
    for _ in 0..1500 {
        // One to three bytes of a valid connection changed, taken out or put in.
        let mut bytes: Vec<u8> = (0..1 + dice.below(2)).flat_map(|_| dice.one_of(&good).to_vec()).collect();
        for _ in 0..1 + dice.below(3) {
            let at = dice.below(bytes.len());
            let byte = dice.one_of(b"\r\n\0\t :;,0159afFx/\\\"\x7f\x80\xff");
            match dice.below(3) {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        put(all, "mutated", bytes);
    }
}
