//! Helloworld, tcp-echo, tls-echo, the collector of spans.

use super::{get, send, start};
use http::{Method, StatusCode};
use samples::helloworld::Hello;
use samples::net::{CallError, Dialing, client_config, self_signed, serve_tls, server_config};
use samples::spans::Spans;
use samples::tcp_echo;
use samples::tls_echo::TlsEcho;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn helloworld_says_version_and_pod() {
    let hello = start(Hello { version: "v1".into(), instance: "helloworld-v1-abc".into() }).await;
    assert_eq!(get(hello.at, "/hello").await.body, "Hello version: v1, instance: helloworld-v1-abc\n");
    assert_eq!(get(hello.at, "/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn tcp_echo_puts_its_word_before_every_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(tcp_echo::serve(listener, "one".into()));
    stream.write_all(b"first\nsecond\nrest").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "one first\none second\none rest");
}

#[tokio::test]
async fn tls_echo_says_what_the_handshake_said() {
    let identity = self_signed(&["shop.example".to_owned()]).unwrap();
    let mut pem = tempfile("tls-echo-ca.pem");
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &identity.0[0]);
    writeln!(pem.1, "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let config = server_config(identity, None).unwrap();
    tokio::spawn(serve_tls(listener, TlsEcho { instance: "t".into() }, config, std::future::pending()));

    let url = format!("https://shop.example:{}/x", at.port());
    let pins = vec![format!("shop.example:{}:127.0.0.1", at.port()).parse().unwrap()];
    for (http2, alpn) in [(true, "h2"), (false, "http/1.1")] {
        let tls = Some(client_config(Some(&pem.0), false, None, http2).unwrap());
        let dialing = Dialing { tls, pins: pins.clone(), http2, ..Dialing::default() };
        let said = send(&dialing, Method::GET, &url, &[], "").await.json();
        assert_eq!((said["sni"].as_str(), said["alpn"].as_str()), (Some("shop.example"), Some(alpn)));
        assert_eq!(said["version"], "TLSv1_3");
    }

    let other = format!("https://other.example:{}/", at.port());
    let pins = vec![format!("other.example:{}:127.0.0.1", at.port()).parse().unwrap()];
    let strict = Dialing {
        tls: Some(client_config(Some(&pem.0), false, None, false).unwrap()),
        pins: pins.clone(),
        ..Dialing::default()
    };
    let refused = strict.connect(&other.parse().unwrap()).await.err().unwrap();
    assert!(matches!(refused, CallError::Certificate(_)) && refused.exit_code() == 60, "{refused}");
    let tls = Some(client_config(None, true, None, false).unwrap());
    let careless = Dialing { tls, pins, ..Dialing::default() };
    assert_eq!(send(&careless, Method::GET, &other, &[], "").await.status, StatusCode::OK);
}

fn tempfile(name: &str) -> (std::path::PathBuf, std::fs::File) {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    (path, file)
}

#[tokio::test]
async fn spans_come_back_by_trace() {
    let zipkin = start(Spans::default()).await;
    let post = async |body: &str| {
        send(&Dialing::default(), Method::POST, &format!("http://{}/api/v2/spans", zipkin.at), &[], body)
            .await
            .status
    };
    let span = |trace: &str, id: &str, time: u64| {
        format!(
            r#"{{"traceId":"{trace}","id":"{id}","timestamp":{time},"localEndpoint":{{"serviceName":"s{id}"}}}}"#
        )
    };
    assert_eq!(post(&format!("[{},{}]", span("a", "1", 10), span("b", "2", 20))).await, StatusCode::ACCEPTED);
    assert_eq!(post(&format!("[{}]", span("a", "3", 30))).await, StatusCode::ACCEPTED);
    assert_eq!(post("{}").await, StatusCode::BAD_REQUEST);
    let traces = get(zipkin.at, "/api/v2/traces").await.json();
    assert_eq!((&traces[0][0]["id"], traces[1].as_array().unwrap().len()), (&"2".into(), 2));
    assert_eq!(get(zipkin.at, "/api/v2/trace/a").await.json()[1]["id"], "3");
    assert_eq!(get(zipkin.at, "/api/v2/services").await.json(), serde_json::json!(["s1", "s2", "s3"]));
    assert_eq!(get(zipkin.at, "/api/v2/trace/none").await.status, StatusCode::NOT_FOUND);
}
