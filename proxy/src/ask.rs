//! `proxy request` and `proxy wait`: one request to the running proxy of this machine.
//!
//! In: port or URL. Out: the body on standard output, or an error. Called by `main` alone, for probes and hooks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// For an answer to `request`.
const PATIENCE: Duration = Duration::from_secs(60);

/// `request METHOD PATH`: prints the body.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let (status, body) = exchange(&at(port).to_string(), method, &path, body, PATIENCE)?;
    if !(200..300).contains(&status) {
        bail!("received unsuccessful status code {status}: {body}");
    }
    print!("{body}");
    Ok(())
}

/// `wait`: until the URL answers 200. `patience` is for one answer.
pub fn wait(url: &str, timeout: Duration, period: Duration, patience: Duration) -> anyhow::Result<()> {
    let rest =
        url.strip_prefix("http://").with_context(|| format!("--url {url}: only http:// is supported"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let end = Instant::now() + timeout;
    loop {
        let last = match exchange(authority, "GET", &format!("/{path}"), "", patience) {
            Ok((200, _)) => return Ok(()),
            Ok((status, body)) => format!("{status} {}", body.trim()),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() + period > end {
            bail!("not ready within {timeout:?}: {last}");
        }
        std::thread::sleep(period);
    }
}

fn connect(authority: &str, patience: Duration) -> anyhow::Result<TcpStream> {
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    // An image without files knows no names, but this one is everywhere the same.
    let found: Vec<SocketAddr> = match address.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => {
            vec![at(port), SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)]
        }
        _ => address.to_socket_addrs().with_context(|| address.clone())?.collect(),
    };
    let mut last = anyhow::anyhow!("{address}: no address");
    for one in found {
        match TcpStream::connect_timeout(&one, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = anyhow::Error::new(error).context(one.to_string()),
        }
    }
    Err(last)
}

/// A port of this pod.
fn at(port: u16) -> SocketAddr {
    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    crate::listen::placed(local).unwrap_or(local)
}

fn exchange(
    authority: &str,
    method: &str,
    path: &str,
    body: &str,
    patience: Duration,
) -> anyhow::Result<(u16, String)> {
    let mut stream = connect(authority, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {authority}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP status")?;
    Ok((status, body.to_owned()))
}
