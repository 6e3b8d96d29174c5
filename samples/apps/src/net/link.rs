//! One connection to a server, HTTP/1.1 or HTTP/2. In: a connected stream, then requests with absolute URLs.
//! Out: answers. Made by `Dialing::connect`; can carry requests one after the other for as long as it is open.

use super::failure::CallError;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// One connection to a server.
pub struct Link {
    sender: Sender,
    through_proxy: bool,
    /// The address that was reached.
    pub remote: SocketAddr,
}

impl Link {
    pub(super) async fn start(
        stream: Box<dyn Stream>,
        http2: bool,
        remote: SocketAddr,
        through_proxy: bool,
    ) -> Result<Self, CallError> {
        let io = TokioIo::new(stream);
        let sender = if http2 {
            let builder = http2::Builder::new(TokioExecutor::new());
            let (sender, driver) =
                builder.handshake(io).await.map_err(|cause| CallError::from_hyper(&cause))?;
            // Errors of the connection reach whoever waits for an answer.
            tokio::spawn(async move { drop(driver.await) });
            Sender::H2(sender)
        } else {
            let (sender, driver) =
                http1::handshake(io).await.map_err(|cause| CallError::from_hyper(&cause))?;
            tokio::spawn(async move { drop(driver.with_upgrades().await) });
            Sender::H1(sender)
        };
        Ok(Self { sender, through_proxy, remote })
    }

    /// Sends one request with an absolute URL; its form and the `host` header are made to fit the connection.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CallError> {
        match &mut self.sender {
            Sender::H1(sender) => {
                let uri = request.uri().clone();
                if !request.headers().contains_key(header::HOST) {
                    let host = uri.authority().map(Authority::as_str).unwrap_or_default();
                    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                    let host = HeaderValue::from_str(host).map_err(|_| CallError::Url(uri.to_string()))?;
                    request.headers_mut().insert(header::HOST, host);
                }
                if !self.through_proxy {
                    let path = uri.path_and_query().map_or("/", |path| path.as_str());
                    *request.uri_mut() = path.parse().map_err(|_| CallError::Url(uri.to_string()))?;
                }
                // A connection that is closed by now says so here, not in the middle of the request.
                sender.ready().await.map_err(|cause| CallError::from_hyper(&cause))?;
                sender.send_request(request).await
            }
            Sender::H2(sender) => {
                if let Some(host) = request.headers_mut().remove(header::HOST) {
                    let mut parts = request.uri().clone().into_parts();
                    parts.authority = Authority::try_from(host.as_bytes()).ok();
                    *request.uri_mut() =
                        Uri::from_parts(parts).map_err(|cause| CallError::Url(cause.to_string()))?;
                }
                *request.version_mut() = http::Version::HTTP_2;
                sender.ready().await.map_err(|cause| CallError::from_hyper(&cause))?;
                sender.send_request(request).await
            }
        }
        .map_err(|cause| CallError::from_hyper(&cause))
    }

    /// Whether the server still keeps the connection.
    pub fn open(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => !sender.is_closed(),
            Sender::H2(sender) => !sender.is_closed(),
        }
    }

    /// Whether it is HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::H2(_))
    }
}

/// Reads a body to its end.
pub async fn read_all(body: Incoming) -> Result<Bytes, CallError> {
    body.collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|cause| CallError::from_hyper(&cause))
}
