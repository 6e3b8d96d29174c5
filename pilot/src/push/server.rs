//! The listening sockets of xDS and the CA: plain (15010) and TLS (15012, client certificate optional). Both speak
//! HTTP/2; a request's path says whether it is ADS or the CA.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::drain::Watch;
use citadel::Peer;
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
    /// Answers one gRPC request of the CA's service. `peer` has the certificates that the caller has shown.
    fn call(
        &self,
        request: Request<Incoming>,
        peer: Peer,
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
        let who = Peer { address: Some(peer), ..Peer::default() };
        async move { http2(stream, Arrival { peer: Some(peer), identity: None }, who, shared).await }
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
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            let identity = certificates.first().and_then(identity);
            let who = Peer { certificates: certificates.into(), address: Some(peer) };
            http2(stream, Arrival { peer: Some(peer), identity }, who, shared).await;
        }
    })
    .await;
}

/// The SPIFFE id of the client's certificate, whose chain the handshake has verified.
fn identity(leaf: &rustls::pki_types::CertificateDer<'static>) -> Option<SpiffeId> {
    citadel::attest::uri_of(leaf)
        .inspect_err(|reason| tracing::info!(reason, "a certificate without identity"))
        .ok()
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

async fn http2<I>(io: I, arrival: Arrival, who: Peer, shared: Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut immediate = shared.drain.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (shared, arrival, who) = (shared.clone(), arrival.clone(), who.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, arrival, who, shared).await) }
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

async fn answer(request: Request<Incoming>, arrival: Arrival, who: Peer, shared: Shared) -> Response<Body> {
    if Protocol::of_path(request.uri().path()).is_none() {
        return shared.ca.call(request, who).await;
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
