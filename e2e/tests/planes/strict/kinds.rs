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
    Kind { name: "bare-lf", is: bare_lf },
    Kind { name: "bare-cr", is: bare_cr },
    Kind { name: "folded", is: folded },
    Kind { name: "request-line-space", is: line_space },
    Kind { name: "chunk-space", is: chunk_space },
    Kind { name: "chunk-overrun", is: chunked },
    Kind { name: "chunk-digits", is: |bytes| chunked(bytes) && long_digits(bytes) },
    Kind { name: "extension-bytes", is: |bytes| chunked(bytes) && bytes.contains(&b';') },
    Kind { name: "extension-size", is: |bytes| chunked(bytes) && lines(bytes).any(|line| line.len() >= 250) },
    Kind {
        name: "leading-zeros",
        is: |bytes| has(bytes, b"length: 0") || has(bytes, b"length:0") || has(bytes, b"length:  0"),
    },
    Kind { name: "length-digits", is: long_digits },
    Kind {
        name: "empty-coding",
        is: |bytes| lines(bytes).any(|line| trimmed(line).eq_ignore_ascii_case(b"transfer-encoding:")),
    },
    Kind { name: "two-hosts", is: |bytes| lines(bytes).filter(|line| is_field(line, b"host")).count() > 1 },
    Kind { name: "odd-host", is: odd_host },
    Kind {
        name: "empty-host",
        is: |bytes| lines(bytes).any(|line| is_field(line, b"host") && trimmed(&line[5..]).is_empty()),
    },
    Kind { name: "userinfo-target", is: |bytes| has(bytes, b"://") && bytes.contains(&b'@') },
    Kind { name: "query-target", is: |bytes| has(bytes, b"example.com?") || has(bytes, b"://app?") },
    Kind { name: "upgrade-body", is: |bytes| has(bytes, b"upgrade: websocket") },
    Kind { name: "many-trailers", is: |bytes| chunked(bytes) && lines(bytes).count() > 60 },
    Kind { name: "client-policy", is: |bytes| has(bytes, b"x-envoy-upstream-rq-timeout-ms") },
    Kind { name: "broken-preface", is: |bytes| has(bytes, b"PRI * HTTP/2.0") },
    Kind { name: "settings-alone", is: |bytes| has(bytes, b"http2-settings") },
];

/// Rows that the responses of the corpus must show.
pub(crate) const RESPONSES: [Kind; 11] = [
    Kind { name: "leading-zeros", is: |bytes| has(bytes, b"length: 0") || has(bytes, b"length:0") },
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

/// Rows of the table of differences that the corpora must show.
pub(crate) fn rows() -> impl Iterator<Item = &'static str> {
    REQUESTS.iter().chain(&RESPONSES).map(|kind| kind.name)
}
