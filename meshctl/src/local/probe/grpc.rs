//! gRPC probes: `grpc.health.v1.Health/Check`, over HTTP/2 without TLS, as kubelets ask it.
//!
//! In: a connection to the container and a service name, empty for the whole server. Out: whether it is SERVING.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`; status 1 is SERVING.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

/// Asks once.
pub(super) async fn check(stream: TcpStream, service: &str) -> Result<(), String> {
    let told = |error: hyper::Error| format!("gRPC health check: {error}");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(told)?;
    // It ends with the last handle on it, when this function returns.
    let connection = tokio::spawn(connection);
    let request = Request::post("http://localhost/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(frame(&Question { service: service.to_owned() }.encode_to_vec())))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(told)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(told)?;
    connection.abort();
    let status = |headers: Option<&HeaderMap>| {
        headers.and_then(|headers| headers.get("grpc-status")?.to_str().ok()?.parse::<u32>().ok())
    };
    match status(body.trailers()).or_else(|| status(Some(&head.headers))) {
        Some(0) => {}
        // As a kubelet says it: the application does not offer the health service, or not this one.
        Some(12) => return Err("the server does not implement grpc.health.v1.Health".to_owned()),
        Some(5) => return Err(format!("the server knows no service {service:?}")),
        Some(code) => return Err(format!("the health check failed with gRPC status {code}")),
        None => return Err(format!("the answer is not gRPC (HTTP status {})", head.status.as_u16())),
    }
    let body = body.to_bytes();
    let answer = body.split_first_chunk::<5>().and_then(|(_, message)| Answer::decode(message).ok());
    match answer.map(|answer| answer.status) {
        Some(SERVING) => Ok(()),
        Some(status) => Err(format!("the service is not serving (status {status})")),
        None => Err("the answer of the health check cannot be read".to_owned()),
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
