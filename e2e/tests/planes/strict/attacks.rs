//! Requests as attackers and the test sets of other parsers write them, each family by hand: gadgets around the fields
//! that frame a message, lines with other ends, chunks that two readers cut in two ways, forms of targets, what
//! `connection` may name, and connections whose first request is answered early. None of it is drawn from `corpus`.

use super::corpus::{Case, Dice};
use super::lists::*;

const HOST: &str = "Host: app.example.com\r\n";
pub(super) const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";
/// What must never be served as a request of its own unless the bytes before it are one for every reader.
const PREY: &str = "GET /T0KEN/prey HTTP/1.1\r\nHost: app.example.com\r\nX-Prey: 1\r\n\r\n";

/// For listeners that do not take HTTP/1.0.
pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    gadgets(&mut all);
    named(&mut all);
    line_ends(&mut all);
    chunk_cuts(&mut all);
    trailer_fields(&mut all);
    expectations(&mut all);
    switches(&mut all);
    targets(&mut all);
    methods(&mut all);
    versions(&mut all);
    names_and_values(&mut all);
    nominations(&mut all);
    singletons(&mut all);
    early(&mut all);
    pipelines(&mut all);
    leading(&mut all);
    lengths_of_lines(&mut all);
    of_other_parsers(&mut all);
    drawn(&mut all);
    all
}

/// For a listener that takes HTTP/1.0.
pub(crate) fn old() -> Vec<Case> {
    let mut all = Vec::new();
    for target in ["/T0KEN/x", "http://app.example.com/T0KEN/x", "/early/T0KEN"] {
        for host in [HOST, "", "Host: app.example.com\r\nHost: other\r\n", "Host:\r\n"] {
            for connection in
                ["", "Connection: keep-alive\r\n", "Connection: close\r\n", "Connection: Keep-Alive, x\r\n"]
            {
                for (lines, body) in FRAMINGS {
                    let text = format!("POST {target} HTTP/1.0\r\n{host}{connection}{lines}\r\n{body}");
                    put(&mut all, "old", text.clone());
                    put(&mut all, "old", text + PREY);
                }
            }
        }
    }
    for method in ["GET", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE"] {
        for target in ["/T0KEN/x", "*", "app.example.com:80"] {
            for &lines in ODD_OLD_LINES {
                put(&mut all, "old", format!("{method} {target} HTTP/1.0\r\n{HOST}{lines}\r\n"));
                put(&mut all, "old", format!("{method} {target} HTTP/1.0\r\n{HOST}{lines}\r\n{PREY}"));
            }
        }
    }
    for line in [
        "GET /T0KEN/x HTTP/0.9",
        "GET /T0KEN/x",
        "GET /T0KEN/x HTTP/1.0 ",
        "GET /T0KEN/x http/1.0",
        "GET /T0KEN/x HTTP/1.00",
    ] {
        put(&mut all, "old", format!("{line}\r\n\r\n"));
        put(&mut all, "old", format!("{line}\r\n{HOST}Connection: keep-alive\r\n\r\n{PREY}"));
    }
    all
}

/// Fields that frame a body, or seem to, with a body that one of the readings wants.
const FRAMINGS: &[(&str, &str)] = &[
    ("", ""),
    ("Content-Length: 0\r\n", ""),
    ("Content-Length: 5\r\n", "hello"),
    ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ("Content-Length: 5\r\nContent-Length: 0\r\n", "hello"),
    ("Transfer-Encoding: chunked\r\n", BODY),
    ("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", BODY),
    ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", BODY),
    ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"),
    ("Transfer-Encoding: gzip, chunked\r\n", BODY),
    ("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", BODY),
    ("Connection: content-length\r\nContent-Length: 5\r\n", "hello"),
];

fn put(all: &mut Vec<Case>, family: &'static str, bytes: impl Into<Vec<u8>>) {
    all.push(Case { bytes: bytes.into(), family });
}

fn post(lines: &str, body: &str) -> String {
    format!("POST /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// One odd byte at each place around a field that frames, with a second field that says otherwise: `@` marks the place.
fn gadgets(all: &mut Vec<Case>) {
    const ODD: &[u8] =
        b"\0\x01\x08\t\n\x0b\x0c\r\x0e\x1b\x1f !\"',-./:;\\_`\x7f\x80\x85\x8a\x8d\xa0\xad\xc2\xff";
    let codings = [
        "Transfer-Encoding:@chunked",
        "Transfer-Encoding:@ chunked",
        "Transfer-Encoding: @chunked",
        "Transfer-Encoding@: chunked",
        "Transfer-Encoding @: chunked",
        "@Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked@",
        "Transfer-Encoding: chunked@,",
        "Transfer-Encoding: identity@chunked",
        "Transfer@Encoding: chunked",
        "X: y@Transfer-Encoding: chunked",
        "X: y@\r\nTransfer-Encoding: chunked",
        "X: y\r@\nTransfer-Encoding: chunked",
        "X: y\r\n@\r\nTransfer-Encoding: chunked",
    ];
    let lengths = [
        "Content-Length:@0",
        "Content-Length: @0",
        "Content-Length@: 0",
        "@Content-Length: 0",
        "Content-Length: 0@",
        "Content-Length: 0@0",
        "Content-Length: 0@, 5",
        "Content@Length: 0",
        "X: y@Content-Length: 0",
        "X: y\r\n@\r\nContent-Length: 0",
    ];
    for byte in ODD {
        let fill = |text: String| -> Vec<u8> {
            let at = text.find('@').unwrap();
            [&text.as_bytes()[..at], &[*byte], &text.as_bytes()[at + 1..]].concat()
        };
        for gadget in codings {
            let body = format!("0\r\n\r\n{PREY}");
            let length = format!("Content-Length: {}\r\n", body.len());
            put(all, "gadget-coding", fill(post(&format!("{gadget}\r\n{length}"), &body)));
            put(all, "gadget-coding", fill(post(&format!("{length}{gadget}\r\n"), &body)));
        }
        for gadget in lengths {
            let length = format!("Content-Length: {}\r\n", PREY.len());
            put(all, "gadget-length", fill(post(&format!("{gadget}\r\n{length}"), PREY)));
            put(all, "gadget-length", fill(post(&format!("{length}{gadget}\r\n"), PREY)));
            put(all, "gadget-length", fill(post(&format!("{gadget}\r\n"), PREY)));
        }
    }
}

/// Spellings of the two fields with a name in the literature of desynchronisation.
fn named(all: &mut Vec<Case>) {
    for &lines in CODINGS {
        let body = format!("0\r\n\r\n{PREY}");
        let length = format!("Content-Length: {}", body.len());
        for short in ["Content-Length: 4", "Content-Length: 5", "Content-Length: 0", &length] {
            put(all, "named-coding", post(&format!("{short}\r\n{lines}\r\n"), &body));
            put(all, "named-coding", post(&format!("{lines}\r\n{short}\r\n"), &body));
        }
        put(all, "named-coding", post(&format!("{lines}\r\n"), &body));
        put(all, "named-coding", post(&format!("{lines}\r\n"), BODY));
        put(all, "named-coding", format!("GET /T0KEN/x HTTP/1.1\r\n{lines}\r\n{HOST}\r\n{BODY}{PREY}"));
    }
    for &value in LENGTHS {
        for text in ["hello", PREY] {
            put(all, "named-length", post(&format!("Content-Length: {value}\r\n"), text));
            put(
                all,
                "named-length",
                post(&format!("Content-Length: {value}\r\nX: y\r\nCONTENT-LENGTH: 5\r\n"), text),
            );
            put(
                all,
                "named-length",
                post(&format!("Content-Length: 5\r\nContent-length: {value}\r\n"), text),
            );
        }
        put(
            all,
            "named-length",
            format!("DELETE /T0KEN/x HTTP/1.1\r\n{HOST}Content-Length: {value}\r\n\r\n{PREY}"),
        );
    }
}

/// A whole message whose lines each end in another way, one and two at a time.
fn line_ends(all: &mut Vec<Case>) {
    let lines = [
        "POST /T0KEN/x HTTP/1.1",
        "Host: app.example.com",
        "X-A: b",
        "Transfer-Encoding: chunked",
        "",
        "5",
        "hello",
        "3;x=y",
        "abc",
        "0",
        "X-Trailer: t",
        "",
    ];
    let message = |ends: &dyn Fn(usize) -> &'static str| -> String {
        lines.iter().enumerate().map(|(at, line)| format!("{line}{}", ends(at))).collect()
    };
    const ENDS: &[&str] = &[
        "\n", "\r", "", "\r\r\n", "\n\r", "\r\n\r", "\n\n", " \r\n", "\t\r\n", "\0\r\n", "\r\0\n", "\u{b}",
        "\u{c}", "\u{85}", "\u{2028}", "%0d%0a", "\\r\\n",
    ];
    put(all, "line-ends", message(&|_| "\r\n"));
    put(all, "line-ends", message(&|_| "\n"));
    put(all, "line-ends", message(&|_| "\r"));
    for first in 0..lines.len() {
        for end in ENDS {
            put(all, "line-ends", message(&|at| if at == first { end } else { "\r\n" }) + PREY);
        }
        for second in first + 1..lines.len() {
            put(
                all,
                "line-ends",
                message(&|at| if at == first || at == second { "\n" } else { "\r\n" }) + PREY,
            );
        }
    }
}

/// Chunks that a lenient reader and a strict one cut in different places.
fn chunk_cuts(all: &mut Vec<Case>) {
    let size = format!("{:x}", "0\r\n\r\n".len() + PREY.len());
    for body in CUTS {
        let body = body.replace("LONG", &"a".repeat(240)).replace("SIZE", &size).replace("PREY", PREY);
        put(all, "chunk-cut", chunked(&body));
        put(
            all,
            "chunk-cut",
            format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}"),
        );
    }
    for first in ["\r\n", "\n", "\r", "\r\r", "\n\n", "\r\n\n"] {
        for second in ["\r\n", "\n", "\r", "", "\r\r", "\n\r"] {
            put(all, "chunk-cut", chunked(&format!("5{first}hello{second}0\r\n\r\n{PREY}")));
            put(all, "chunk-cut", chunked(&format!("5\r\nhello\r\n0{first}{second}{PREY}")));
        }
    }
}

/// Fields behind a body that a merging reader would take for fields before it.
fn trailer_fields(all: &mut Vec<Case>) {
    for &line in TRAILERS {
        for announced in [
            "",
            "Trailer: X-Trailer\r\n",
            "Trailer: Content-Length, Host, Authorization\r\n",
            "Connection: te\r\nTE: trailers\r\n",
        ] {
            let lines = format!("{announced}Transfer-Encoding: chunked\r\n");
            put(all, "trailer-field", post(&lines, &format!("5\r\nhello\r\n0\r\n{line}\r\n\r\n{PREY}")));
        }
        put(all, "trailer-field", chunked(&format!("0\r\n{line}\r\nX-Last: y\r\n\r\n{PREY}")));
    }
}

/// `Expect`, with bodies that come at once, late, or not at all.
fn expectations(all: &mut Vec<Case>) {
    for &expect in EXPECTS {
        for method in ["GET", "POST"] {
            for (lines, body) in FRAMINGS {
                let text = format!("{method} /T0KEN/x HTTP/1.1\r\n{HOST}{expect}{lines}\r\n{body}");
                put(all, "expect", text + PREY);
            }
        }
        put(
            all,
            "expect",
            format!("POST /early/T0KEN HTTP/1.1\r\n{HOST}{expect}Content-Length: 5\r\n\r\nhello{PREY}"),
        );
        put(
            all,
            "expect",
            format!("POST /early/T0KEN HTTP/1.1\r\n{HOST}{expect}Content-Length: 5\r\n\r\n{PREY}"),
        );
    }
}

/// Requests for another protocol, and bytes that may or may not be of it.
fn switches(all: &mut Vec<Case>) {
    let settings = "HTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    for lines in [
        "Upgrade: h2c\r\n".to_owned(),
        "Connection: Upgrade\r\nUpgrade: h2c\r\n".to_owned(),
        format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"),
        format!("Connection: HTTP2-Settings, Upgrade\r\nUpgrade: H2C\r\n{settings}"),
        format!("Connection: Upgrade\r\nConnection: HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"),
        format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\n{settings}"),
        format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n{settings}"),
        format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{settings}{settings}"),
        "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n".to_owned(),
        "Connection: upgrade\r\nUpgrade: HTTP/2.0, SHTTP/1.3\r\n".to_owned(),
        "Connection: upgrade\r\nUpgrade:\r\n".to_owned(),
        "Connection: upgrade\r\n".to_owned(),
        "Connection: keep-alive, upgrade\r\nUpgrade: foo\r\n".to_owned(),
        "Connection: close, upgrade\r\nUpgrade: foo\r\n".to_owned(),
        "Upgrade: websocket\r\n".to_owned(),
        "Connection: upgrade-insecure-requests\r\nUpgrade: websocket\r\n".to_owned(),
        "Connection: xupgrade\r\nUpgrade: websocket\r\n".to_owned(),
        "Connection: h2c\r\nUpgrade: h2c\r\n".to_owned(),
    ] {
        for (framing, body) in
            [("", ""), ("Content-Length: 5\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", BODY)]
        {
            for method in ["GET", "POST", "OPTIONS"] {
                put(
                    all,
                    "switch",
                    format!("{method} /T0KEN/x HTTP/1.1\r\n{HOST}{lines}{framing}\r\n{body}{PREY}"),
                );
            }
        }
        put(all, "switch", format!("GET /early/T0KEN HTTP/1.1\r\n{HOST}{lines}\r\n{PREY}"));
        put(
            all,
            "switch",
            format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{lines}\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        );
    }
    let shake = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for lines in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\nConnection: close\r\n",
    ] {
        put(all, "websocket", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{lines}{shake}\r\n"));
        put(all, "websocket", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{lines}{shake}\r\n{PREY}"));
        put(
            all,
            "websocket",
            format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{lines}{shake}Sec-WebSocket-Version: 777\r\n\r\n{PREY}"),
        );
        put(all, "websocket", format!("POST /T0KEN/x HTTP/1.1\r\n{HOST}{lines}{shake}\r\n{PREY}"));
        put(all, "websocket", format!("GET /early/T0KEN HTTP/1.1\r\n{HOST}{lines}{shake}\r\n{PREY}"));
    }
    let first = format!("GET /T0KEN/1 HTTP/1.1\r\n{HOST}\r\n");
    for text in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "PRI /T0KEN HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n",
    ] {
        put(all, "preface", format!("{first}{text}"));
        put(all, "preface", format!("\r\n{text}"));
    }
}

/// Every form of target with most methods.
fn targets(all: &mut Vec<Case>) {
    for &host in HOSTS {
        for scheme in ["http", "https"] {
            put(all, "absolute", format!("GET {scheme}://{host}/T0KEN/x HTTP/1.1\r\n{HOST}\r\n"));
        }
        put(all, "absolute", format!("GET http://{host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        put(all, "absolute", format!("OPTIONS http://{host} HTTP/1.1\r\n{HOST}\r\n"));
        put(all, "absolute", format!("GET http://{host}/T0KEN HTTP/1.1\r\n\r\n"));
        put(all, "authority", format!("GET /T0KEN HTTP/1.1\r\nHost: {host}\r\n\r\n{PREY}"));
        put(all, "authority", format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n{PREY}"));
        put(all, "authority", format!("CONNECT {host}:443 HTTP/1.1\r\nHost: app.example.com\r\n\r\n{PREY}"));
    }
    for &scheme in SCHEMES {
        put(all, "absolute", format!("GET {scheme}://app.example.com/T0KEN HTTP/1.1\r\n{HOST}\r\n"));
        put(all, "absolute", format!("GET {scheme}:/T0KEN HTTP/1.1\r\n{HOST}\r\n"));
        put(all, "absolute", format!("GET {scheme}:T0KEN HTTP/1.1\r\n{HOST}\r\n"));
    }
    for &rest in RESTS {
        put(all, "absolute", format!("GET http://app.example.com{rest} HTTP/1.1\r\n{HOST}\r\n{PREY}"));
        put(all, "absolute", format!("OPTIONS http://app.example.com{rest} HTTP/1.1\r\n{HOST}\r\n"));
    }
    for &path in PATHS {
        for method in ["GET", "OPTIONS", "POST", "CONNECT"] {
            put(all, "path", format!("{method} {path} HTTP/1.1\r\n{HOST}\r\n"));
        }
    }
    for &lines in SPECIAL_LINES {
        for &first in SPECIALS {
            let body = if lines.contains("chunked") {
                BODY
            } else if lines.contains('5') {
                "hello"
            } else {
                ""
            };
            put(all, "special", format!("{first} HTTP/1.1\r\n{HOST}{lines}\r\n{body}{PREY}"));
            put(all, "special", format!("{first} HTTP/1.1\r\nHost: app.example.com:80\r\n{lines}\r\n{body}"));
        }
    }
}

/// Methods: what is registered, in other cases, of other lengths, with characters that tokens may have and may not.
fn methods(all: &mut Vec<Case>) {
    let mut names: Vec<String> = METHODS.iter().map(|name| (*name).to_owned()).collect();
    names.extend([16, 31, 32, 33, 64, 255, 4096, 20_000].map(|size| "A".repeat(size)));
    for name in names {
        for (lines, body) in
            [("", ""), ("Content-Length: 5\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", BODY)]
        {
            // QUERY asks for a content type.
            let kind = if name == "QUERY" && !body.is_empty() { "Content-Type: text/x\r\n" } else { "" };
            put(all, "method", format!("{name} /T0KEN/x HTTP/1.1\r\n{HOST}{kind}{lines}\r\n{body}{PREY}"));
        }
        put(
            all,
            "method",
            format!("{name} /T0KEN/x HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{PREY}", PREY.len()),
        );
    }
}

/// Versions, on requests of which some have a body.
fn versions(all: &mut Vec<Case>) {
    for &version in VERSIONS {
        put(all, "version", format!("GET /T0KEN/x {version}\r\n{HOST}\r\n{PREY}"));
        put(all, "version", format!("POST /T0KEN/x {version}\r\n{HOST}Content-Length: 5\r\n\r\nhello{PREY}"));
        put(
            all,
            "version",
            format!("POST /T0KEN/x {version}\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{BODY}{PREY}"),
        );
        put(all, "version", format!("GET http://app.example.com/T0KEN/x {version}\r\n{HOST}\r\n"));
    }
    for &text in VERSIONLESS {
        put(all, "version", text);
        put(all, "version", format!("{text}{HOST}\r\n{PREY}"));
    }
}

/// Each byte as the whole of a name and in the middle of one; values of every kind of text.
fn names_and_values(all: &mut Vec<Case>) {
    for byte in (0x21..=0x7e_u8).chain([0x80, 0xa0, 0xc3, 0xff]) {
        for (before, after) in [("", ""), ("x", "y")] {
            let name = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            let head = [
                format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}").as_bytes(),
                &name,
                b": v\r\n\r\n",
                PREY.as_bytes(),
            ]
            .concat();
            put(all, "name", head);
        }
    }
    for &line in LINES {
        put(all, "line", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{line}\r\n\r\n{PREY}"));
        put(all, "line", format!("GET /T0KEN/x HTTP/1.1\r\n{line}\r\n{HOST}\r\n{PREY}"));
        put(all, "line", post(&format!("Content-Length: {}\r\n{line}\r\n", PREY.len()), PREY));
    }
}

/// What `Connection` may name, and how it may be written.
fn nominations(all: &mut Vec<Case>) {
    for &name in NAMES {
        let value = match name {
            "te" => "trailers",
            "upgrade" => "foo",
            "expect" => "100-continue",
            "content-length" => "5",
            "transfer-encoding" => "chunked",
            _ => "v",
        };
        // The fields of this request are framed without the one that is named.
        let body = match name {
            "content-length" => "hello",
            "transfer-encoding" => BODY,
            _ => "",
        };
        let own = if ["host", "connection", "close"].contains(&name) || name.starts_with(':') {
            String::new()
        } else {
            format!("{name}: {value}\r\n")
        };
        for connection in [
            format!("Connection: {name}\r\n"),
            format!("Connection: close, {}\r\n", name.to_uppercase()),
            format!("Connection: keep-alive\r\nConnection: {name}\r\n"),
            format!("Proxy-Connection: {name}\r\n"),
            format!("Connection:{name},{name}\r\n"),
        ] {
            put(
                all,
                "nominated",
                format!("POST /T0KEN/x HTTP/1.1\r\n{HOST}{connection}{own}\r\n{body}{PREY}"),
            );
        }
    }
    for &value in CONNECTIONS {
        put(
            all,
            "connection",
            format!(
                "GET /T0KEN/x HTTP/1.1\r\n{HOST}Connection: {value}\r\nX-A: 1\r\nX-B: 2\r\nTE: trailers\r\nCookie: c\r\n\r\n{PREY}"
            ),
        );
        put(
            all,
            "connection",
            post(&format!("Content-Length: 5\r\nConnection: {value}\r\nX-A: 1\r\n"), &format!("hello{PREY}")),
        );
    }
    for &te in TES {
        for connection in ["", "Connection: te\r\n", "Connection: TE, close\r\n"] {
            put(all, "te", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{connection}TE: {te}\r\n\r\n{PREY}"));
        }
    }
    put(
        all,
        "te",
        format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}Connection: te\r\nTE: trailers, {}\r\n\r\n", "x".repeat(300)),
    );
    put(all, "te", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}TE: trailers, {}\r\n\r\n", "x".repeat(300)));
}

/// Fields of which there is one, twice: alike, different, and in another case.
fn singletons(all: &mut Vec<Case>) {
    for (name, one, two) in [
        ("Host", "app.example.com", "evil.example.com"),
        ("Content-Length", "5", "0"),
        ("Content-Length", "5", "5"),
        ("Transfer-Encoding", "chunked", "identity"),
        ("Content-Type", "a/b", "c/d"),
        ("Authorization", "Basic eA==", "Basic eQ=="),
        ("Cookie", "a=b", "c=d"),
        ("Expect", "100-continue", "x"),
        ("Upgrade", "websocket", "h2c"),
        ("TE", "trailers", "gzip"),
        ("Connection", "close", "keep-alive"),
        ("X-Forwarded-For", "1.1.1.1", "2.2.2.2"),
        ("X-Forwarded-Proto", "http", "https"),
        ("X-Forwarded-Host", "a", "b"),
        ("X-Request-Id", "a", "b"),
        ("X-Envoy-Max-Retries", "1", "x"),
        ("User-Agent", "a", "b"),
        ("Max-Forwards", "0", "1"),
        ("If-None-Match", "\"a\"", "\"b\""),
        ("Range", "bytes=0-1", "bytes=2-3"),
        ("Date", "a", "b"),
        ("Origin", "http://a", "http://b"),
        ("Referer", "a", "b"),
        ("Grpc-Timeout", "1S", "2S"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x"),
        ("X-Forwarded-Client-Cert", "By=a", "By=b"),
    ] {
        let host = if name == "Host" { "" } else { HOST };
        let framed = ["Content-Length", "Transfer-Encoding"].contains(&name);
        for (first, second) in [(one, two), (two, one), (one, one)] {
            for other in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                for between in ["", "X-Between: 1\r\n"] {
                    let body = match (framed, first) {
                        (true, "chunked") => BODY,
                        (true, _) => "hello",
                        _ => "",
                    };
                    put(
                        all,
                        "twice",
                        format!(
                            "POST /T0KEN/x HTTP/1.1\r\n{host}{name}: {first}\r\n{between}{other}: {second}\r\n\r\n{body}{PREY}"
                        ),
                    );
                }
            }
        }
    }
}

/// Requests that are answered before they are read, and what follows them.
fn early(all: &mut Vec<Case>) {
    for target in ["/early/T0KEN", "/moved/T0KEN", "/T0KEN/x"] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            for (lines, body) in FRAMINGS {
                put(all, "early", format!("{method} {target} HTTP/1.1\r\n{HOST}{lines}\r\n{body}{PREY}"));
            }
            let size = PREY.len();
            put(
                all,
                "early",
                format!("{method} {target} HTTP/1.1\r\n{HOST}Content-Length: {size}\r\n\r\n{PREY}{PREY}"),
            );
            put(
                all,
                "early",
                format!(
                    "{method} {target} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{PREY}\r\n0\r\n\r\n{PREY}"
                ),
            );
            put(
                all,
                "early",
                format!(
                    "{method} {target} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{PREY}\r\nxx\r\n\r\n{PREY}"
                ),
            );
            put(
                all,
                "early",
                format!(
                    "{method} {target} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n{PREY}"
                ),
            );
            put(
                all,
                "early",
                format!(
                    "{method} {target} HTTP/1.1\r\n{HOST}Connection: close\r\nContent-Length: {size}\r\n\r\n{PREY}{PREY}"
                ),
            );
        }
    }
}

/// Several requests at once, and what ends a connection among them.
fn pipelines(all: &mut Vec<Case>) {
    for target in ["/early/T0KEN", "/moved/T0KEN", "/T0KEN/x"] {
        // After several answers of its own Envoy closes.
        let counts: &[usize] = if target.starts_with("/T0KEN") { &[2, 10, 100] } else { &[1, 2] };
        for count in counts.iter().copied() {
            put(all, "pipeline", format!("GET {target} HTTP/1.1\r\n{HOST}\r\n").repeat(count));
            put(
                all,
                "pipeline",
                format!("POST {target} HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello").repeat(count),
            );
            put(
                all,
                "pipeline",
                format!("POST {target} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{BODY}")
                    .repeat(count),
            );
        }
        put(
            all,
            "pipeline",
            format!(
                "POST {target} HTTP/1.1\r\n{HOST}Content-Length: 100000\r\n\r\n{}{PREY}",
                "x".repeat(100_000)
            ),
        );
        put(
            all,
            "pipeline",
            format!(
                "POST {target} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n186a0\r\n{}\r\n0\r\n\r\n{PREY}",
                "x".repeat(100_000)
            ),
        );
    }
    let good = format!("GET /T0KEN/good HTTP/1.1\r\n{HOST}\r\n");
    for &bad in BROKEN {
        put(all, "pipeline", format!("{bad}{good}"));
        put(all, "pipeline", format!("{good}{bad}{good}"));
        put(
            all,
            "pipeline",
            format!("POST /T0KEN/good HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello{bad}{good}"),
        );
        put(all, "pipeline", format!("{}{bad}{good}", chunked(BODY)));
        put(all, "pipeline", format!("HEAD /early/T0KEN HTTP/1.1\r\n{HOST}\r\n{bad}{good}"));
    }
}

/// What comes before a request line, and how much of it.
fn leading(all: &mut Vec<Case>) {
    for text in [
        "\r\n", "\n", "\r", " ", "\t", "\0", "\u{b}", "\u{feff}", "\r\n\r\n", "\n\n", "\r\r\n", " \r\n",
        "\r\n ", ";\r\n", "x\r\n", "0\r\n", "\u{85}", "\u{a0}",
    ] {
        for count in [1, 2, 3, 20] {
            let text = text.repeat(count);
            put(all, "leading", format!("{text}GET /T0KEN/x HTTP/1.1\r\n{HOST}\r\n"));
            put(
                all,
                "leading",
                format!("GET /T0KEN/1 HTTP/1.1\r\n{HOST}\r\n{text}GET /T0KEN/2 HTTP/1.1\r\n{HOST}\r\n"),
            );
            put(all, "leading", format!("{}{text}{PREY}", post("Content-Length: 5\r\n", "hello")));
            put(all, "leading", format!("{}{text}{PREY}", chunked(BODY)));
        }
    }
    for count in [100, 1000, 10_000, 40_000] {
        put(all, "leading", format!("{}GET /T0KEN/x HTTP/1.1\r\n{HOST}\r\n", "\r\n".repeat(count)));
    }
}

/// Lines at and around the sizes at which something is too long.
fn lengths_of_lines(all: &mut Vec<Case>) {
    for size in [
        1_000, 8_100, 8_192, 8_193, 16_383, 16_384, 16_385, 32_768, 60_000, 62_000, 65_535, 65_536, 65_537,
        100_000,
    ] {
        let text = "a".repeat(size);
        put(all, "long", format!("GET /T0KEN/{text} HTTP/1.1\r\n{HOST}\r\n{PREY}"));
        put(all, "long", format!("GET /T0KEN/x?{text} HTTP/1.1\r\n{HOST}\r\n{PREY}"));
        put(all, "long", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}X: {text}\r\n\r\n{PREY}"));
        put(all, "long", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}{text}: v\r\n\r\n{PREY}"));
        put(all, "long", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}Cookie: {text}\r\n\r\n{PREY}"));
        put(all, "long", format!("GET /T0KEN/x HTTP/1.1\r\n{HOST}X: {}\r\n\r\n{PREY}", " ".repeat(size)));
        put(all, "long", format!("GET /T0KEN/x {text}\r\n{HOST}\r\n{PREY}"));
        put(all, "long", format!("GET {text}\r\n"));
        put(
            all,
            "long",
            post("Transfer-Encoding: chunked\r\n", &format!("5\r\nhello\r\n0\r\nX: {text}\r\n\r\n{PREY}")),
        );
    }
    for count in [90, 99, 100, 101] {
        let empty = "X:\r\n".repeat(count);
        put(all, "long", format!("GET /T0KEN/x HTTP/1.1\r\n{empty}{HOST}\r\n"));
        let cookies = "Cookie: a=b\r\n".repeat(count);
        put(all, "long", format!("GET /T0KEN/x HTTP/1.1\r\n{cookies}{HOST}\r\n"));
    }
}

/// Messages that the test sets of other parsers are known for.
fn of_other_parsers(all: &mut Vec<Case>) {
    for &text in KNOWN {
        put(all, "known", text);
        put(all, "known", format!("GET /T0KEN/1 HTTP/1.1\r\n{HOST}\r\n{text}"));
    }
}

/// Requests put together from lines, each as likely odd as not, with a few bytes changed.
fn drawn(all: &mut Vec<Case>) {
    let mut dice = Dice::new(0xa77ac5);
    for _ in 0..1800 {
        let mut bytes = Vec::new();
        for number in 0..1 + dice.below(2) {
            // Only the first is answered by the proxy itself, see `early-pipeline`.
            let firsts = if number == 0 { FIRSTS } else { &FIRSTS[2..] };
            let mut text = format!("{}\r\n{HOST}", dice.one_of(firsts));
            for _ in 0..dice.below(4) {
                text.push_str(dice.one_of(FIELDS));
                text.push_str("\r\n");
            }
            text.push_str("\r\n");
            text.push_str(dice.one_of(BODIES));
            bytes.extend_from_slice(text.as_bytes());
        }
        if dice.below(2) == 0 {
            let at = dice.below(bytes.len());
            let byte = dice.below(256) as u8;
            match dice.below(4) {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => {
                    let again = bytes[at..(at + 1 + dice.below(20)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
        bytes.extend_from_slice(PREY.as_bytes());
        put(all, "drawn", bytes);
    }
}
