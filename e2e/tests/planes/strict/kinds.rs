//! What is odd about bytes, by the names of `docs/differences.md`: a detector for each row, that looks at nothing but the
//! bytes. A detector may see too much, never too little.

use super::oracle;

/// A row and how to tell that it may apply.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) is: fn(&[u8]) -> bool,
}

/// Rows that the requests of the corpus must show.
pub(crate) const REQUESTS: [Kind; 22] = [
    Kind { name: "bare-lf", is: |bytes| bare_lf(bytes) || stops(bytes, "LF alone") },
    Kind { name: "bare-cr", is: bare_cr },
    Kind { name: "folded", is: folded },
    Kind { name: "request-line-space", is: line_space },
    Kind { name: "chunk-space", is: chunk_space },
    Kind { name: "chunk-overrun", is: |bytes| stops(bytes, "chunk is longer than it says") },
    Kind { name: "chunk-digits", is: |bytes| chunked(bytes) && long_digits(bytes) },
    Kind { name: "extension-bytes", is: |bytes| chunked(bytes) && bytes.contains(&b';') },
    Kind { name: "extension-size", is: |bytes| chunked(bytes) && lines(bytes).any(|line| line.len() >= 250) },
    Kind {
        name: "leading-zeros",
        is: |bytes| lines(bytes).any(|line| matches!(length_of(line), Some([b'0', b'0'..=b'9', ..]))),
    },
    Kind { name: "length-digits", is: long_digits },
    Kind {
        name: "empty-coding",
        is: |bytes| lines(bytes).any(|line| trimmed(line).eq_ignore_ascii_case(b"transfer-encoding:")),
    },
    Kind { name: "two-hosts", is: two_hosts },
    Kind { name: "odd-host", is: odd_host },
    Kind {
        name: "empty-host",
        is: |bytes| lines(bytes).any(|line| is_field(line, b"host") && trimmed(&line[5..]).is_empty()),
    },
    Kind {
        name: "userinfo-target",
        is: |bytes| (has(bytes, b"://") || has(bytes, b"CONNECT ")) && bytes.contains(&b'@'),
    },
    Kind { name: "query-target", is: query_target },
    Kind { name: "upgrade-body", is: |bytes| has(bytes, b"upgrade: websocket") },
    Kind { name: "many-trailers", is: |bytes| chunked(bytes) && lines(bytes).count() > 60 },
    Kind { name: "client-policy", is: |bytes| has(bytes, b"x-envoy-upstream-rq-timeout-ms") },
    Kind { name: "broken-preface", is: |bytes| has(bytes, b"PRI * HTTP/2.0") },
    Kind { name: "settings-alone", is: |bytes| has(bytes, b"http2-settings") },
];

/// Rows that the responses of the corpus must show.
pub(crate) const RESPONSES: [Kind; 11] = [
    Kind {
        name: "leading-zeros",
        is: |bytes| lines(bytes).any(|line| matches!(length_of(line), Some([b'0', b'0'..=b'9', ..]))),
    },
    Kind { name: "response-line-end", is: |bytes| bare_lf(bytes) || bare_cr(bytes) },
    Kind { name: "response-folded", is: folded },
    Kind { name: "response-line", is: |bytes| !is_status_line(bytes) },
    Kind {
        name: "response-chunk",
        is: |bytes| chunked(bytes) && matches!(oracle::response(bytes, "GET", true), oracle::Read::Broken(_)),
    },
    Kind {
        name: "response-extension-size",
        is: |bytes| chunked(bytes) && lines(bytes).any(|line| line.len() >= 250),
    },
    Kind { name: "response-trailers", is: |bytes| chunked(bytes) && lines(bytes).count() > 60 },
    Kind {
        name: "response-coding-1.0",
        is: |bytes| bytes.starts_with(b"HTTP/1.0") && has(bytes, b"transfer-encoding"),
    },
    Kind {
        name: "response-framing",
        is: |bytes| has(bytes, b"content-length") || has(bytes, b"transfer-encoding"),
    },
    Kind { name: "response-length-digits", is: long_digits },
    Kind { name: "response-unasked-switch", is: |bytes| bytes.starts_with(b"HTTP/1.1 101") },
];

/// The standard's reader stops for this reason.
fn stops(bytes: &[u8], why: &str) -> bool {
    oracle::requests(bytes).1 == Err(why)
}

/// The value of a line that says a length.
fn length_of(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|b| *b == b':')?;
    trimmed(&line[..colon]).eq_ignore_ascii_case(b"content-length").then(|| trimmed(&line[colon + 1..]))
}

/// More than one host between two empty lines.
fn two_hosts(bytes: &[u8]) -> bool {
    let all: Vec<&[u8]> = lines(bytes).collect();
    let mut heads = all.split(|line| trimmed(line).is_empty());
    heads.any(|head| head.iter().filter(|line| is_field(line, b"host")).count() > 1)
}

/// An absolute target with a query right behind its authority.
fn query_target(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| {
        let Some(at) = line.windows(3).position(|part| part == b"://") else { return false };
        line[at + 3..].iter().find(|b| b"/? ".contains(b)) == Some(&b'?')
    })
}

fn bare_lf(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, b)| *b == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

fn bare_cr(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, b)| *b == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
}

fn folded(bytes: &[u8]) -> bool {
    has(bytes, b"\r\n ") || has(bytes, b"\r\n\t") || has(bytes, b"\n ") || has(bytes, b"\n\t")
}

/// A first line whose words are not separated by one space each.
fn line_space(bytes: &[u8]) -> bool {
    let odd = |b: &u8| b"\t\x0b\x0c".contains(b);
    lines(bytes).filter(|line| has(line, b"http")).any(|line| {
        line.iter().any(odd) || has(line, b"  ") || line.starts_with(b" ") || trimmed(line).len() < line.len()
    })
}

fn chunk_space(bytes: &[u8]) -> bool {
    let spaced = |line: &[u8]| {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        digits > 0 && matches!(line.get(digits), Some(b' ' | b'\t'))
    };
    chunked(bytes) && lines(bytes).any(spaced)
}

fn chunked(bytes: &[u8]) -> bool {
    has(bytes, b"chunked")
}

/// More digits in a row than a sum of lengths needs.
fn long_digits(bytes: &[u8]) -> bool {
    bytes.split(|b| !b.is_ascii_hexdigit()).any(|digits| digits.len() >= 16)
}

/// A host that RFC 3986 does not know.
fn odd_host(bytes: &[u8]) -> bool {
    lines(bytes).filter(|line| is_field(line, b"host")).any(|line| {
        let host = trimmed(&line[5..]);
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(b);
        let name = host.split(|b| *b == b':').next().unwrap_or_default();
        let port = host.get(name.len() + 1..).unwrap_or_default();
        name.is_empty() || !name.iter().all(plain) || !port.iter().all(u8::is_ascii_digit)
    })
}

fn is_status_line(bytes: &[u8]) -> bool {
    let line = lines(bytes).next().unwrap_or_default();
    let rest = line.strip_prefix(b"HTTP/1.1 ").or(line.strip_prefix(b"HTTP/1.0 ")).unwrap_or_default();
    matches!(rest, [b'1'..=b'9', b, c, ..] if b.is_ascii_digit() && c.is_ascii_digit())
        && rest[3..].iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
        && rest.get(3).is_none_or(|b| *b == b' ')
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name) && line[name.len()] == b':'
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// Whether `bytes` have `part` somewhere, in any case.
fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Rows that only the attacks show.
pub(crate) const ATTACKS: [Kind; 4] = [
    CONNECTION_LENGTH,
    Kind { name: "early-pipeline", is: early_pipeline },
    Kind {
        name: "empty-te",
        is: |bytes| lines(bytes).any(|line| trimmed(line).eq_ignore_ascii_case(b"te:")),
    },
    Kind { name: "two-faults", is: |bytes| other_version(bytes) && has(bytes, b"transfer-encoding") },
];

/// Rows that the attacks must show where HTTP/1.0 is taken.
pub(crate) const OLD: [Kind; 6] = [
    CONNECTION_LENGTH,
    Kind { name: "early-pipeline", is: early_pipeline },
    Kind { name: "coding-1.0", is: |bytes| has(bytes, b"HTTP/1.0") && has(bytes, b"transfer-encoding") },
    Kind { name: "upgrade-1.0", is: |bytes| has(bytes, b"HTTP/1.0") && has(bytes, b"upgrade:") },
    Kind { name: "close-1.0", is: |bytes| has(bytes, b"HTTP/1.0") && has(bytes, b"keep-alive, close") },
    Kind {
        name: "version-0.9",
        is: |bytes| has(bytes, b"HTTP/0.9") || stops(bytes, "a request line has three words"),
    },
];

/// Rows that streams of HTTP/2 must show, by their fields as text.
pub(crate) const STREAMS: [Kind; 9] = [
    Kind { name: "http2-fragment", is: |bytes| pseudo(bytes, b":path=", |b| b == b'#') },
    Kind { name: "http2-target", is: |bytes| pseudo(bytes, b":path=", |b| b"<>`".contains(&b) || b >= 0x80) },
    Kind {
        name: "http2-host",
        is: |bytes| {
            [&b":authority="[..], b"host="].iter().any(|name| pseudo(bytes, name, |b| b"[]%:,".contains(&b)))
        },
    },
    Kind { name: "http2-te", is: |bytes| lines(bytes).any(|line| line.starts_with(b"te=T")) },
    Kind {
        name: "http2-length",
        is: |bytes| long_digits(bytes) || (has(bytes, b"=CONNECT") && has(bytes, b"content-length=")),
    },
    Kind { name: "http2-count", is: |bytes| lines(bytes).count() > 100 },
    Kind {
        name: "http2-trailer-length",
        is: |bytes| has(bytes, b"x-fine") && has(bytes, b"content-length="),
    },
    Kind { name: "settings-alone", is: |bytes| has(bytes, b"http2-settings=") },
    Kind { name: "leading-zeros", is: |bytes| has(bytes, b"content-length=0") },
];

/// A pseudo-header, or `host`, in which there is such a byte.
fn pseudo(bytes: &[u8], name: &[u8], odd: fn(u8) -> bool) -> bool {
    lines(bytes).any(|line| line.strip_prefix(name).is_some_and(|value| value.iter().any(|b| odd(*b))))
}

const CONNECTION_LENGTH: Kind = Kind {
    name: "connection-length",
    is: |bytes| lines(bytes).any(|line| is_field(line, b"connection") && has(line, b"content-length")),
};

/// What the proxies of this stage answer themselves, and more behind it.
fn early_pipeline(bytes: &[u8]) -> bool {
    let early = [&b" /early/"[..], b" /moved/", b"OPTIONS *"].iter().any(|part| has(bytes, part));
    early && lines(bytes).filter(|line| has(line, b" HTTP/1.")).count() > 1
}

/// A version that is neither HTTP/1.0 nor HTTP/1.1.
fn other_version(bytes: &[u8]) -> bool {
    bytes.windows(8).any(|part| {
        part.starts_with(b"HTTP/") && part[6] == b'.' && !part.ends_with(b"1.0") && !part.ends_with(b"1.1")
    })
}

/// Rows of the table of differences that the corpora must show.
pub(crate) fn rows() -> impl Iterator<Item = &'static str> {
    REQUESTS.iter().chain(&ATTACKS).chain(&OLD).chain(&STREAMS).chain(&RESPONSES).map(|kind| kind.name)
}
