//! tcp-traffic-shifting: all to v1, then a fifth to v2.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Mesh;
use e2e::driven::Driven as _;
use e2e::until::eventually;

/// One connection, one line there and back.
fn echo(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"hello\n")?;
    let mut answer = Vec::new();
    let mut part = [0; 256];
    while !answer.contains(&b'\n') {
        let n = stream.read(&mut part)?;
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&part[..n]);
    }
    Ok(String::from_utf8_lossy(&answer).trim().to_string())
}

#[test]
fn tcp_traffic_shifting() {
    let mesh = Mesh::up(&["tcp-echo/tcp-echo-services.yaml"]);
    mesh.apply("tcp-echo/tcp-echo-all-v1.yaml");
    eventually("v1 answers through the gateway", || match echo(mesh.tcp) {
        Ok(line) if line == "one hello" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for _ in 0..20 {
        assert_eq!(echo(mesh.tcp).unwrap(), "one hello");
    }
    mesh.apply("tcp-echo/tcp-echo-20-v2.yaml");
    eventually("v2 answers some", || {
        let lines: Vec<String> = (0..10).filter_map(|_| echo(mesh.tcp).ok()).collect();
        if lines.iter().any(|line| line == "two hello") { Ok(()) } else { Err(format!("{lines:?}")) }
    });
    let two = (0..100).filter(|_| echo(mesh.tcp).unwrap() == "two hello").count();
    // 20 of 100 with a standard deviation of 4: five of them on each side.
    assert!((1..=40).contains(&two), "{two} of 100");
}
