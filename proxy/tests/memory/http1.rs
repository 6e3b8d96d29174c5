//! HTTP/1.1 on both sides.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use proxy::config::*;
use proxy::fail::Failure;
use proxy::filter::{Fault, Filter, PeerMetadata};
use proxy::h1::Length;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[test]
fn requests_are_forwarded_and_the_connection_is_reused() {
    run(async {
        let mesh = mesh(Setup::default());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        mesh.net.listen(
            addr(1),
            origin(move |request| {
                log.borrow_mut().push(request);
                async { say(200, "hello") }
            }),
        );
        let mut client = mesh.connect();
        for _ in 0..3 {
            let got =
                client.send(Method::POST, "/a/../b?c=d", &[("x-a", "1"), ("keep-alive", "x")], "body").await;
            assert_eq!((got.status, got.body.as_str()), (200, "hello"));
            assert_eq!(got.headers["server"], "istio-envoy");
            assert_eq!(got.headers["x-envoy-upstream-service-time"], "0");
            assert!(got.headers.contains_key("date"));
        }
        assert_eq!(mesh.net.dials(), 1);
        let seen = seen.borrow();
        let first = &seen[0];
        assert_eq!(
            (first.method.as_str(), first.path.as_str(), first.host.as_str()),
            ("POST", "/b?c=d", "svc")
        );
        assert_eq!(first.body, "body");
        assert_eq!(first.headers["x-a"], "1");
        assert_eq!(first.headers["x-forwarded-proto"], "http");
        assert_eq!(first.headers["x-request-id"].len(), 36);
        assert!(!first.headers.contains_key("keep-alive"));
        let told = mesh.last();
        assert_eq!((told.status, told.bytes, told.details.as_str()), (200, (4, 5), "via_upstream"));
        assert!(told.failures.is_empty());
    });
}

#[test]
fn failures_have_their_words() {
    run(async {
        // Nobody listens.
        let one = mesh(Setup::default());
        let got = one.connect().get("/").await;
        assert_eq!(got.status, 503);
        assert_eq!(
            got.body,
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        );
        assert_eq!(one.last().failures, [Failure::ConnectFailure]);
        assert!(one.last().details.ends_with("|delayed_connect_error:_Connection_refused}"));
        // No endpoint.
        let none = mesh(Setup { endpoints: vec![], ..Setup::default() });
        let got = none.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (503, "no healthy upstream"));
        assert_eq!(none.last().failures, [Failure::NoHealthyUpstream]);
        // No cluster.
        let target = Target::Cluster(ClusterSlot(2));
        let missing = mesh(Setup { forward: Forward { target, ..forward() }, ..Setup::default() });
        let got = missing.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (503, ""));
        assert_eq!(missing.last().failures, [Failure::NoCluster]);
        // No route.
        let rule = |rule: &mut Rule| rule.path = PathMatch::Exact { text: "/x".into(), ignore_case: false };
        let lost = mesh(Setup { rule, ..Setup::default() });
        let got = lost.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (404, ""));
        assert_eq!(lost.last().details, "route_not_found");
        // An origin that hangs up.
        let rude = mesh(Setup::default());
        rude.net.listen(addr(1), origin(|_| async { Answer::Close }));
        let got = rude.connect().get("/").await;
        assert_eq!(got.status, 503);
        assert!(got.body.ends_with("reset reason: connection termination"), "{}", got.body);
        assert_eq!(rude.last().failures, [Failure::UpstreamReset]);
        // An origin that speaks nonsense.
        let odd = mesh(Setup::default());
        odd.net.listen(addr(1), |mut io| async move { io.write_all(b"220 smtp ready\r\n").await.unwrap() });
        assert_eq!(odd.connect().get("/").await.status, 502);
        assert_eq!(odd.last().failures, [Failure::UpstreamProtocol]);
    });
}

#[test]
fn grpc_failures_are_answered_in_grpc() {
    run(async {
        let mesh = mesh(Setup { endpoints: vec![], ..Setup::default() });
        let kind = [("content-type", "application/grpc")];
        let got = mesh.connect().send(Method::POST, "/s/m", &kind, "").await;
        assert_eq!(got.status, 200);
        assert_eq!(got.headers["grpc-status"], "14");
        assert_eq!(got.headers["grpc-message"], "no healthy upstream");
        assert_eq!(mesh.last().grpc_status, Some(14));
    });
}

#[test]
fn hostile_bytes_are_refused_and_the_connection_ends() {
    run(async {
        let mesh = mesh(Setup::default());
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "426"),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "400"),
            ("GET /%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "400"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: tls\r\nConnection: upgrade, close\r\n\r\n", "403"),
            ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        ] {
            let mut io = mesh.connect_raw();
            io.write_all(text.as_bytes()).await.unwrap();
            let mut answer = String::new();
            io.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
        assert_eq!(mesh.net.dials(), 0);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(
            addr(1),
            origin(|request| async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                say(200, &request.path)
            }),
        );
        let mut io = mesh.connect_raw();
        io.write_all(
            b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await
        .unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        let bodies: Vec<&str> = answer.split("\r\n\r\n").skip(1).collect();
        assert!(bodies[0].starts_with("/1HTTP/1.1 200"), "{answer}");
        assert_eq!(bodies[1], "/2");
    });
}

#[test]
fn chunked_bodies_and_trailers_go_through() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            let mut text = String::new();
            while !text.ends_with("0\r\n\r\n") {
                let mut buf = [0; 1024];
                let n = io.read(&mut buf).await.unwrap();
                text += std::str::from_utf8(&buf[..n]).unwrap();
            }
            assert!(text.contains("transfer-encoding: chunked\r\n"), "{text}");
            assert!(text.contains("\r\n5\r\nhello\r\n"), "{text}");
            let answer =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
            io.write_all(answer.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let mut client = mesh.connect();
        client.start(&Method::POST, "/", &[], Length::Chunked);
        let mut chunk = bytes::Bytes::from_static(b"hello");
        std::future::poll_fn(|cx| client.0.poll_data(cx, &mut chunk)).await.unwrap();
        client.flush().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::future::poll_fn(|cx| client.0.poll_finish(cx, None)).await.unwrap();
        client.flush().await;
        let got = client.receive(&Method::POST).await;
        assert_eq!(got.body, "abc");
        assert_eq!(got.trailers.unwrap()["x-sum"], "7");
    });
}

#[test]
fn bodies_up_to_the_end_of_the_connection() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
            io.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.unwrap();
        });
        let mut client = mesh.connect();
        let got = client.get("/").await;
        assert_eq!(got.body, "all of it");
        assert_eq!(got.headers["transfer-encoding"], "chunked");
        assert_eq!(client.get("/").await.status, 200, "our side stays open");
        assert_eq!(mesh.net.dials(), 2);
    });
}

#[test]
fn heads_without_bodies() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            for answer in
                ["200 OK\r\ncontent-length: 5", "304 Not Modified\r\ncontent-length: 5", "204 No Content"]
            {
                assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
                io.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let mut client = mesh.connect();
        let got = client.send(Method::HEAD, "/", &[], "").await;
        assert_eq!((got.status, got.headers["content-length"].to_str().unwrap()), (200, "5"));
        assert_eq!(client.get("/").await.status, 304);
        assert_eq!(client.get("/").await.status, 204);
        assert_eq!(mesh.net.dials(), 1);
    });
}

#[test]
fn expect_continue_is_answered_by_the_origin() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            let mut buf = vec![0; 4096];
            let n = io.read(&mut buf).await.unwrap();
            let head = String::from_utf8_lossy(&buf[..n]).into_owned();
            assert!(head.contains("expect: 100-continue\r\n") && head.ends_with("\r\n\r\n"), "{head}");
            io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            let n = io.read(&mut buf).await.unwrap();
            assert_eq!(&buf[..n], b"ok");
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        });
        let mut io = mesh.connect_raw();
        io.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            .await
            .unwrap();
        let mut interim = [0; 25];
        io.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        io.write_all(b"ok").await.unwrap();
        let mut buf = vec![0; 4096];
        let n = io.read(&mut buf).await.unwrap();
        assert!(buf[..n].ends_with(b"\r\n\r\nok"));
    });
}

#[test]
fn upgrades_become_tunnels() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(addr(1), |mut io| async move {
            let mut buf = vec![0; 4096];
            let n = io.read(&mut buf).await.unwrap();
            let head = String::from_utf8_lossy(&buf[..n]).into_owned();
            assert!(
                head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
                "{head}"
            );
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly";
            io.write_all(answer.as_bytes()).await.unwrap();
            loop {
                let n = io.read(&mut buf).await.unwrap();
                if n == 0 {
                    io.write_all(b"bye").await.unwrap();
                    return;
                }
                io.write_all(&buf[..n]).await.unwrap();
            }
        });
        let mut io = mesh.connect_raw();
        io.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .await
            .unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"early") {
            io.read_buf(&mut text).await.unwrap();
        }
        let head = String::from_utf8_lossy(&text).into_owned();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket\r\n"), "{head}");
        for piece in ["one", "two"] {
            io.write_all(piece.as_bytes()).await.unwrap();
            let mut echo = [0; 3];
            io.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, piece.as_bytes());
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        io.shutdown().await.unwrap();
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "bye");
        tokio::task::yield_now().await;
        assert_eq!((mesh.last().status, mesh.last().bytes), (101, (6, 14)));
    });
}

#[test]
fn direct_answers_redirects_and_rewrites() {
    run(async {
        let body = bytes::Bytes::from_static(b"hi");
        let direct = mesh(Setup {
            action: Some(Action::Respond { status: StatusCode::IM_A_TEAPOT, body }),
            ..Setup::default()
        });
        let got = direct.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (418, "hi"));
        assert_eq!(got.headers["content-type"], "text/plain");
        assert_eq!(direct.last().details, "direct_response");
        let rewrite = Rewrite {
            path: PathRewrite::Prefix("/new/".into()),
            host: HostRewrite::Literal("other".into()),
            append_forwarded_host: true,
        };
        let moved = mesh(Setup { forward: Forward { rewrite, ..forward() }, ..Setup::default() });
        moved.net.listen(
            addr(1),
            origin(|request| async move {
                assert_eq!(request.headers["x-envoy-original-path"], "/a");
                assert_eq!(request.headers["x-forwarded-host"], "svc");
                say(200, &format!("{} {}", request.host, request.path))
            }),
        );
        assert_eq!(moved.connect().get("/a").await.body, "other /new/a");
    });
}

#[test]
fn faults_delay_and_abort() {
    run(async {
        let rule = |rule: &mut Rule| {
            rule.fault = Some(Arc::new(Fault {
                delay: Some((Duration::from_secs(7), 1_000_000)),
                abort_status: Some((StatusCode::BAD_GATEWAY, 1_000_000)),
                abort_grpc: None,
                headers: Vec::new(),
                upstream_cluster: None,
            }));
        };
        let mesh = mesh(Setup { rule, ..Setup::default() });
        let begun = tokio::time::Instant::now();
        let got = mesh.connect().get("/").await;
        assert_eq!((got.status, got.body.as_str()), (502, "fault filter abort"));
        assert_eq!(begun.elapsed().as_secs(), 7);
        assert_eq!(mesh.last().failures, [Failure::FaultDelay, Failure::FaultAbort]);
        assert_eq!(mesh.net.dials(), 0);
    });
}

#[test]
fn mirrors_get_a_copy() {
    run(async {
        let mirror = Mirror { cluster: ClusterSlot(1), fraction: 1_000_000, shadow_suffix: true };
        let mesh = mesh(Setup {
            forward: Forward { mirrors: vec![mirror], ..forward() },
            shadow: vec![addr(9)],
            ..Setup::default()
        });
        let copies = Rc::new(RefCell::new(Vec::new()));
        let log = copies.clone();
        mesh.net.listen(addr(1), origin(|request| async move { say(200, &request.body) }));
        mesh.net.listen(
            addr(9),
            origin(move |request| {
                log.borrow_mut().push((request.host, request.path, request.body));
                async { say(500, "nobody reads this") }
            }),
        );
        let mut client = mesh.connect();
        assert_eq!(client.send(Method::POST, "/m", &[], "payload").await.body, "payload");
        assert_eq!(client.get("/g").await.status, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let wanted = [("svc-shadow", "/m", "payload"), ("svc-shadow", "/g", "")];
        let wanted = wanted.map(|(host, path, body)| (host.to_owned(), path.to_owned(), body.to_owned()));
        assert_eq!(*copies.borrow(), wanted);
    });
}

#[test]
fn peer_metadata_is_exchanged_and_stripped() {
    run(async {
        let all = PeerMetadata {
            downstream_discovery: true,
            upstream_discovery: true,
            downstream_propagation: true,
            upstream_propagation: false,
        };
        let mut http = chain();
        http.filters.insert(0, Filter::PeerMetadata(Arc::new(all)));
        let mesh = mesh(Setup { http, ..Setup::default() });
        mesh.net.listen(
            addr(1),
            origin(|request| async move {
                assert!(!request.headers.contains_key("x-envoy-peer-metadata"));
                say(200, "")
            }),
        );
        let mut client = mesh.connect();
        let sent = [("x-envoy-peer-metadata-id", "a"), ("x-envoy-peer-metadata", "b")];
        let got = client.send(Method::GET, "/", &sent, "").await;
        assert!(got.headers.contains_key("x-envoy-peer-metadata-id"));
        let got = client.get("/").await;
        assert!(!got.headers.contains_key("x-envoy-peer-metadata-id"), "only who asks is told");
    });
}

#[test]
fn header_operations_of_the_route() {
    run(async {
        let rule = |rule: &mut Rule| {
            let op = |name, value| HeaderOp {
                name: http::HeaderName::from_static(name),
                value: HeaderText::Literal(HeaderValue::from_static(value)),
                how: AppendAction::OverwriteOrAdd,
            };
            rule.header_ops.request_set = vec![op("x-to", "up")];
            rule.header_ops.response_set = vec![op("x-from", "down")];
        };
        let host = VirtualHost { domains: vec!["*".into()], attempt_count: true, ..Default::default() };
        let mesh = mesh(Setup { rule, host, ..Setup::default() });
        mesh.net.listen(
            addr(1),
            origin(|request| async move {
                assert_eq!(request.headers["x-to"], "up");
                assert_eq!(request.headers["x-envoy-attempt-count"], "1");
                say(200, "")
            }),
        );
        assert_eq!(mesh.connect().get("/").await.headers["x-from"], "down");
    });
}

#[test]
fn a_client_that_leaves_is_noticed() {
    run(async {
        let mesh = mesh(Setup::default());
        let ended = Rc::new(Cell::new(false));
        let flag = ended.clone();
        mesh.net.listen(addr(1), move |mut io| {
            let flag = flag.clone();
            async move {
                assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
                assert_eq!(io.read(&mut [0; 1024]).await.unwrap_or(0), 0);
                flag.set(true);
            }
        });
        let mut client = mesh.connect();
        client.start(&Method::GET, "/", &[], Length::None);
        client.flush().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(client);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(ended.get());
        assert_eq!(mesh.last().failures, [Failure::DownstreamReset]);
    });
}
