//! What an idle connection holds, and how large the tasks of connections are: ranges, so that neither a creeping growth nor
//! a measurement that has gone blind passes. Debug builds are larger than what is shipped; the shipped program is measured
//! by `cargo xtask bench --scenario idle-mem`.
//!
//! One test, alone in its program: resident memory belongs to all of it.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub, dead_code)] // Shared with the tests in memory; not all of it is used here.
#[path = "memory/support.rs"]
mod support;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use proxy::config::{App, ClusterSlot, TcpChain};
use proxy::io::{Raw, Stream, Wire};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Enough to be seen above what an allocator keeps, few enough for a limit of 1024 open files.
const CONNECTIONS: usize = 400;
/// Bytes of this process per connection: the proxy's side with its task and socket, and the test's socket.
const IDLE: RangeInclusive<usize> = 1024..=9 * 1024;
/// Bytes of the future that serves a connection.
const HTTP: RangeInclusive<usize> = 1000..=3000;
const TCP: RangeInclusive<usize> = 500..=3000;

#[test]
fn an_idle_connection_is_small() {
    run_in_real_time(async {
        futures().await;
        idle().await;
    });
}

fn run_in_real_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

async fn futures() {
    let mesh = mesh(Setup::default());
    let pipe = || tokio::io::duplex(PIPE).1;
    let http = Arc::new(chain());
    let one = served(pipe(), App::Http(http.clone()), mesh.drain.watch());
    let size = std::mem::size_of_val(&proxy::http::serve(mesh.worker.clone(), one, http));
    assert!(HTTP.contains(&size), "the task of an HTTP connection takes {size} bytes, not {HTTP:?}");
    let tcp = Arc::new(TcpChain {
        stat_prefix: "test".into(),
        targets: vec![(ClusterSlot(0), 1)],
        idle_timeout: Duration::from_secs(100),
        access_logs: Vec::new(),
        stats: true,
        sni_cluster: false,
        hash_source_ip: false,
    });
    let one = served(pipe(), App::Tcp(tcp.clone()), mesh.drain.watch());
    let size = std::mem::size_of_val(&proxy::tcp::serve(mesh.worker.clone(), one, tcp));
    assert!(TCP.contains(&size), "the task of a TCP connection takes {size} bytes, not {TCP:?}");
}

async fn idle() {
    let mesh = mesh(Setup::default());
    mesh.net.listen(addr(1), origin(async |_: Seen| say(200, "hello")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Arc::new(chain());
    let mut clients = Vec::new();
    let mut open = async |count: usize| {
        for _ in 0..count {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (near, _) = listener.accept().await.unwrap();
            let stream = Stream::Plain(Wire::new(Raw::Tcp(near)));
            let one = served_stream(stream, App::Http(http.clone()), mesh.drain.watch());
            tokio::task::spawn_local(proxy::http::serve(mesh.worker.clone(), one, http.clone()));
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut answer = [0; 1024];
            let length = client.read(&mut answer).await.unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            clients.push(client);
        }
    };
    // What is made once is made now: pools, buffers of the thread, the allocator's first pages.
    open(CONNECTIONS / 4).await;
    let before = resident();
    open(CONNECTIONS).await;
    let each = (resident() - before) / CONNECTIONS;
    assert!(IDLE.contains(&each), "an idle connection takes {each} bytes, not {IDLE:?}");
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}
