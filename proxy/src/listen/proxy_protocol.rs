//! The PROXY protocol, versions 1 and 2: who really connected, said by a load balancer in front.
//!
//! In: the first bytes of a connection. Out: how long the header is and which addresses it names. Pure. Called by
//! `admit` where a listener has the filter; there the header is required, as in Envoy's default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::sniff::Sniffed;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1, line end included.
const MAX_LINE: usize = 108;

/// A parsed header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header, to be dropped.
    pub length: usize,
    /// Source and destination; `None` for LOCAL and UNKNOWN: the connection's own addresses hold.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// Parses what is there.
pub fn parse(bytes: &[u8]) -> Sniffed<Header> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes.get(..common) == SIGNATURE.get(..common) {
        return if common < SIGNATURE.len() { Sniffed::Partial } else { version2(bytes) };
    }
    let common = bytes.len().min(6);
    if bytes.get(..common) == b"PROXY ".get(..common) {
        return version1(bytes);
    }
    Sniffed::No
}

fn version1(bytes: &[u8]) -> Sniffed<Header> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|b| *b == b'\n') else {
        return if bytes.len() < MAX_LINE { Sniffed::Partial } else { Sniffed::No };
    };
    let line = bytes
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok())
        .map(|line| line.trim_end_matches('\r'));
    let Some(line) = line else { return Sniffed::No };
    let parts: Vec<&str> = line.split(' ').collect();
    let addresses = match parts.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4" | "TCP6", source, destination, from, to] => {
            let address = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
            match (address(source, from), address(destination, to)) {
                (Some(source), Some(destination)) => Some((source, destination)),
                _ => return Sniffed::No,
            }
        }
        _ => return Sniffed::No,
    };
    Sniffed::Yes(Header { length: end + 1, addresses })
}

fn version2(bytes: &[u8]) -> Sniffed<Header> {
    let Some(&[command, family, high, low]) = bytes.get(12..16) else { return Sniffed::Partial };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let Some(body) = bytes.get(16..16 + length) else { return Sniffed::Partial };
    let length = 16 + length;
    let addresses = match (command, family) {
        (0x20, _) => None,
        (0x21, 0x11) => four(body),
        (0x21, 0x21) => six(body),
        (0x21, _) => None,
        _ => return Sniffed::No,
    };
    if command == 0x21 && matches!(family, 0x11 | 0x21) && addresses.is_none() {
        return Sniffed::No;
    }
    Sniffed::Yes(Header { length, addresses })
}

fn port(body: &[u8], at: usize) -> Option<u16> {
    body.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn four(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(body.get(at..at + 4)?).ok()?)));
    Some((SocketAddr::new(ip(0)?, port(body, 8)?), SocketAddr::new(ip(4)?, port(body, 10)?)))
}

fn six(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(at..at + 16)?).ok()?)));
    Some((SocketAddr::new(ip(0)?, port(body, 32)?), SocketAddr::new(ip(16)?, port(body, 34)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1() {
        let text = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\nGET";
        let Sniffed::Yes(header) = parse(text) else { panic!() };
        assert_eq!(header.length, text.len() - 3);
        assert_eq!(header.addresses, Some(("1.2.3.4:1000".parse().unwrap(), "5.6.7.8:443".parse().unwrap())));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Sniffed::Yes(Header { length: 15, addresses: None }));
        assert_eq!(parse(b"PROX"), Sniffed::Partial);
        assert_eq!(parse(b"GET / HTTP/1.1"), Sniffed::No);
        assert_eq!(parse(b"PROXY TCP4 1.2.3.4 x 1 2\r\n"), Sniffed::No);
    }

    #[test]
    fn version_2() {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0x03, 0xe8, 0x01, 0xbb]);
        let addresses = Some(("1.2.3.4:1000".parse().unwrap(), "5.6.7.8:443".parse().unwrap()));
        assert_eq!(parse(&bytes), Sniffed::Yes(Header { length: 28, addresses }));
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Sniffed::Partial, "{cut}");
        }
        let mut local = SIGNATURE.to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(parse(&local), Sniffed::Yes(Header { length: 16, addresses: None }));
    }
}
