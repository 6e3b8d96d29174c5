//! The applications over real sockets on loopback, the program as a process, and the YAML beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bookinfo;
mod httpbin;
mod others;
mod program;
mod shell;
mod yaml;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use samples::net::{App, Dialing, serve};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A server of this test, ended when dropped.
struct Server {
    at: SocketAddr,
    _end: oneshot::Sender<()>,
}

async fn start(app: impl App) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    tokio::spawn(serve(listener, app, async { drop(ended.await) }));
    Server { at, _end: end }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: String,
}

impl Got {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|cause| panic!("{cause}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(dialing: &Dialing, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Got {
    let uri: Uri = url.parse().unwrap();
    let mut request = Request::new(Full::from(body.to_owned()));
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, HeaderValue::try_from(*value).unwrap());
    }
    let (head, body) = dialing.connect(&uri).await.unwrap().send(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Got { status: head.status, headers: head.headers, trailers, body }
}

async fn get(at: SocketAddr, path: &str) -> Got {
    send(&Dialing::default(), Method::GET, &format!("http://{at}{path}"), &[], "").await
}

async fn get_with(at: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Got {
    send(&Dialing::default(), Method::GET, &format!("http://{at}{path}"), headers, "").await
}
