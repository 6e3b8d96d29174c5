//! HTTP/2 on either side.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use proxy::config::*;
use proxy::fail::Failure;
use tokio::io::DuplexStream;

use crate::support::*;

/// An HTTP/2 origin that answers with the request's path and body, and trailers.
fn origin2() -> impl Fn(DuplexStream) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    |io| {
        Box::pin(async move {
            let mut connection = h2::server::handshake(io).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                tokio::task::spawn_local(async move {
                    let (head, mut body) = request.into_parts();
                    let mut text = format!("{} {} ", head.method, head.uri).into_bytes();
                    while let Some(Ok(data)) = body.data().await {
                        body.flow_control().release_capacity(data.len()).unwrap();
                        text.extend_from_slice(&data);
                    }
                    if head.uri.path() == "/slow" {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    let mut send = respond.send_response(Response::new(()), false).unwrap();
                    send.send_data(text.into(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    send.send_trailers(trailers).unwrap();
                });
            }
        })
    }
}

fn to_http2() -> Setup {
    let settings = ClusterSettings { http: UpstreamHttp::Http2, ..Default::default() };
    Setup { settings, ..Setup::default() }
}

async fn client2(mesh: &Mesh) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(mesh.connect_raw()).await.unwrap();
    tokio::task::spawn_local(async move { connection.await.ok() });
    send
}

async fn call(
    send: &h2::client::SendRequest<Bytes>,
    path: &str,
    kind: &str,
    body: &[u8],
) -> (StatusCode, HeaderMap, String, Option<HeaderMap>) {
    let mut send = send.clone().ready().await.unwrap();
    let request =
        Request::builder().method(Method::POST).uri(format!("http://svc{path}")).header("content-type", kind);
    let (response, mut stream) = send.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body), true).unwrap();
    }
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.unwrap();
    (head.status, head.headers, String::from_utf8(text).unwrap(), trailers)
}

#[test]
fn http1_to_http2() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), origin2());
        let mut client = mesh.connect();
        let got = client.send(Method::PUT, "/p?q", &[], "abc").await;
        assert_eq!(got.body, "PUT http://svc/p?q abc");
        assert_eq!(got.headers["transfer-encoding"], "chunked");
        assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
        assert_eq!(client.get("/x").await.body, "GET http://svc/x ");
        assert_eq!(mesh.net.dials(), 1);
    });
}

#[test]
fn http2_to_http1() {
    run(async {
        let mesh = mesh(Setup::default());
        mesh.net.listen(
            addr(1),
            origin(|request| async move {
                assert_eq!(request.host, "svc");
                say(201, &format!("{}:{}", request.path, request.body))
            }),
        );
        let send = client2(&mesh).await;
        let (status, headers, body, _) = call(&send, "/p", "text/plain", b"data").await;
        assert_eq!((status.as_u16(), body.as_str()), (201, "/p:data"));
        assert_eq!(headers["content-length"], "7");
        let (_, _, body, _) = call(&send, "/e", "text/plain", b"").await;
        assert_eq!(body, "/e:");
        assert_eq!(mesh.last().bytes, (0, 3));
    });
}

#[test]
fn grpc_is_counted_and_keeps_its_trailers() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), origin2());
        let send = client2(&mesh).await;
        let message = [&[0, 0, 0, 0, 2][..], b"hi", &[0, 0, 0, 0, 1], b"!"].concat();
        let (status, _, _, trailers) = call(&send, "/svc/method", "application/grpc", &message).await;
        assert_eq!(status, 200);
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
        let told = mesh.last();
        assert_eq!((told.messages.0, told.grpc_status), (2, Some(0)));
    });
}

#[test]
fn streams_share_one_upstream_connection() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), origin2());
        mesh.net.latency.set(Duration::from_millis(50));
        let send = Rc::new(client2(&mesh).await);
        let mut tasks = Vec::new();
        let begun = tokio::time::Instant::now();
        for _ in 0..20 {
            let send = send.clone();
            tasks.push(tokio::task::spawn_local(
                async move { call(&send, "/slow", "text/plain", b"x").await.0 },
            ));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), 200);
        }
        assert_eq!(mesh.net.dials(), 1);
        assert!(begun.elapsed() < Duration::from_secs(2), "side by side");
    });
}

#[test]
fn a_client_that_resets_ends_the_upstream_stream() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), origin2());
        let mut send = client2(&mesh).await.ready().await.unwrap();
        let request = Request::builder().uri("http://svc/slow").body(()).unwrap();
        let (response, stream) = send.send_request(request, true).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop((response, stream));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(mesh.last().failures, [Failure::DownstreamReset]);
    });
}

#[test]
fn draining_says_go_away_and_finishes() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), origin2());
        let send = client2(&mesh).await;
        let running = {
            let send = send.clone();
            tokio::task::spawn_local(async move { call(&send, "/slow", "text/plain", b"x").await.0 })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        mesh.drain.start(Duration::from_secs(60));
        assert_eq!(running.await.unwrap(), 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let refused = match send.ready().await {
            Ok(mut send) => send.send_request(Request::new(()), true).is_err(),
            Err(_) => true,
        };
        assert!(refused);
    });
}

#[test]
fn an_upstream_that_goes_away_is_replaced() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), |io| async move {
            let mut connection = h2::server::handshake(io).await.unwrap();
            if let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_response(Response::new(()), true).unwrap();
                connection.graceful_shutdown();
            }
            while let Some(Ok(_)) = connection.accept().await {}
        });
        let mut client = mesh.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/").await.status, 200);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(mesh.net.dials(), 3);
    });
}

#[test]
fn large_bodies_flow_within_small_windows() {
    run(async {
        let mesh = mesh(to_http2());
        mesh.net.listen(addr(1), origin2());
        let send = client2(&mesh).await;
        let mut ready = send.clone().ready().await.unwrap();
        let request = Request::builder().method(Method::POST).uri("http://svc/big").body(()).unwrap();
        let (response, mut stream) = ready.send_request(request, false).unwrap();
        tokio::task::spawn_local(
            async move { stream.send_data(Bytes::from(vec![b'x'; 3 << 20]), true).unwrap() },
        );
        let mut body = response.await.unwrap().into_body();
        let mut size = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            size += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(size, (3 << 20) + "POST http://svc/big ".len());
    });
}
