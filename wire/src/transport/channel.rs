//! The calling door: one HTTP/2 connection over any stream of bytes.
//!
//! In: a connected socket, plain or TLS, that the caller made by its own rules. Out: a [`Channel`], which opens ADS
//! streams and is a tower service, so that generated and hand-written tonic clients run over it. Clones share the
//! connection; it ends when all of them are gone.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;
use tonic::body::Body;

use super::client::{DeltaStream, SotwStream, Stream};
use super::encode;
use super::server::Protocol;
use base::task;

/// Runs hyper's tasks under a name of ours.
#[derive(Clone, Copy, Debug)]
pub struct Exec;

impl<F> hyper::rt::Executor<F> for Exec
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(task::spawn("grpc-stream", future));
    }
}

/// One connection.
#[derive(Clone)]
pub struct Channel {
    sender: SendRequest<Body>,
    authority: Authority,
    scheme: Scheme,
}

impl Channel {
    /// Speaks HTTP/2 on `io`. `origin` is what requests carry, for example `https://istiod.istio-system.svc:15012`.
    pub async fn connect<I>(io: I, origin: &Uri) -> Result<Self, Status>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let authority = origin.authority().cloned();
        let authority = authority.ok_or_else(|| Status::internal(format!("{origin} has no authority")))?;
        let scheme = origin.scheme().cloned().unwrap_or(Scheme::HTTP);
        let (sender, connection) = hyper::client::conn::http2::Builder::new(Exec)
            .timer(TokioTimer::new())
            // A half-open connection would otherwise stay for ever.
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|e| Status::unavailable(format!("HTTP/2 handshake: {e}")))?;
        task::spawn("grpc-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "gRPC connection ended");
            }
        });
        Ok(Channel { sender, authority, scheme })
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// The origin, for tonic clients.
    pub fn origin(&self) -> Uri {
        let parts = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        parts.path_and_query("/").build().unwrap_or_default()
    }

    /// Opens a delta ADS stream; `headers` carries credentials, if any. Errors come with the first message.
    pub fn delta(&self, headers: http::HeaderMap) -> DeltaStream {
        Stream::open(self, Protocol::Delta, headers, encode::read_delta_response)
    }

    /// Opens a state-of-the-world ADS stream.
    pub fn sotw(&self, headers: http::HeaderMap) -> SotwStream {
        Stream::open(self, Protocol::Sotw, headers, encode::read_sotw_response)
    }

    /// Sends one request; its URI may be a path only.
    pub fn send(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        let mut sender = self.sender.clone();
        async move {
            sender.ready().await?;
            sender.send_request(request).await
        }
    }
}

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.send(request))
    }
}
