//! HTTP/2 from the client, and gRPC: unary, streams, trailers, deadlines, and what a failure of the proxy's own looks
//! like to a gRPC client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use e2e::client::Reply;
use e2e::origin2;
use e2e::planes::{Plane, Planes};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::calls::{compare_logs, headers, replies};
use crate::stage;

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

/// A request over HTTP/2.
#[derive(Default)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) pieces: Vec<&'static [u8]>,
    /// After each piece wait for one to come back.
    pub(crate) in_turns: bool,
    pub(crate) trailers: Vec<(&'static str, &'static str)>,
}

impl Call {
    pub(crate) fn get(target: &'static str) -> Self {
        Call { method: "GET", target, ..Call::default() }
    }

    fn grpc(target: &'static str, more: &[(&'static str, &'static str)]) -> Self {
        let pieces = vec![b"\0\0\0\0\x05hello".as_slice()];
        Call { method: "POST", target, headers: [GRPC, more].concat(), pieces, ..Call::default() }
    }

    fn with(mut self, more: &[(&'static str, &'static str)]) -> Self {
        self.headers.extend(more);
        self
    }
}

fn map(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let entry = map.entry(name.to_string()).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        entry.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    map
}

fn fields(of: &[(&str, &str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect()
}

/// One call on a connection of its own. How a stream broke off is the trailer `broken`.
pub(crate) async fn talk<T>(io: T, call: &Call, plane: &str) -> Result<Reply, String>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (send, connection) = h2::client::handshake(io).await.map_err(|error| error.to_string())?;
    let connection = tokio::task::spawn_local(connection);
    let mut request = Request::new(());
    *request.method_mut() = call.method.parse().unwrap();
    *request.uri_mut() = call.target.parse().unwrap();
    *request.headers_mut() = fields(&call.headers);
    request.headers_mut().insert("x-plane", HeaderValue::try_from(plane).unwrap());
    let bare = call.pieces.is_empty() && call.trailers.is_empty();
    let mut send = send.ready().await.map_err(|error| error.to_string())?;
    let (response, mut body) = send.send_request(request, bare).map_err(|error| error.to_string())?;
    let mut waiting = call.pieces.iter();
    let send_piece = |body: &mut h2::SendStream<Bytes>, piece: &'static [u8], last: bool| {
        // A stream that the other side has ended takes nothing more; its answer tells.
        body.send_data(Bytes::from_static(piece), last).ok();
    };
    if !call.in_turns {
        for (number, piece) in waiting.by_ref().enumerate() {
            send_piece(&mut body, piece, number + 1 == call.pieces.len() && call.trailers.is_empty());
        }
        if !call.trailers.is_empty() {
            body.send_trailers(fields(&call.trailers)).ok();
        }
    }
    let response = response.await.map_err(|error| format!("{:?}", error.reason()))?;
    let (head, mut recv) = response.into_parts();
    let mut reply = Reply {
        status: head.status.as_u16(),
        headers: map(&head.headers),
        body: String::new(),
        trailers: BTreeMap::new(),
        interim: Vec::new(),
    };
    let mut all = Vec::new();
    let mut finished = !call.in_turns;
    loop {
        if call.in_turns && !finished {
            match waiting.next() {
                Some(piece) => send_piece(&mut body, piece, false),
                None => {
                    body.send_trailers(fields(&call.trailers)).ok();
                    finished = true;
                }
            }
        }
        match recv.data().await {
            Some(Ok(piece)) => {
                recv.flow_control().release_capacity(piece.len()).ok();
                all.extend_from_slice(&piece);
            }
            Some(Err(error)) => {
                reply.trailers.insert("broken".into(), format!("{:?}", error.reason()));
                break;
            }
            None => {
                let trailers = recv.trailers().await.map_err(|error| format!("{:?}", error.reason()))?;
                reply.trailers = map(&trailers.unwrap_or_default());
                break;
            }
        }
    }
    reply.body = String::from_utf8_lossy(&all).into_owned();
    connection.abort();
    Ok(reply)
}

/// Runs what needs tokio.
pub(crate) fn block_on<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(20), work).await };
    tokio::task::LocalSet::new().block_on(&runtime, limited).expect("an end within 20 s")
}

fn plain(to: SocketAddr, call: &Call, plane: &str) -> Result<Reply, String> {
    block_on(async {
        let stream = tokio::net::TcpStream::connect(to).await.map_err(|error| error.to_string())?;
        talk(stream, call, plane).await
    })
}

fn compare(planes: &Planes, call: &Call, wrong: &mut Vec<String>) -> [Option<Reply>; 2] {
    let what = format!("{} {} {:?}", call.method, call.target, call.headers);
    let [envoy, ours] = [(Plane::Envoy, "envoy"), (Plane::Ours, "ours")]
        .map(|(plane, word)| plain(planes.gateway(plane), call, word));
    let (mut envoy, mut ours) = match (envoy, ours) {
        (Ok(envoy), Ok(ours)) => (envoy, ours),
        (Err(a), Err(b)) if a == b => return [None, None],
        (envoy, ours) => {
            wrong.push(format!("{what}: envoy {envoy:?}, ours {ours:?}"));
            return [None, None];
        }
    };
    let saw = [&mut envoy, &mut ours].map(|reply| reply.headers.remove("x-saw").unwrap_or_default());
    replies(&what, call.method, &envoy, &ours, wrong);
    let [a, b] = saw.map(|saw| serde_json::from_str::<serde_json::Value>(&saw).unwrap_or_default());
    for field in ["method", "path", "authority", "scheme"] {
        if a[field] != b[field] {
            wrong.push(format!("{what}: upstream {field}: envoy {}, ours {}", a[field], b[field]));
        }
    }
    headers(&format!("{what}: upstream"), &crate::calls::pairs(&a), &crate::calls::pairs(&b), wrong);
    [Some(envoy), Some(ours)]
}

fn run(calls: &[Call]) {
    let echo = origin2::start();
    let (planes, _origins) = stage::start(&OBJECTS.replace("ECHO_PORT", &echo.port().to_string()));
    let mut wrong = Vec::new();
    for call in calls {
        compare(&planes, call, &mut wrong);
    }
    let [envoy, ours] = stage::logs(&planes, calls.len());
    compare_logs(&envoy, &ours, 0, &mut wrong);
    stage::no_nack(&planes, &mut wrong);
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

#[test]
fn grpc() {
    let say = "http://app.example.com/echo.Echo/Say";
    run(&[
        Call::grpc(say, &[]),
        Call { trailers: vec![("x-client", "bye")], ..Call::grpc(say, &[]) },
        Call::grpc(
            say,
            &[("grpc-timeout", "5S"), ("grpc-encoding", "identity"), ("grpc-accept-encoding", "gzip")],
        ),
        Call::grpc("http://app.example.com/echo.Echo/Late", &[("x-status", "5")]),
        Call::grpc("http://app.example.com/echo.Echo/Fail", &[("x-status", "14")]),
        Call::grpc("http://app.example.com/echo.Echo/Fail", &[("x-status", "0")]),
        Call {
            pieces: vec![b"\0\0\0\0\x01a", b"\0\0\0\0\x01b", b"\0\0\0\0\x01c"],
            in_turns: true,
            trailers: vec![("x-client", "bye")],
            ..Call::grpc("http://app.example.com/echo.Echo/Stream", &[])
        },
        Call::grpc("http://app.example.com/echo.Echo/Reset", &[]),
        Call::grpc("http://app.example.com/echo.Echo/Refuse", &[]),
        Call::grpc("http://app.example.com/echo.Echo/Cut", &[]),
        Call::grpc("http://app.example.com/echo.Echo/Slow", &[("x-ms", "10")]),
        Call::grpc("http://app.example.com/hurry/echo.Echo/Slow", &[("x-ms", "2000")]),
        Call::grpc("http://app.example.com/echo.Echo/Slow", &[("x-ms", "20"), ("grpc-timeout", "1m")]),
        Call::grpc("http://app.example.com/again/echo.Echo/Flaky", &[("x-key", "one"), ("x-times", "1")]),
        Call::grpc("http://app.example.com/again/echo.Echo/Flaky", &[("x-key", "two"), ("x-times", "9")]),
        Call::grpc("http://nobody.example.com/echo.Echo/Say", &[]),
        Call::grpc("http://app.example.com/none/x", &[]),
        Call::grpc("http://app.example.com/abort/grpc", &[]),
        Call::grpc("http://app.example.com/abort/http", &[]),
        Call::grpc("http://app.example.com/direct", &[]),
        Call::grpc("http://app.example.com/closed", &[]),
        Call::grpc("http://app.example.com/empty", &[]),
        Call::grpc("http://app.example.com/redirect", &[]),
        Call::grpc(say, &[]).with(&[("content-type", "application/grpc-web")]),
        Call { headers: vec![("content-type", "application/grpc+proto")], ..Call::grpc(say, &[]) },
        Call {
            headers: vec![("content-type", "application/grpcx")],
            ..Call::grpc("http://app.example.com/none", &[])
        },
        Call {
            headers: vec![("content-type", "application/grpc; charset=x")],
            ..Call::grpc("http://app.example.com/none", &[])
        },
    ]);
}

#[test]
fn http2() {
    run(&[
        Call::get("http://app.example.com/h1/x?y=z"),
        Call::get("http://app.example.com/h1/../h1/%7euser//x"),
        Call { method: "HEAD", ..Call::get("http://app.example.com/h1/x") },
        Call { method: "POST", pieces: vec![b"one", b"two"], ..Call::get("http://app.example.com/h1/x") },
        Call {
            method: "POST",
            pieces: vec![b"onetwo"],
            headers: vec![("content-length", "6")],
            ..Call::get("http://app.example.com/h1/x")
        },
        Call {
            method: "POST",
            pieces: vec![b"onetwo"],
            headers: vec![("content-length", "5")],
            ..Call::get("http://app.example.com/h1/x")
        },
        Call {
            headers: vec![
                ("cookie", "a=b"),
                ("cookie", "c=d"),
                ("te", "trailers"),
                ("accept", "x"),
                ("accept", "y"),
            ],
            ..Call::get("http://app.example.com/h1/x")
        },
        Call { headers: vec![("host", "other.example.com")], ..Call::get("http://app.example.com/h1/x") },
        Call {
            headers: vec![("x-request-id", "mine"), ("expect", "100-continue")],
            ..Call::get("http://app.example.com/h1/x")
        },
        Call::get("https://app.example.com/h1/x"),
        Call::get("http://app.example.com:8080/h1/x"),
        Call::get("http://APP.example.com/h1/x"),
        Call::get("http://nobody.example.com/x"),
        Call::get("http://app.example.com/none"),
        Call::get("http://app.example.com/abort/http"),
        Call::get("http://app.example.com/abort/grpc"),
        Call::get("http://app.example.com/redirect"),
        Call::get("http://app.example.com/closed"),
        Call::get("http://app.example.com/h1/status/204"),
        Call::get("http://app.example.com/h1/chunked"),
        Call::get("http://app.example.com/h1/close"),
        Call::get("http://app.example.com/h1/broken"),
        Call::get("http://app.example.com/h1/garbage"),
        Call::get("http://app.example.com/h1/reset"),
        Call { method: "PATCHY", ..Call::get("http://app.example.com/h1/x") },
        Call { method: "TRACE", ..Call::get("http://app.example.com/h1/x") },
    ]);
}

const OBJECTS: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo.example.com]
  ports: [{number: 80, name: grpc, protocol: GRPC}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {grpc: ECHO_PORT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: closed, namespace: default}
spec:
  hosts: [closed.example.com]
  ports: [{number: 80, name: grpc, protocol: GRPC}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {grpc: 1}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: empty, namespace: default}
spec:
  hosts: [empty.example.com]
  ports: [{number: 80, name: grpc, protocol: GRPC}]
  resolution: STATIC
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app, namespace: default}
spec:
  hosts: [app.example.com]
  gateways: GATEWAYS
  http:
  - match: [{uri: {prefix: /hurry/}}]
    rewrite: {uri: /}
    timeout: 0.2s
    route: [{destination: {host: echo.example.com}}]
  - match: [{uri: {prefix: /again/}}]
    rewrite: {uri: /}
    retries: {attempts: 2, retryOn: "unavailable,cancelled"}
    route: [{destination: {host: echo.example.com}}]
  - match: [{uri: {prefix: /echo.Echo}}]
    route: [{destination: {host: echo.example.com}}]
  - match: [{uri: {prefix: /h1/}}]
    rewrite: {uri: /}
    route: [{destination: {host: a.example.com}}]
  - match: [{uri: {prefix: /abort/grpc}}]
    fault: {abort: {percentage: {value: 100}, grpcStatus: RESOURCE_EXHAUSTED}}
    route: [{destination: {host: echo.example.com}}]
  - match: [{uri: {prefix: /abort/http}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 429}}
    route: [{destination: {host: echo.example.com}}]
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 403, body: {string: "go away"}}
  - match: [{uri: {prefix: /closed}}]
    retries: {attempts: 0}
    route: [{destination: {host: closed.example.com}}]
  - match: [{uri: {prefix: /empty}}]
    route: [{destination: {host: empty.example.com}}]
  - match: [{uri: {prefix: /redirect}}]
    redirect: {uri: /new}
"#;
