//! The listening sockets of xDS and the CA: plain (15010) and TLS (15012, client certificate optional). Both speak
//! HTTP/2; a request's path says whether it is ADS or the CA.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::drain::Watch;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use wire::SpiffeId;
use wire::transport::{self, Protocol};

use super::connection::{self, Arrival};
use super::hub::Hub;

/// A TLS handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The embedded CA's door.
pub trait Ca: Send + Sync + 'static {
    /// Answers one gRPC request of the CA's service. `identity` is that of the caller's certificate, if it showed one.
    fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        identity: Option<SpiffeId>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
}

/// What every connection of a listener needs.
#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    ca: Arc<dyn Ca>,
    drain: Watch,
}

/// Serves plain HTTP/2 until drained. The CA is served here as well: its tokens authenticate, and whoever reaches this
/// port without TLS is on the same machine or has chosen so, as with Istio's 15010.
pub async fn serve_plain(listener: TcpListener, hub: Arc<Hub>, ca: Arc<dyn Ca>, drain: Watch) {
    let shared = Shared { hub, ca, drain };
    accept(listener, shared.drain.clone(), move |stream, peer| {
        let shared = shared.clone();
        async move { http2(stream, Arrival { peer: Some(peer), identity: None }, shared).await }
    })
    .await;
}

/// Serves HTTP/2 over TLS until drained. `tls` gives the acceptor of the moment, so that certificates can rotate.
pub async fn serve_tls(
    listener: TcpListener,
    hub: Arc<Hub>,
    ca: Arc<dyn Ca>,
    tls: impl Fn() -> TlsAcceptor + Clone + Send + Sync + 'static,
    drain: Watch,
) {
    let shared = Shared { hub, ca, drain };
    accept(listener, shared.drain.clone(), move |stream, peer| {
        let (shared, acceptor) = (shared.clone(), tls());
        async move {
            let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::info!(%peer, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => return,
            };
            let identity = identity(&stream);
            http2(stream, Arrival { peer: Some(peer), identity }, shared).await;
        }
    })
    .await;
}

/// The SPIFFE id of the client's certificate, which the handshake has verified.
fn identity(stream: &tokio_rustls::server::TlsStream<tokio::net::TcpStream>) -> Option<SpiffeId> {
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    crate::tls::spiffe_id(leaf)
}

async fn accept<F>(
    listener: TcpListener,
    drain: Watch,
    serve: impl Fn(tokio::net::TcpStream, SocketAddr) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut drain = drain;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.graceful() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "the connection went before it was served");
                    continue;
                }
                base::task::spawn("xds connection", serve(stream, peer));
            }
            Err(error) => {
                // Out of descriptors, most likely: give connections time to end.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn http2<I>(io: I, arrival: Arrival, shared: Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut immediate = shared.drain.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (shared, arrival) = (shared.clone(), arrival.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, arrival, shared).await) }
    });
    let connection = transport::http2().serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        end = connection.as_mut() => if let Err(error) = end {
            tracing::debug!(%error, "connection ended");
        },
        () = immediate.immediate() => {}
    }
}

async fn answer(request: Request<Incoming>, arrival: Arrival, shared: Shared) -> Response<Body> {
    if Protocol::of_path(request.uri().path()).is_none() {
        return shared.ca.call(request, arrival.identity).await;
    }
    match transport::accept(request, &shared.hub.identifier) {
        Err(refused) => *refused,
        Ok((session, response)) => {
            let (hub, drain) = (shared.hub, shared.drain);
            match session {
                transport::Session::Delta(inbound, responder) => {
                    let work =
                        connection::serve::<wire::delta::Server>(hub, arrival, inbound, responder, drain);
                    base::task::spawn("xds delta", work);
                }
                transport::Session::Sotw(inbound, responder) => {
                    let work =
                        connection::serve::<wire::sotw::Server>(hub, arrival, inbound, responder, drain);
                    base::task::spawn("xds sotw", work);
                }
            }
            response
        }
    }
}
