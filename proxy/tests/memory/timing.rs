//! Timeouts, with a clock that stands still until everything waits.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use proxy::config::*;
use proxy::fail::Failure;
use proxy::h1::Length;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_route_has_a_timeout() {
    run(async {
        let mesh = mesh(Setup { forward: Forward { timeout: seconds(3), ..forward() }, ..Setup::default() });
        mesh.net.listen(
            addr(1),
            origin(|request| async move {
                let wanted = if request.path == "/less" { "500" } else { "3000" };
                assert_eq!(request.headers["x-envoy-expected-rq-timeout-ms"], wanted);
                Answer::Hang
            }),
        );
        let mut client = mesh.connect();
        let begun = Instant::now();
        let got = client.get("/").await;
        assert_eq!((got.status, got.body.as_str()), (504, "upstream request timeout"));
        assert_eq!(begun.elapsed().as_secs(), 3);
        assert_eq!(mesh.last().failures, [Failure::UpstreamTimeout]);
        // The client may ask for less.
        let begun = Instant::now();
        let got = client.send(Method::GET, "/less", &[("x-envoy-upstream-rq-timeout-ms", "500")], "").await;
        assert_eq!((got.status, begun.elapsed().as_millis()), (504, 500));
    });
}

#[test]
fn each_try_has_a_timeout() {
    run(async {
        let mut policy = (*retry(RetryOn::FIVE_XX, 1).unwrap()).clone();
        policy.per_try_timeout = seconds(2);
        let retry = Some(Arc::new(policy));
        let mesh = mesh(Setup { forward: Forward { retry, ..forward() }, ..Setup::default() });
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        mesh.net.listen(
            addr(1),
            origin(move |_| {
                count.set(count.get() + 1);
                let first = count.get() == 1;
                async move { if first { Answer::Hang } else { say(200, "second") } }
            }),
        );
        let begun = Instant::now();
        assert_eq!(mesh.connect().get("/").await.body, "second");
        assert!((2..3).contains(&begun.elapsed().as_secs()));
        assert_eq!(mesh.last().attempts, 2);
    });
}

#[test]
fn a_timeout_during_the_body_breaks_the_response() {
    run(async {
        let mesh = mesh(Setup { forward: Forward { timeout: seconds(3), ..forward() }, ..Setup::default() });
        mesh.net.listen(addr(1), |mut io| async move {
            assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut io = mesh.connect_raw();
        io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\nhalf"), "{text}");
        assert_eq!(mesh.last().failures, [Failure::UpstreamTimeout]);
    });
}

#[test]
fn an_upstream_that_breaks_off_breaks_the_response() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
            io.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
                .await
                .unwrap();
        });
        let mut io = mesh.connect_raw();
        io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert!(!text.contains("0\r\n\r\n"), "a broken body must not look whole: {text}");
        assert_eq!(mesh.last().failures, [Failure::UpstreamCut]);
    });
}

#[test]
fn silence_ends_a_stream() {
    run(async {
        let mut http = chain();
        http.stream_idle_timeout = seconds(5);
        let mesh = mesh(Setup { http, ..Setup::default() });
        mesh.net.listen(addr(1), origin(|_| async { Answer::Hang }));
        let begun = Instant::now();
        let got = mesh.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (504, "stream timeout"));
        assert_eq!(begun.elapsed().as_secs(), 5);
        // A request whose body does not come is the client's silence.
        let mut client = mesh.connect();
        client.start(&Method::POST, "/", &[], Length::Fixed(10));
        client.flush().await;
        let got = client.receive(&Method::POST).await;
        assert_eq!(got.status, 408);
        assert_eq!(mesh.last().failures, [Failure::IdleTimeout]);
    });
}

#[test]
fn idle_clients_and_slow_heads_are_let_go() {
    run(async {
        let mut http = chain();
        http.idle_timeout = seconds(20);
        http.request_headers_timeout = seconds(5);
        let mesh = mesh(Setup { http, ..Setup::default() });
        let begun = Instant::now();
        mesh.connect().closed().await;
        assert_eq!(begun.elapsed().as_secs(), 20);
        let mut io = mesh.connect_raw();
        let begun = Instant::now();
        io.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 5);
    });
}

#[test]
fn connecting_has_a_timeout() {
    run(async {
        let settings = ClusterSettings { connect_timeout: seconds(4), ..Default::default() };
        let mesh = mesh(Setup { settings, ..Setup::default() });
        mesh.net.latency.set(seconds(60));
        let begun = Instant::now();
        let got = mesh.connect().get("/").await;
        assert_eq!((got.status, begun.elapsed().as_secs()), (503, 4));
        assert!(got.body.ends_with("reset reason: connection timeout"), "{}", got.body);
        assert_eq!(mesh.last().failures, [Failure::ConnectTimeout]);
    });
}

#[test]
fn back_pressure_goes_through() {
    run(async {
        let mesh = mesh(Setup::default());
        let written = Rc::new(Cell::new(0));
        let count = written.clone();
        mesh.net.listen(addr(1), move |mut io| {
            let count = count.clone();
            async move {
                assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
                io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                while io.write_all(&[b'x'; 4096]).await.is_ok() {
                    count.set(count.get() + 4096);
                }
            }
        });
        let mut io = mesh.connect_raw();
        io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        tokio::time::sleep(seconds(1)).await;
        let held = written.get();
        assert!(held < 8 * PIPE, "an unread response does not pile up: {held}");
        let mut buf = vec![0; 1 << 20];
        let mut read = 0;
        while read < 10 * PIPE {
            read += io.read(&mut buf).await.unwrap();
        }
        assert!(written.get() > held);
    });
}
