//! Probes of the application, asked here because plain ones would meet mutual TLS.
//!
//! In: `ISTIO_KUBE_APP_PROBERS`, path -> probe (`httpGet`, `tcpSocket`), and a request for such a path. Out: what the
//! application says on loopback. Also one small HTTP client for this machine, which the metrics merger uses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::admin::{Request, Response};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::net::TcpStream;

use crate::upstream::TcpDialer;

const LIMIT: usize = 1 << 20;

/// The probes by path.
#[derive(Clone)]
pub(super) struct Probes {
    probes: Arc<Map<String, Value>>,
    dialer: TcpDialer,
}

impl Probes {
    pub(super) fn new(probes: Map<String, Value>, dialer: TcpDialer) -> Self {
        Probes { probes: Arc::new(probes), dialer }
    }

    pub(super) async fn answer(self, request: Request) -> Response {
        let Some(probe) = self.probes.get(&request.path) else {
            return Response::status(StatusCode::NOT_FOUND, format!("no probe {}\n", request.path));
        };
        let seconds = probe.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(1).max(1);
        let timeout = Duration::from_secs(seconds);
        match self.run(probe, timeout).await {
            Ok(status) => Response::status(status, ""),
            Err(error) => Response::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    async fn run(&self, probe: &Value, timeout: Duration) -> Result<StatusCode, String> {
        let port = |value: &Value| {
            let port = value.get("port")?;
            port.as_u64().or_else(|| port.as_str()?.parse().ok()).and_then(|port| u16::try_from(port).ok())
        };
        if let Some(get) = probe.get("httpGet") {
            let port = port(get).ok_or("httpGet.port is no number")?;
            if get.get("scheme").and_then(Value::as_str) == Some("HTTPS") {
                return Err("httpGet.scheme HTTPS is not supported".into());
            }
            let mut request = http::Request::get(get.get("path").and_then(Value::as_str).unwrap_or("/"));
            for header in get.get("httpHeaders").and_then(Value::as_array).into_iter().flatten() {
                let text = |key: &str| header.get(key).and_then(Value::as_str).unwrap_or_default();
                request = request.header(text("name"), text("value"));
            }
            return Ok(fetch(self.dialer, port, request, timeout, LIMIT).await?.status());
        }
        if let Some(tcp) = probe.get("tcpSocket") {
            let port = port(tcp).ok_or("tcpSocket.port is no number")?;
            let connected = tokio::time::timeout(timeout, connect(self.dialer, port)).await;
            return match connected {
                Ok(Ok(_)) => Ok(StatusCode::OK),
                Ok(Err(error)) => Err(error),
                Err(_) => Err("timeout".into()),
            };
        }
        Err("only httpGet and tcpSocket probes are supported".into())
    }
}

/// Connects to the application on this machine.
async fn connect(dialer: TcpDialer, port: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let work = || {
        let socket = tokio::net::TcpSocket::new_v4()?;
        if let Some(mark) = dialer.mark {
            socket2::SockRef::from(&socket).set_mark(mark)?;
        }
        Ok::<_, std::io::Error>(socket)
    };
    let socket = work().map_err(|e| e.to_string())?;
    socket.connect(address).await.map_err(|e| format!("{address}: {e}"))
}

/// One request to a port of this machine; the whole answer.
pub(super) async fn fetch(
    dialer: TcpDialer,
    port: u16,
    request: http::request::Builder,
    timeout: Duration,
    limit: usize,
) -> Result<http::Response<Bytes>, String> {
    let work = async {
        let stream = connect(dialer, port).await?;
        let mut request = request.body(Full::<Bytes>::default()).map_err(|e| e.to_string())?;
        let host = http::HeaderValue::from_str(&format!("localhost:{port}")).map_err(|e| e.to_string())?;
        request.headers_mut().entry(http::header::HOST).or_insert(host);
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|e| e.to_string())?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await.map_err(|e| e.to_string())?.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|e| e.to_string())?.to_bytes();
            Ok(http::Response::from_parts(head, body))
        };
        tokio::pin!(exchange);
        tokio::select! {
            done = &mut exchange => done,
            _ = connection => exchange.await,
        }
    };
    tokio::time::timeout(timeout, work).await.map_err(|_| "timeout".to_owned())?
}
