//! `grpc.health.v1.Health/Check` over plain HTTP/2, as kubelets ask it.
//!
//! In: a connection to the application, a service name (empty: the whole server). Out: whether it is SERVING. Asked by the
//! proxy for kubelets, and by the laptop mesh, which is its own kubelet.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

/// `HealthCheckRequest`
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse`
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;

/// Asks once. `at` becomes the authority, `agent` the `User-Agent`.
///
/// # Errors
/// In words: the connection failed, the server has no such service, or it is not serving.
pub async fn check(
    stream: TcpStream,
    at: SocketAddr,
    service: &str,
    agent: Option<&HeaderValue>,
) -> Result<(), String> {
    let told = |error: hyper::Error| format!("gRPC health check at {at}: {error}");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(told)?;
    let mut request = Request::post(format!("http://{at}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(agent) = agent {
        request = request.header(http::header::USER_AGENT, agent);
    }
    let question = Question { service: service.to_owned() }.encode_to_vec();
    let request = request.body(Full::new(frame(&question))).map_err(|error| error.to_string())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.map_err(told)?.into_parts();
        Ok::<_, String>((head, body.collect().await.map_err(told)?))
    };
    tokio::pin!(exchange);
    let (head, body) = tokio::select! {
        done = &mut exchange => done?,
        _ = connection => exchange.await?,
    };
    let code = |headers: &HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse::<u32>().ok();
    match body.trailers().and_then(code).or_else(|| code(&head.headers)) {
        Some(0) => {}
        Some(UNIMPLEMENTED) => return Err("the server does not implement grpc.health.v1.Health".into()),
        Some(NOT_FOUND) => return Err(format!("the server knows no service {service:?}")),
        Some(code) => return Err(format!("the health check ended with gRPC status {code}")),
        None => return Err(format!("no gRPC: HTTP status {}", head.status)),
    }
    let body = body.to_bytes();
    let answer = body.split_first_chunk::<5>().and_then(|(_, message)| Answer::decode(message).ok());
    match answer.map(|answer| answer.status) {
        Some(SERVING) => Ok(()),
        Some(status) => Err(format!("not serving (status {status})")),
        None => Err("the answer of the health check cannot be read".into()),
    }
}

/// One message behind its flag and length.
fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}
