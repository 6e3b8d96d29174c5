//! Httpbin: every kind of answer once.

use super::{Server, get, get_with, send, start};
use http::{Method, StatusCode};
use samples::httpbin::Httpbin;
use samples::net::Dialing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn httpbin() -> Server {
    start(Httpbin { pod: "httpbin-0".to_owned() }).await
}

#[tokio::test]
async fn it_says_what_it_was_asked() {
    let bin = httpbin().await;
    let sent = [
        ("x-forwarded-client-cert", "By=a"),
        ("x-many", "1"),
        ("x-many", "2"),
        ("x-forwarded-for", "10.1.1.1, 10.2"),
    ];
    let got = get_with(bin.at, "/get?a=1&a=2&b=%20", &sent).await;
    let said = got.json();
    assert_eq!(said["args"], serde_json::json!({"a": ["1", "2"], "b": [" "]}));
    assert_eq!(said["headers"]["X-Forwarded-Client-Cert"][0], "By=a");
    assert_eq!(said["headers"]["X-Many"], serde_json::json!(["1", "2"]));
    assert_eq!(said["headers"]["Host"][0], bin.at.to_string());
    assert_eq!((&said["method"], &said["origin"]), (&"GET".into(), &"10.1.1.1".into()));
    assert_eq!(said["url"], format!("http://{}/get?a=1&a=2&b=%20", bin.at));
    assert_eq!(get(bin.at, "/ip").await.json()["origin"], "127.0.0.1");
    let agent = get_with(bin.at, "/user-agent", &[("user-agent", "me")]).await;
    assert_eq!(agent.json()["user-agent"], "me");
    assert_eq!(get(bin.at, "/headers").await.json()["headers"]["Host"][0], bin.at.to_string());
    assert_eq!(get(bin.at, "/hostname").await.json()["hostname"], "httpbin-0");
    assert_eq!(get(bin.at, "/nowhere").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_says_what_it_was_sent() {
    let bin = httpbin().await;
    let ask = |method: Method, path: &str, kind: &'static str, body: &'static str| {
        let url = format!("http://{}{path}", bin.at);
        async move { send(&Dialing::default(), method, &url, &[("content-type", kind)], body).await }
    };
    let form = ask(Method::POST, "/post", "application/x-www-form-urlencoded", "a=1&b=x+y").await.json();
    assert_eq!(form["form"], serde_json::json!({"a": ["1"], "b": ["x y"]}));
    let json = ask(Method::PUT, "/put", "application/json", r#"{"k":[1]}"#).await.json();
    assert_eq!((&json["json"]["k"][0], &json["data"]), (&1.into(), &r#"{"k":[1]}"#.into()));
    assert_eq!(
        ask(Method::DELETE, "/anything/deep/path", "text/plain", "t").await.json()["method"],
        "DELETE"
    );
    assert_eq!(ask(Method::GET, "/post", "text/plain", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn it_answers_to_order() {
    let bin = httpbin().await;
    for (path, status) in [
        ("/status/200", 200),
        ("/status/503", 503),
        ("/status/418", 418),
        ("/status/x", 400),
        ("/delay/0", 200),
        ("/delay/5ms", 200),
        ("/html", 200),
        ("/json", 200),
        ("/xml", 200),
        ("/robots.txt", 200),
        ("/uuid", 200),
        ("/redirect/2", 302),
        ("/redirect/0", 400),
        ("/redirect-to?url=/get&status_code=307", 307),
        ("/cache", 200),
        ("/basic-auth/u/p", 401),
        ("/bearer", 401),
        ("/ws-echo", 426),
        ("/", 200),
        ("/delay/soon", 400),
        ("/unstable?failure_rate=1", 500),
        ("/unstable?failure_rate=0", 200),
        ("/bytes/99999999999", 400),
        ("/health", 200),
        ("/dump/request", 200),
        ("/base64/aGVsbG8=", 200),
    ] {
        assert_eq!(get(bin.at, path).await.status.as_u16(), status, "{path}");
    }
    let headers = get(bin.at, "/response-headers?x-one=1&x-two=2").await;
    assert_eq!((headers.header("x-one"), headers.json()["x-two"][0].as_str()), ("1", Some("2")));
    assert_eq!(get(bin.at, "/redirect/2").await.header("location"), "/redirect/1");
    assert_eq!(get(bin.at, "/redirect/1").await.header("location"), "/get");
    assert_eq!(get(bin.at, "/cookies/set?k=v").await.header("set-cookie"), "k=v; HttpOnly");
    assert_eq!(get_with(bin.at, "/cookies", &[("cookie", "k=v; l=w")]).await.json()["cookies"]["l"], "w");
    assert_eq!(get_with(bin.at, "/cache", &[("if-none-match", "x")]).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(get(bin.at, "/cache/60").await.header("cache-control"), "public, max-age=60");
    assert_eq!(
        get_with(bin.at, "/etag/t", &[("if-none-match", "\"t\"")]).await.status,
        StatusCode::NOT_MODIFIED
    );
    let auth = get_with(bin.at, "/basic-auth/u/p", &[("authorization", "Basic dTpw")]).await;
    assert_eq!(auth.status, StatusCode::OK);
    assert_eq!(get(bin.at, "/bytes/1000").await.header("content-length"), "1000");
    assert_eq!(get(bin.at, "/base64/aGVsbG8=").await.body, "hello");
}

#[tokio::test]
async fn it_answers_in_pieces() {
    let bin = httpbin().await;
    assert_eq!(get(bin.at, "/stream/3").await.body.lines().count(), 3);
    assert_eq!(get(bin.at, "/drip?numbytes=5&duration=10ms").await.body, "*****");
    assert_eq!(get(bin.at, "/drip?numbytes=0").await.status, StatusCode::BAD_REQUEST);
    let h2 = Dialing { http2: true, ..Dialing::default() };
    let got = send(&h2, Method::GET, &format!("http://{}/trailers?x-end=1", bin.at), &[], "").await;
    assert_eq!(got.trailers["x-end"], "1");
    assert_eq!(got.header("trailer"), "x-end");
}

#[tokio::test]
async fn it_speaks_http2_on_the_same_port() {
    let bin = httpbin().await;
    let h2 = Dialing { http2: true, ..Dialing::default() };
    let got =
        send(&h2, Method::GET, &format!("http://{}/headers", bin.at), &[("host", "other.example")], "").await;
    assert_eq!(got.json()["headers"]["Host"][0], "other.example");
}

#[tokio::test]
async fn an_upgrade_echoes_bytes() {
    let bin = httpbin().await;
    let mut stream = TcpStream::connect(bin.at).await.unwrap();
    let ask = b"GET /ws-echo HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket"), "{head}");
    stream.write_all(b"any bytes").await.unwrap();
    let mut back = [0; 9];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"any bytes");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut back).await.unwrap(), 0);
}
