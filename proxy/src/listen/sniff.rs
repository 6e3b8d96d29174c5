//! What a connection begins with: TLS (and for which name), HTTP (and which version), or neither.
//!
//! In: the bytes received so far. Out: an answer, or "not enough yet". Pure, never panics on hostile input, looks at
//! no more than [`MAX_HELLO`] bytes. Called by `admit` until both questions that the listener asks are answered.

use std::sync::Arc;

/// A ClientHello longer than this is taken for "not TLS", as Envoy's inspector does at its limit.
pub const MAX_HELLO: usize = 64 * 1024;
/// A request line longer than this is taken for "not HTTP".
pub const MAX_LINE: usize = 8 * 1024;

/// Answer of a detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sniffed<T> {
    /// More bytes are needed.
    Partial,
    /// It is something else.
    No,
    Yes(T),
}

/// What a ClientHello says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// Lower case.
    pub server_name: Option<Arc<str>>,
    pub alpn: Vec<Arc<str>>,
}

/// Which HTTP; the text is what chain matches call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    One0,
    One1,
    Two,
}

impl Http {
    /// `http/1.0`, `http/1.1` or `h2c`.
    pub fn as_str(self) -> &'static str {
        match self {
            Http::One0 => "http/1.0",
            Http::One1 => "http/1.1",
            Http::Two => "h2c",
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Is this HTTP in clear text?
pub fn http(bytes: &[u8]) -> Sniffed<Http> {
    let common = bytes.len().min(PREFACE.len());
    if bytes.get(..common) == PREFACE.get(..common) {
        return if common == PREFACE.len() { Sniffed::Yes(Http::Two) } else { Sniffed::Partial };
    }
    // Empty lines before a request are allowed.
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    let bytes = bytes.get(start..).unwrap_or_default();
    if bytes.is_empty() {
        return Sniffed::Partial;
    }
    let method = bytes.iter().take_while(|b| token(**b)).count();
    match bytes.get(method) {
        None if method > 32 => return Sniffed::No,
        None => return Sniffed::Partial,
        Some(b' ') if method > 0 => {}
        Some(_) => return Sniffed::No,
    }
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
        let printable = bytes.iter().all(|b| *b >= 0x20 || *b == b'\r');
        return if printable && bytes.len() <= MAX_LINE { Sniffed::Partial } else { Sniffed::No };
    };
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // As strict as above: how the line was cut on its way must not decide.
    if line.len() > MAX_LINE || line.iter().any(|b| *b < 0x20) {
        return Sniffed::No;
    }
    if line.ends_with(b" HTTP/1.1") {
        Sniffed::Yes(Http::One1)
    } else if line.ends_with(b" HTTP/1.0") {
        Sniffed::Yes(Http::One0)
    } else {
        Sniffed::No
    }
}

fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Is this a TLS ClientHello?
pub fn tls(bytes: &[u8]) -> Sniffed<Hello> {
    match handshake(bytes) {
        Ok(Some(body)) => Sniffed::Yes(hello(&body).unwrap_or_default()),
        Ok(None) if bytes.len() > MAX_HELLO => Sniffed::No,
        Ok(None) => Sniffed::Partial,
        Err(()) => Sniffed::No,
    }
}

/// The body of the ClientHello, gathered from one or more records; `None`: incomplete; error: not TLS.
fn handshake(bytes: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut gathered = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [] => return Ok(None),
            [kind, ..] if *kind != 22 => return Err(()),
            [_, major, ..] if *major != 3 => return Err(()),
            [_, _, _, high, low, tail @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > 16 * 1024 + 256 {
                    return Err(());
                }
                gathered.extend_from_slice(tail.get(..length.min(tail.len())).unwrap_or_default());
                match gathered.as_slice() {
                    [kind, ..] if *kind != 1 => return Err(()),
                    [_, a, b, c, body @ ..] => {
                        let wanted = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                        if wanted > MAX_HELLO {
                            return Err(());
                        }
                        if let Some(body) = body.get(..wanted) {
                            return Ok(Some(body.to_vec()));
                        }
                    }
                    _ => {}
                }
                match tail.get(length..) {
                    Some(next) => rest = next,
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        }
    }
}

/// Reads big-endian fields; every step may find the end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<usize> {
        self.take(1)?.first().map(|b| usize::from(*b))
    }

    fn short(&mut self) -> Option<usize> {
        Some(self.byte()? << 8 | self.byte()?)
    }
}

fn hello(body: &[u8]) -> Option<Hello> {
    let mut at = Cursor(body);
    at.take(2 + 32)?;
    let session = at.byte()?;
    at.take(session)?;
    let ciphers = at.short()?;
    at.take(ciphers)?;
    let compression = at.byte()?;
    at.take(compression)?;
    let mut found = Hello::default();
    let Some(length) = at.short() else { return Some(found) };
    let mut extensions = Cursor(at.take(length)?);
    while let Some(kind) = extensions.short() {
        let length = extensions.short()?;
        let mut extension = Cursor(extensions.take(length)?);
        match kind {
            0 => {
                extension.short()?;
                let kind = extension.byte()?;
                let length = extension.short()?;
                let name = std::str::from_utf8(extension.take(length)?).ok()?;
                if kind == 0 && !name.is_empty() {
                    found.server_name = Some(name.to_ascii_lowercase().into());
                }
            }
            16 => {
                let length = extension.short()?;
                let mut names = Cursor(extension.take(length)?);
                while let Some(length) = names.byte() {
                    found.alpn.push(String::from_utf8_lossy(names.take(length)?).into());
                }
            }
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real ClientHello, from rustls itself.
    fn client_hello(name: &str, alpn: &[&str]) -> Vec<u8> {
        let mut config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn hellos_whole_cut_and_split() {
        let whole = client_hello("Reviews.default.svc", &["istio-http/1.1", "istio"]);
        let Sniffed::Yes(hello) = tls(&whole) else { panic!("no hello") };
        assert_eq!(hello.server_name.as_deref(), Some("reviews.default.svc"));
        assert_eq!(hello.alpn, [Arc::from("istio-http/1.1"), Arc::from("istio")]);
        for cut in 1..whole.len() {
            assert_eq!(tls(&whole[..cut]), Sniffed::Partial, "cut at {cut}");
        }
        // The same message in records of 100 bytes.
        let mut split = Vec::new();
        for part in whole[5..].chunks(100) {
            split.extend_from_slice(&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()]);
            split.extend_from_slice(part);
        }
        assert_eq!(tls(&split), Sniffed::Yes(hello));
        let bare = client_hello("10.0.0.1", &[]);
        assert_eq!(tls(&bare), Sniffed::Yes(Hello::default()));
    }

    #[test]
    fn not_tls() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x02\x01\x00\x05\x01",
            b"\x16\x03\x01\x00\x05\x02\x00\x00",
            b"\x00",
        ] {
            assert_eq!(tls(bytes), Sniffed::No, "{bytes:?}");
        }
        assert_eq!(tls(b""), Sniffed::Partial);
        assert_eq!(tls(b"\x16"), Sniffed::Partial);
    }

    #[test]
    fn garbage_never_panics() {
        let whole = client_hello("a.example", &["h2"]);
        for at in 5..whole.len().min(400) {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = tls(&broken);
            let _ = http(&broken[at..]);
        }
    }

    #[test]
    fn http_versions() {
        let table = [
            ("GET / HTTP/1.1\r\n", Sniffed::Yes(Http::One1)),
            ("\r\nGET /a b HTTP/1.0\n", Sniffed::Yes(Http::One0)),
            ("GET / HTTP/1.1", Sniffed::Partial),
            ("GET", Sniffed::Partial),
            ("GET /", Sniffed::Partial),
            ("", Sniffed::Partial),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniffed::Yes(Http::Two)),
            ("PRI * HT", Sniffed::Partial),
            ("SSH-2.0-OpenSSH\r\n", Sniffed::No),
            ("\x16\x03", Sniffed::No),
            ("hello world\n", Sniffed::No),
            ("GET / FTP/1.1\r\n", Sniffed::No),
            ("GET /\x01", Sniffed::No),
            ("GET /\x01 HTTP/1.1\r\n", Sniffed::No),
        ];
        for (text, wanted) in table {
            assert_eq!(http(text.as_bytes()), wanted, "{text:?}");
        }
    }
}
