//! Origins that say what they were asked: small HTTP/1.1 servers on loopback, independent of the code under test.
//! The answer is JSON: name, method, path, headers and body of the request. Some paths behave on purpose:
//! `/status/N` answers N, `/only/NAME/N` answers N if that is its own name, `/slow/MS` waits, `/reset` closes without
//! an answer, `/chunked`, `/close`, `/trailers`, `/broken` and `/garbage` frame their answer in that way, `/early`
//! answers before it reads the body, `/flaky/N` fails N times with 503 per value of `x-key` and `x-plane`, and
//! `/upgrade` switches to a protocol that echoes.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A running origin. It lives as long as the test program.
#[derive(Clone)]
pub struct Origin {
    pub name: String,
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Origin {
    /// What has arrived so far: method and target of each request whose target contains `word`, with its body.
    pub fn seen(&self, word: &str) -> Vec<(String, String)> {
        let seen = self.state.seen.lock().expect("no test panics while it holds this");
        seen.iter().filter(|(line, _)| line.contains(word)).cloned().collect()
    }
}

#[derive(Default)]
struct State {
    failures: Mutex<HashMap<String, u32>>,
    seen: Mutex<Vec<(String, String)>>,
}

/// Starts one.
///
/// # Panics
/// When there is no free port.
pub fn start(name: &str) -> Origin {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let (owned, state) = (name.to_string(), Arc::new(State::default()));
    let shared = state.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (name, state) = (owned.clone(), shared.clone());
            thread::spawn(move || {
                // A client that goes away is no failure of the origin.
                serve(&name, &state, stream).ok();
            });
        }
    });
    Origin { name: name.into(), address, state }
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn serve(name: &str, state: &State, stream: TcpStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut nth = 0;
    while let Some(request) = read(&mut reader)? {
        nth += 1;
        let arrived =
            (format!("{} {}", request.method, request.path), String::from_utf8_lossy(&request.body).into());
        state.seen.lock().expect("no test panics while it holds this").push(arrived);
        if request.path.ends_with("/upgrade") && request.headers.iter().any(|(name, _)| name == "upgrade") {
            return switch(&mut reader, &mut writer);
        }
        let Some((status, body)) = answer(name, state, &request, nth) else { return Ok(()) };
        if let Some(raw) = odd(&request.path) {
            writer.write_all(raw.as_bytes())?;
            return Ok(());
        }
        let length = if request.method == "HEAD" || status == 204 { 0 } else { body.len() };
        let mut head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nx-origin: {name}\r\n");
        if status != 204 {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut all = head.into_bytes();
        all.extend_from_slice(&body.as_bytes()[..length]);
        writer.write_all(&all)?;
    }
    Ok(())
}

/// Answers that are framed in another way, or are wrong. The connection ends after them.
fn odd(path: &str) -> Option<&'static str> {
    Some(match path {
        "/chunked" => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        }
        "/trailers" => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-after\r\n\r\n5\r\nhello\r\n0\r\nx-after: b\r\n\r\n"
        }
        "/close" => "HTTP/1.1 200 OK\r\n\r\nhello world",
        "/broken" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello",
        "/garbage" => "what is HTTP?\r\n\r\n",
        _ => return None,
    })
}

/// What follows a switch of protocols comes back as it is, until the other side ends.
fn switch(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<()> {
    writer.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )?;
    io::copy(reader, writer)?;
    Ok(())
}

fn answer(name: &str, state: &State, request: &Request, nth: u32) -> Option<(u16, String)> {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let number = || parts.get(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    let mut status = 200;
    match parts[0] {
        "status" => status = number() as u16,
        "only" if parts.get(1) == Some(&name) => {
            status = parts.get(2).and_then(|n| n.parse().ok()).unwrap_or(200);
        }
        "slow" => thread::sleep(Duration::from_millis(number().min(5000))),
        "reset" => return None,
        "flaky" => {
            let find = |name| request.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
            let key = format!("{} {}", find("x-key"), find("x-plane"));
            let mut failures = state.failures.lock().expect("no test panics while it holds this");
            let failed = failures.entry(key).or_default();
            if u64::from(*failed) < number() {
                *failed += 1;
                status = 503;
            }
        }
        _ => {}
    }
    let body = serde_json::json!({
        "origin": name,
        "nth": nth,
        "method": request.method,
        "path": request.path,
        "headers": request.headers,
        "body": String::from_utf8_lossy(&request.body),
    });
    Some((status, body.to_string()))
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_string();
    let path = words.next().unwrap_or_default().to_string();
    let mut headers = read_fields(reader)?;
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let chunked = find("transfer-encoding").is_some();
    let mut body = Vec::new();
    if path.ends_with("/early") {
        // It is answered as it is, whatever may still come.
    } else if let Some(length) = find("content-length").and_then(|v| v.parse().ok()) {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else if chunked {
        body = read_chunks(reader)?;
        // Trailers are headers of another time, and are told apart by their names.
        headers
            .extend(read_fields(reader)?.into_iter().map(|(name, value)| (format!("trailer {name}"), value)));
    }
    Ok(Some(Request { method, path, headers, body }))
}

/// Lines up to an empty one.
fn read_fields(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(fields) };
        fields.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        // What breaks off is no request.
        let broken = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
        let size = usize::from_str_radix(line.trim(), 16).map_err(broken)?;
        if size == 0 {
            return Ok(body);
        }
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
    }
}
