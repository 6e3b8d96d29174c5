//! The gRPC door.
//!
//! In: calls of `IstioCertificateService`, on any HTTP/2 connection whose owner puts a [`Peer`] into the request's
//! extensions. Out: answers of [`crate::issue`]. Embedded: pilot calls [`Citadel::answer`] beside ADS. On its own:
//! [`crate::app`] accepts TLS. Limits: size of the request (gRPC's 4 MiB, then that of the signing request) and calls
//! at once.

use std::net::SocketAddr;
use std::sync::Arc;

use base::Live;
use base::clock::Clock;
use base::metrics::Metrics;
use base::metrics::prometheus_client::metrics::counter::Counter;
use base::metrics::prometheus_client::metrics::family::Family;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tonic::body::Body;
use wire::SpiffeId;
use wire::csr::{Ca, CaServer, IstioCertificateRequest, IstioCertificateResponse};

use crate::attest::{Attestor, Caller, attest};
use crate::audit;
use crate::ca::{Authority, Lifetimes};
use crate::denied::Denied;
use crate::issue::issue;

/// Signing takes well under a millisecond; more than this at once is a flood.
const AT_ONCE: usize = 256;

/// What is known of a connection: an extension of its requests.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The client's chain, leaf first, if the handshake checked one.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
}

/// A certificate authority that is ready to answer.
pub struct Citadel {
    /// What signs now; swapped when the root is renewed or its files change.
    pub authority: Live<Authority>,
    /// Asked in order.
    pub attestors: Vec<Box<dyn Attestor>>,
    /// Of workload certificates.
    pub lifetimes: Lifetimes,
    /// Decides about every date.
    pub clock: Arc<dyn Clock>,
    /// What happened.
    pub counts: Counts,
    slots: Semaphore,
}

/// Istio's `citadel_server_*` counters.
#[derive(Clone, Default)]
pub struct Counts {
    asked: Counter,
    issued: Counter,
    unauthenticated: Counter,
    malformed: Counter,
    failed: Family<Vec<(String, String)>, Counter>,
}

impl Counts {
    /// Registers the counters.
    pub fn register(metrics: &Metrics) -> Self {
        let name = |rest: &str| format!("citadel_server_{rest}");
        Counts {
            asked: metrics.counter(&name("csr_count"), "The number of CSRs received"),
            issued: metrics
                .counter(&name("success_cert_issuance_count"), "The number of certificates issued"),
            unauthenticated: metrics
                .counter(&name("authentication_failure_count"), "The number of callers not authenticated"),
            malformed: metrics
                .counter(&name("csr_parsing_err_count"), "The number of CSRs that were not understood"),
            failed: metrics.counter_family(&name("csr_sign_err_count"), "The number of CSRs not signed"),
        }
    }

    pub(crate) fn count(&self, denied: Option<&Denied>) {
        self.asked.inc();
        match denied {
            None => self.issued.inc(),
            Some(Denied::Unknown(_)) => self.unauthenticated.inc(),
            Some(Denied::Malformed(_)) => self.malformed.inc(),
            Some(other) => self.failed.get_or_create(&vec![("error".into(), other.label().into())]).inc(),
        };
    }
}

impl Citadel {
    /// Without attestors it denies everybody.
    pub fn new(authority: Live<Authority>, attestors: Vec<Box<dyn Attestor>>, clock: Arc<dyn Clock>) -> Self {
        Citadel {
            authority,
            attestors,
            lifetimes: Lifetimes::default(),
            clock,
            counts: Counts::default(),
            slots: Semaphore::new(AT_ONCE),
        }
    }

    /// Who a caller is that wants no certificate but something else of the same process, `door`. A refusal leaves an
    /// audit line.
    pub async fn identify(&self, door: &'static str, caller: &Caller) -> Result<SpiffeId, Denied> {
        let attested = attest(&self.attestors, caller).await;
        attested
            .map(|(attested, _)| attested.identity)
            .inspect_err(|denied| audit::refused(door, caller, denied))
    }

    /// Answers one HTTP/2 request of the CA's service; a call that is none of its gets `UNIMPLEMENTED`.
    pub async fn answer<B>(self: &Arc<Self>, request: http::Request<B>) -> http::Response<Body>
    where
        B: hyper::body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        CaServer::new(self.clone()).answer(request).await
    }
}

impl Ca for Citadel {
    async fn create_certificate(
        &self,
        request: tonic::Request<IstioCertificateRequest>,
    ) -> Result<IstioCertificateResponse, tonic::Status> {
        let busy = || Denied::Busy(format!("more than {AT_ONCE} requests at once"));
        let _slot = self.slots.try_acquire().map_err(|_| busy())?;
        let caller = caller(&request);
        Ok(issue(self, request.get_ref(), &caller).await?)
    }
}

fn caller(request: &tonic::Request<IstioCertificateRequest>) -> Caller {
    let text = |key: &str| request.metadata().get(key).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    Caller::of(text, &peer)
}
