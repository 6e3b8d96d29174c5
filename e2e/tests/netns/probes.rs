//! Kubelets' probes and Prometheus' scrapes of an application that takes mutual TLS only: through the proxy's port.

use std::net::SocketAddr;
use std::sync::Arc;

use e2e::netns::{Ip, Place, at};
use tokio::net::TcpListener;

use crate::sidecar::{APP, Mode, Pod};

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
                      metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n";

/// Runs a server of the pod for as long as the test program lives.
fn serve<F: Future<Output = ()> + Send + 'static>(
    pod: &Pod,
    port: u16,
    server: impl FnOnce(TcpListener) -> F + Send + 'static,
) {
    // Not on loopback: kubelets ask the pod's address.
    let address = SocketAddr::new(at(Ip::V4, Place::Pod), port);
    pod.hosts.pod.as_user(APP, move || {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { server(TcpListener::from_std(listener).unwrap()).await });
        });
    });
}

/// Says SERVING, with the service's name as the only thing that it looks at.
async fn health(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                tokio::spawn(async move {
                    let asked = request.into_body().data().await.unwrap().unwrap();
                    let known = asked.ends_with(b"shop") || asked.len() == 5;
                    let head = http::Response::builder().header("content-type", "application/grpc");
                    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    if known {
                        stream.send_data(bytes::Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), false).unwrap();
                    }
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", if known { 0.into() } else { 5.into() });
                    stream.send_trailers(trailers).unwrap();
                });
            }
        });
    }
}

/// HTTPS with a certificate that nobody trusts.
async fn secure(listener: TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let made = rcgen::generate_simple_self_signed(vec!["nobody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut head = [0; 2048];
        let length = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let status = if head.contains("x-probe: yes") { 202 } else { 500 };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.ok();
    }
}

/// Redirects: `/same` to itself, `/loop` for ever, `/away` to somebody else.
async fn redirects(listener: TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 2048];
        let length = stream.read(&mut head).await.unwrap();
        let path = String::from_utf8_lossy(&head[..length]).split(' ').nth(1).unwrap_or_default().to_owned();
        let to = match path.as_str() {
            "/same" => "location: /well\r\n",
            "/loop" => "location: /loop\r\n",
            "/away" => "location: http://example.com/\r\n",
            _ => "",
        };
        let status = if to.is_empty() { 200 } else { 302 };
        let answer = format!("HTTP/1.1 {status} X\r\n{to}content-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn probes_pass_where_plain_calls_do_not() {
    let probes = r#"{
        "/app-health/a/readyz": {"httpGet": {"path": "/status/204?a=b", "port": 8080}},
        "/app-health/a/livez": {"httpGet": {"path": "status/503", "port": 8080}, "timeoutSeconds": 2},
        "/app-health/a/startupz": {"httpGet": {"path": "/slow/2500", "port": 8080}, "timeoutSeconds": 1},
        "/app-lifecycle/a/prestopz": {"httpGet": {"path": "/", "port": 8080}},
        "/app-health/tcp/livez": {"tcpSocket": {"port": 8080}},
        "/app-health/tcp/readyz": {"tcpSocket": {"port": 9}},
        "/app-health/grpc/livez": {"grpc": {"port": 9000, "service": "shop"}},
        "/app-health/grpc/readyz": {"grpc": {"port": 9000}},
        "/app-health/grpc/startupz": {"grpc": {"port": 9000, "service": "nobody"}},
        "/app-health/tls/livez": {"httpGet": {"port": 9443, "scheme": "HTTPS",
            "httpHeaders": [{"name": "x-probe", "value": "yes"}, {"name": "Host", "value": "a.example"}]}},
        "/app-health/to/livez": {"httpGet": {"port": 9001, "path": "/same"}},
        "/app-health/to/readyz": {"httpGet": {"port": 9001, "path": "/away"}},
        "/app-health/to/startupz": {"httpGet": {"port": 9001, "path": "/loop"}}
    }"#;
    let metrics = r#"{"scrape": "true", "path": "/metrics", "port": "8080"}"#;
    let env = [("ISTIO_KUBE_APP_PROBERS", probes), ("ISTIO_PROMETHEUS_ANNOTATIONS", metrics)];
    let pod = Pod::start(Mode::Redirect, STRICT, &env);
    serve(&pod, 9000, health);
    serve(&pod, 9443, secure);
    serve(&pod, 9001, redirects);
    let plain = SocketAddr::new(at(Ip::V4, Place::Pod), 8080);
    let refused = pod.hosts.world.get_as(APP, plain, "/", "web");
    assert!(refused.is_err(), "mutual TLS is strict: {refused:?}");
    for (path, status) in [
        ("a/readyz", 204),
        ("a/livez", 503),
        ("a/startupz", 500),
        ("tcp/livez", 200),
        ("tcp/readyz", 500),
        ("grpc/livez", 200),
        ("grpc/readyz", 200),
        ("grpc/startupz", 500),
        ("tls/livez", 202),
        ("to/livez", 200),
        ("to/readyz", 200),
        ("to/startupz", 500),
        ("b/livez", 400),
    ] {
        let reply = pod.page(15020, &format!("/app-health/{path}"));
        assert_eq!(reply.status, status, "{path}: {reply}");
    }
    // The application sees where the proxy delivers from, and the pod's own address, as for a kubelet.
    assert_eq!(pod.page(15020, "/app-lifecycle/a/prestopz").body, "app 127.0.0.6");
    let page = pod.page(15020, "/stats/prometheus").body;
    for part in ["istio_agent_cert_expiry_seconds", "istio_agent_scrapes_total", "envoy_", "\napp 127.0.0.1"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!pod.page(15090, "/stats/prometheus").body.contains("app 127.0.0.1"));
}
