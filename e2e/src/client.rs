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
}

impl<'a> Ask<'a> {
    /// `GET path`.
    pub fn get(path: &'a str) -> Self {
        Ask { method: "GET", path, host: "localhost", headers: &[], body: "" }
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
    pub fn over(&self, stream: &mut (impl Read + Write)) -> io::Result<Reply> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.method, self.path, self.host);
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = self.headers.iter().any(|(name, _)| *name == "transfer-encoding");
        if !self.body.is_empty() && !framed {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        stream.write_all(format!("{head}\r\n{}", self.body).as_bytes())?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        parse(&all, self.method == "HEAD")
    }
}

fn parse(all: &[u8], bodiless: bool) -> io::Result<Reply> {
    let wrong = |what: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {}", String::from_utf8_lossy(all)))
    };
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| wrong("no complete head"))?;
    let head = std::str::from_utf8(&all[..end]).map_err(|_| wrong("head is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| wrong("no status"))?;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("no header"))?;
        let entry = headers.entry(name.to_ascii_lowercase()).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        entry.push_str(value.trim());
    }
    let body = &all[end + 4..];
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    let body = if chunked { unchunk(body).ok_or_else(|| wrong("chunks end early"))? } else { body.to_vec() };
    if let Some(length) = headers.get("content-length").and_then(|v| v.parse::<usize>().ok())
        && body.len() < length
        && !(bodiless || status == 304)
    {
        return Err(wrong("body ends early"));
    }
    Ok(Reply { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
