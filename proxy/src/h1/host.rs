//! Hosts with their ports, as requests name them: RFC 3986 authorities without a user, judged by tables. Pure.
//!
//! In: the value of `host`, or the authority of a request target. Out: whether it names exactly one host. Called by
//! `head` for every request; a plain name costs one look at each byte.

use std::net::Ipv6Addr;

/// Letters, digits and these.
const fn letters_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// What a registered name may hold (RFC 3986 3.2.2). The comma is left out: it is how two hosts are joined into one.
const NAME: [bool; 256] = letters_and(b"-._~!$&'()*+;=");
/// What Envoy takes in a request target.
const PLAIN: [bool; 256] = letters_and(b"-.");

/// A `host` value: a name or an address, and a port that may be empty.
pub(crate) fn is_host(text: &[u8]) -> bool {
    let end = text.iter().position(|b| !NAME[usize::from(*b)]).unwrap_or(text.len());
    match &text[end..] {
        [] => end > 0,
        [b':', port @ ..] => end > 0 && port.iter().all(u8::is_ascii_digit),
        [b'[', ..] if end == 0 => bracketed(text).is_some_and(|rest| match rest {
            [] => true,
            [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
            _ => false,
        }),
        [b'%', ..] => is_escaped_host(text),
        _ => false,
    }
}

/// The authority of a target, with a port where there must be one.
pub(super) fn is_target_host(text: &[u8], port_needed: bool) -> bool {
    let end = text.iter().position(|b| !PLAIN[usize::from(*b)]).unwrap_or(text.len());
    let rest = match &text[end..] {
        [b'[', ..] if end == 0 => bracketed(text),
        rest => (end > 0).then_some(rest),
    };
    match rest {
        Some([]) => !port_needed,
        Some([b':', port @ ..]) => is_port(port),
        _ => false,
    }
}

/// What follows an IPv6 address in brackets.
fn bracketed(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|b| *b == b']')?;
    let address = std::str::from_utf8(text.get(1..end)?).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    text.get(end + 1..)
}

/// A name with escaped characters.
fn is_escaped_host(text: &[u8]) -> bool {
    let (name, port) = match text.iter().position(|b| *b == b':') {
        Some(colon) => (&text[..colon], &text[colon + 1..]),
        None => (text, &[][..]),
    };
    let mut rest = name;
    while let Some((byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            (byte, tail) if NAME[usize::from(*byte)] => tail,
            _ => return false,
        };
    }
    port.iter().all(u8::is_ascii_digit)
}

fn is_port(digits: &[u8]) -> bool {
    let number = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
    number.is_some_and(|text| text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, host, target, connect) in [
            ("a.example.com", true, true, false),
            ("a.example.com:80", true, true, true),
            ("a:", true, false, false),
            ("a:65536", true, false, false),
            ("a:x", false, false, false),
            ("a:80:80", false, false, false),
            ("a_b", true, false, false),
            ("a%41b:80", true, false, false),
            ("a%4", false, false, false),
            ("a,b", false, false, false),
            ("a b", false, false, false),
            ("u@a", false, false, false),
            (":80", false, false, false),
            ("", false, false, false),
            ("[::1]", true, true, false),
            ("[::1]:80", true, true, true),
            ("[::1", false, false, false),
            ("[x]", false, false, false),
            ("[::1]x", false, false, false),
            ("::1", false, false, false),
        ] {
            assert_eq!(is_host(text.as_bytes()), host, "host {text}");
            assert_eq!(is_target_host(text.as_bytes(), false), target, "target {text}");
            assert_eq!(is_target_host(text.as_bytes(), true), connect, "CONNECT {text}");
        }
    }
}
