//! What a proxy weighs: its memory after a start from a bootstrap file, with a large configuration, and per connection
//! that waits.
//!
//! The program itself is started, with one worker, and asked for one request. What is compared is anonymous memory,
//! which the program's own size and other processes do not change. The limits leave room for a build without
//! optimisation; an optimised one needs less.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
const BODY: usize = 1024;

/// A running proxy; ends with the test.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Proxy {
    /// Starts one for `hosts` virtual hosts with ten routes and a cluster each, all to `backend`, and waits for the
    /// first answer by the last route.
    fn start(name: &str, hosts: usize, backend: SocketAddr) -> Proxy {
        let address = free();
        let folder = std::env::temp_dir().join(format!("proxy-weight-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("bootstrap.json");
        std::fs::write(&file, bootstrap(address, hosts, backend).to_string()).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_proxy"))
            .arg("-c")
            .arg(&file)
            .args(["--concurrency", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the proxy starts");
        let mut proxy = Proxy { child, address, _folder: Folder(folder) };
        let host = format!("svc{}.test", hosts - 1);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).and_then(|mut stream| ask(&mut stream, &host)).is_err() {
            assert!(proxy.child.try_wait().expect("a child").is_none(), "the proxy ended");
            assert!(Instant::now() < end, "no answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        proxy
    }

    /// Anonymous memory in KiB.
    fn anonymous(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }
}

/// A port that nobody has.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn bootstrap(listen: SocketAddr, hosts: usize, backend: SocketAddr) -> Value {
    let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    let clusters: Vec<Value> = (0..hosts)
        .map(|host| {
            let endpoint = json!({"endpoint": {"address": socket(backend)}});
            json!({"name": format!("c{host}"), "type": "STATIC", "load_assignment": {
                "cluster_name": format!("c{host}"), "endpoints": [{"lb_endpoints": [endpoint]}]}})
        })
        .collect();
    let virtual_hosts: Vec<Value> = (0..hosts)
        .map(|host| {
            let route = |n: usize| json!({"match": {"prefix": format!("/api/v{n}/")}, "route": {"cluster": format!("c{host}")}});
            let routes: Vec<Value> = (0..10).map(route).collect();
            json!({"name": format!("v{host}"), "domains": [format!("svc{host}.test")], "routes": routes})
        })
        .collect();
    let manager = json!({
        "@type": kind("network.http_connection_manager.v3.HttpConnectionManager"), "stat_prefix": "in",
        "route_config": {"name": "r", "virtual_hosts": virtual_hosts},
        "http_filters": [{"name": "r", "typed_config": {"@type": kind("http.router.v3.Router")}}]
    });
    json!({"static_resources": {
        "clusters": clusters,
        "listeners": [{"name": "l", "address": socket(listen),
            "filter_chains": [{"filters": [{"name": "h", "typed_config": manager}]}]}]
    }})
}

/// One request on a connection that stays open.
fn ask(stream: &mut TcpStream, host: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /api/v9/ HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
    let (mut got, mut room) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut room)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => got.extend_from_slice(&room[..n]),
        }
        if !got.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::other("no 200"));
        }
        if got.ends_with(&[b'x'; BODY]) {
            return Ok(());
        }
    }
}

/// Answers every request with a small body.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let (mut got, mut room) = (Vec::new(), [0; 4096]);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
                while let Ok(n @ 1..) = stream.read(&mut room) {
                    got.extend_from_slice(&room[..n]);
                    if got.ends_with(b"\r\n\r\n") {
                        got.clear();
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// Waits until the figure is low enough: memory is given back a moment after an answer.
fn at_most(limit: usize, what: &str, figure: impl Fn() -> usize) {
    let end = Instant::now() + PATIENCE;
    while figure() > limit {
        assert!(Instant::now() < end, "{what}: {} KiB, the limit is {limit}", figure());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{what}: {} KiB of {limit}", figure());
}

#[test]
fn a_start_from_a_file_is_light() {
    let proxy = Proxy::start("small", 1, backend());
    at_most(4 * 1024, "started", || proxy.anonymous());
}

#[test]
fn ten_thousand_routes_are_light() {
    let proxy = Proxy::start("large", 1000, backend());
    at_most(20 * 1024, "10,000 routes over 1,000 clusters", || proxy.anonymous());
}

#[test]
fn a_connection_that_waits_is_light() {
    const CONNECTIONS: usize = 500;
    let proxy = Proxy::start("idle", 1, backend());
    let connect = || {
        let mut stream = TcpStream::connect(proxy.address).expect("it listens");
        ask(&mut stream, "svc0.test").expect("an answer");
        stream
    };
    // What the first connections bring along is not the price of one.
    let warm: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let before = proxy.anonymous();
    let idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect()).collect();
    at_most(5 * CONNECTIONS, "500 idle connections", || proxy.anonymous().saturating_sub(before));
    drop((warm, idle));
}
