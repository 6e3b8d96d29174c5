//! How a certificate comes into being, in one function.
//!
//! In: the request and the caller. Out: the chain, or [`Denied`]. Called by the gRPC door; every decision, good or bad,
//! leaves one audit line and one count.

use wire::SpiffeId;
use wire::csr::{IstioCertificateRequest, IstioCertificateResponse};

use crate::attest::{Caller, attest};
use crate::audit::Decision;
use crate::authorize::authorize;
use crate::ca::{Signed, Subject, public_key, ttl};
use crate::denied::Denied;
use crate::serve::Citadel;

/// Attest, authorize, sign, verify, audit.
pub async fn issue(
    citadel: &Citadel,
    request: &IstioCertificateRequest,
    caller: &Caller,
) -> Result<IstioCertificateResponse, Denied> {
    let attested = attest(&citadel.attestors, caller).await;
    let outcome = match &attested {
        Ok((attested, _)) => decide(citadel, request, &attested.identity),
        Err(denied) => Err(denied.clone()),
    };
    let who = attested.as_ref().ok().map(|(attested, by)| (attested, *by));
    Decision { caller, attested: who, outcome: outcome.as_ref().map(|signed| &signed.issued) }.emit();
    citadel.counts.count(outcome.as_ref().err());
    outcome.map(|signed| IstioCertificateResponse { cert_chain: signed.chain })
}

fn decide(citadel: &Citadel, request: &IstioCertificateRequest, caller: &SpiffeId) -> Result<Signed, Denied> {
    let identity = authorize(caller, request)?;
    let key = public_key(&request.csr)?;
    let ttl = ttl(request.validity_duration, citadel.lifetimes)?;
    let subject = Subject { identity: Some(&identity), dns: &[] };
    // `sign` checks its own work before it returns.
    citadel.authority.load().sign(&subject, &key, ttl, citadel.clock.now())
}
