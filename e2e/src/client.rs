//! A small blocking HTTP/1.1 client, independent of the code under test: one request on one connection.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer. Header names are lower case; repeated headers are joined by a comma.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// After a chunked body.
    pub trailers: BTreeMap<String, String>,
    /// Statuses of interim responses before this one.
    pub interim: Vec<u16>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, headers {:?}, body {:?}", self.status, self.headers, self.body)
    }
}

impl Reply {
    /// A header's value, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// One request. A body is sent with its length, or as it is where headers say `transfer-encoding`.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
    /// Leaves the connection open for another.
    pub keep: bool,
}

impl<'a> Ask<'a> {
    /// `GET path`.
    pub fn get(path: &'a str) -> Self {
        Ask { method: "GET", path, host: "localhost", headers: &[], body: "", keep: false }
    }

    /// The same with another Host.
    pub fn host(self, host: &'a str) -> Self {
        Ask { host, ..self }
    }

    /// The same with these headers.
    pub fn headers(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Ask { headers, ..self }
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// The connection fails, ends early, or what comes is no HTTP.
    pub fn send(&self, to: SocketAddr) -> io::Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        self.over(&mut stream)
    }

    /// The same over a stream that exists.
    ///
    /// # Errors
    /// As [`Ask::send`].
    pub fn over(&self, stream: &mut (impl Read + Write)) -> io::Result<Reply> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.path, self.host);
        if !self.keep {
            head.push_str("connection: close\r\n");
        }
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = self.headers.iter().any(|(name, _)| *name == "transfer-encoding");
        if !self.body.is_empty() && !framed {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        stream.write_all(format!("{head}\r\n{}", self.body).as_bytes())?;
        read(stream, self.method == "HEAD")
    }
}

/// Reads one answer up to the end that its head names, so that nobody waits for a connection to close.
///
/// # Errors
/// It ends early, or what comes is no HTTP.
pub fn read(stream: &mut impl Read, bodiless: bool) -> io::Result<Reply> {
    let mut all = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let n = match stream.read(&mut part) {
            // Who has answered and closes while we still send resets what it closes.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !all.is_empty() => 0,
            n => n?,
        };
        all.extend_from_slice(&part[..n]);
        if let Some((reply, _)) = parse(&all, bodiless, n == 0)? {
            return Ok(reply);
        }
    }
}

/// Sends `bytes` as they are and reads until the other side ends: every answer that came. `bodiless` numbers the
/// answers to HEAD. With `until` we end it ourselves, as soon as what came ends with that.
///
/// # Errors
/// What came is no HTTP, or the other side neither answers nor ends for ten seconds.
pub fn converse(
    to: SocketAddr,
    bytes: &[u8],
    half_close: bool,
    bodiless: &[usize],
    until: Option<&str>,
) -> io::Result<Vec<Reply>> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // Who refuses the start may end before it has the rest.
    stream.write_all(bytes).ok();
    if half_close {
        stream.shutdown(std::net::Shutdown::Write).ok();
    }
    let mut all = Vec::new();
    let mut part = [0; 16 * 1024];
    while until.is_none_or(|until| !all.ends_with(until.as_bytes())) {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&part[..n]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => {
                let so_far = String::from_utf8_lossy(&all).into_owned();
                return Err(io::Error::new(error.kind(), format!("{error}, after {so_far:?}")));
            }
        }
    }
    let (mut rest, mut replies) = (&all[..], Vec::new());
    while !rest.is_empty() {
        let parsed = parse(rest, bodiless.contains(&replies.len()), true)?;
        let (reply, used) = parsed.expect("at the end of a stream there is nothing to wait for");
        replies.push(reply);
        rest = &rest[used..];
    }
    Ok(replies)
}

/// The answer at the start of `all` and how long it is; `None`: more is to come.
fn parse(whole: &[u8], bodiless: bool, ended: bool) -> io::Result<Option<(Reply, usize)>> {
    let mut all = whole;
    let wrong = |what: &str| {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {}", String::from_utf8_lossy(all))))
    };
    let mut interim = Vec::new();
    let (status, headers, body) = loop {
        let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if ended { wrong("no complete head") } else { Ok(None) };
        };
        let Some((status, headers)) = std::str::from_utf8(&all[..end]).ok().and_then(head) else {
            return wrong("no head");
        };
        if !(100..200).contains(&status) || status == 101 {
            break (status, headers, &all[end + 4..]);
        }
        interim.push(status);
        all = &all[end + 4..];
    };
    let length = headers.get("content-length").and_then(|v| v.parse::<usize>().ok());
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    let before = whole.len() - body.len();
    let (body, trailers, used) = if bodiless || [204, 304].contains(&status) {
        (Vec::new(), BTreeMap::new(), 0)
    } else if chunked {
        match unchunk(body) {
            Some(unchunked) => unchunked,
            None if ended => return wrong("chunks end early"),
            None => return Ok(None),
        }
    } else {
        match length {
            Some(length) if body.len() < length && ended => return wrong("body ends early"),
            Some(length) if body.len() < length => return Ok(None),
            Some(length) => (body[..length].to_vec(), BTreeMap::new(), length),
            None if !ended && status != 101 => return Ok(None),
            None => (body.to_vec(), BTreeMap::new(), body.len()),
        }
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some((Reply { status, headers, body, trailers, interim }, before + used)))
}

/// Status and headers.
fn head(text: &str) -> Option<(u16, BTreeMap<String, String>)> {
    let (start, lines) = text.split_once("\r\n").unwrap_or((text, ""));
    let status = start.split(' ').nth(1)?.parse().ok()?;
    Some((status, fields(lines)?))
}

fn fields(lines: &str) -> Option<BTreeMap<String, String>> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let entry = fields.entry(name.to_ascii_lowercase()).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        entry.push_str(value.trim());
    }
    Some(fields)
}

/// The body, its trailers, and how many bytes they took, once they are complete.
fn unchunk(all: &[u8]) -> Option<(Vec<u8>, BTreeMap<String, String>, usize)> {
    let (mut rest, mut body) = (all, Vec::new());
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            let end = end + rest[end..].windows(4).position(|w| w == b"\r\n\r\n")?;
            let lines = rest.get(rest.windows(2).position(|w| w == b"\r\n")? + 2..end).unwrap_or_default();
            let used = all.len() - rest.len() + end + 4;
            return Some((body, fields(std::str::from_utf8(lines).ok()?)?, used));
        }
        rest = rest.get(end + 2..)?;
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
