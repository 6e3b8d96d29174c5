//! `proxy request` and `proxy wait`: one request to the running proxy of this machine.
//!
//! In: port or URL. Out: the body on standard output, or an error. Called by `main` alone, for probes and hooks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// `request METHOD PATH`: prints the body.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let (status, body) = exchange(&at(port).to_string(), method, &path, body)?;
    if !(200..300).contains(&status) {
        bail!("received unsuccessful status code {status}: {body}");
    }
    print!("{body}");
    Ok(())
}

/// `wait`: until the URL answers 200.
pub fn wait(url: &str, timeout: Duration, period: Duration) -> anyhow::Result<()> {
    let rest =
        url.strip_prefix("http://").with_context(|| format!("--url {url}: only http:// is supported"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let end = Instant::now() + timeout;
    loop {
        let last = match exchange(authority, "GET", &format!("/{path}"), "") {
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

/// A port of this pod.
fn at(port: u16) -> SocketAddr {
    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    crate::listen::placed(local).unwrap_or(local)
}

fn exchange(authority: &str, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut stream = TcpStream::connect(&address).with_context(|| address.clone())?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
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
