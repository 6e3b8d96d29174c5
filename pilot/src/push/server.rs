//! The listening sockets of xDS and the CA: plain (15010) and TLS (15012, client certificate optional). Both speak
//! HTTP/2; a request's path says whether it is ADS or the CA. Over TLS a client proves who it is, by certificate or token,
//! before it hears anything.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::drain::Watch;
use citadel::Peer;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
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
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    /// Whose request has these headers on such a connection; the status of a refusal.
    fn identify(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Pin<Box<dyn Future<Output = Result<SpiffeId, Status>> + Send>>;
}

/// Who may open a stream of ADS over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Only clients with a certificate or a token; Istio's `XDS_AUTH`, true.
    pub authenticate: bool,
    /// Only as a proxy of their own namespace and service account; Istio's `PILOT_ENABLE_XDS_IDENTITY_CHECK`, true.
    pub check_identity: bool,
}

/// What is served at both doors.
#[derive(Clone)]
pub struct Service {
    pub hub: Arc<Hub>,
    pub ca: Arc<dyn Ca>,
    pub drain: Watch,
    /// How long a connection may last, give or take a tenth, so that proxies spread over new replicas;
    /// `--keepaliveMaxServerConnectionAge`. None: for ever.
    pub age: Option<Duration>,
}

/// What every connection of a listener needs.
#[derive(Clone)]
struct Shared {
    service: Service,
    /// None on the plain port: nobody proves anything there, and nobody gets secrets.
    admission: Option<Admission>,
}

/// Serves plain HTTP/2 until drained. The CA is served here as well: its tokens authenticate, and whoever reaches this
/// port without TLS is on the same machine or has chosen so, as with Istio's 15010.
pub async fn serve_plain(listener: TcpListener, service: Service) {
    let shared = Shared { service, admission: None };
    accept(listener, shared.service.drain.clone(), move |stream, peer| {
        let shared = shared.clone();
        let who = Peer { address: Some(peer), ..Peer::default() };
        async move { http2(stream, who, shared).await }
    })
    .await;
}

/// Serves HTTP/2 over TLS until drained. `tls` gives the acceptor of the moment, so that certificates can rotate.
pub async fn serve_tls(
    listener: TcpListener,
    service: Service,
    tls: impl Fn() -> TlsAcceptor + Clone + Send + Sync + 'static,
    admission: Admission,
) {
    let shared = Shared { service, admission: Some(admission) };
    accept(listener, shared.service.drain.clone(), move |stream, peer| {
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
            let who = Peer { certificates: certificates.into(), address: Some(peer) };
            http2(stream, who, shared).await;
        }
    })
    .await;
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

async fn http2<I>(io: I, who: Peer, shared: Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut immediate = shared.service.drain.clone();
    let until = shared.service.age.map(|age| Instant::now() + around(age, chance()));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (shared, who) = (shared.clone(), who.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, who, shared, until).await) }
    });
    let connection = transport::http2().serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let mut old = false;
    loop {
        tokio::select! {
            end = connection.as_mut() => {
                if let Err(error) = end {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            // Its streams end by themselves at the same time; what else is under way is answered.
            () = at(until), if !old => {
                old = true;
                connection.as_mut().graceful_shutdown();
            }
            () = immediate.immediate() => return,
        }
    }
}

/// At that time; never where there is none.
pub(super) async fn at(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// An age, a tenth more or less: proxies that came together must not leave together. `part` is from 0 to 1.
fn around(age: Duration, part: f64) -> Duration {
    age.mul_f64(0.9 + 0.2 * part)
}

/// A number from 0 to 1 that differs from connection to connection.
fn chance() -> f64 {
    use std::hash::BuildHasher;
    let random = std::hash::RandomState::new().hash_one(0u8);
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// Who opens a stream, as far as it must be known.
async fn arrival(
    request: &Request<Incoming>,
    who: &Peer,
    shared: &Shared,
    until: Option<Instant>,
) -> Result<Arrival, Status> {
    let nobody = Arrival { peer: who.address, until, ..Arrival::default() };
    let Some(admission) = shared.admission else { return Ok(nobody) };
    match shared.service.ca.identify(request.headers(), who).await {
        Ok(identity) => {
            Ok(Arrival { identity: Some(identity), check_identity: admission.check_identity, ..nobody })
        }
        Err(status) if admission.authenticate => Err(status),
        Err(_) => Ok(nobody),
    }
}

async fn answer(
    request: Request<Incoming>,
    who: Peer,
    shared: Shared,
    until: Option<Instant>,
) -> Response<Body> {
    if Protocol::of_path(request.uri().path()).is_none() {
        return shared.service.ca.call(request, who).await;
    }
    let arrival = match arrival(&request, &who, &shared, until).await {
        Ok(arrival) => arrival,
        Err(status) => return transport::refuse(&status),
    };
    let Service { hub, drain, .. } = shared.service;
    match transport::accept(request, &hub.identifier) {
        Err(refused) => *refused,
        Ok((session, response)) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth() {
        let age = Duration::from_secs(100);
        assert_eq!((around(age, 0.0).as_secs(), around(age, 1.0).as_secs()), (90, 110));
        assert!((0..100).map(|_| chance()).all(|part| (0.0..1.0).contains(&part)));
    }
}
