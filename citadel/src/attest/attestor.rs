//! The attestor's trait and the loop over attestors.
//!
//! In: a [`Caller`]. Out: its identity. Called by [`crate::issue`]. No proof of an attestor's kind is not an error, a
//! bad proof is; if none succeeds, the caller hears every reason.

use std::future::Future;
use std::pin::Pin;

use rustls::pki_types::CertificateDer;
use wire::SpiffeId;

use crate::denied::Denied;

/// What came with the call.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// `authorization: Bearer`, without the word.
    pub bearer: Option<String>,
    /// The client's chain of the TLS handshake, leaf first; empty without one.
    pub certificates: Vec<CertificateDer<'static>>,
    /// `clusterid` metadata.
    pub cluster: String,
    /// Where the call came from, for the audit.
    pub address: String,
}

/// An attestor's answer; `Ok(None)` if the caller brought nothing that it understands.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<SpiffeId>, String>> + Send + 'a>>;

/// Turns one kind of proof into an identity.
pub trait Attestor: Send + Sync {
    /// For the audit.
    fn name(&self) -> &'static str;
    /// Checks the caller's proof.
    fn attest<'a>(&'a self, caller: &'a Caller) -> Answer<'a>;
}

/// Asks the attestors in order.
pub async fn attest(
    attestors: &[Box<dyn Attestor>],
    caller: &Caller,
) -> Result<(SpiffeId, &'static str), Denied> {
    let mut reasons = Vec::new();
    for attestor in attestors {
        match attestor.attest(caller).await {
            Ok(Some(identity)) => return Ok((identity, attestor.name())),
            Ok(None) => {}
            Err(reason) => reasons.push(format!("{}: {reason}", attestor.name())),
        }
    }
    if reasons.is_empty() {
        reasons.push("no client certificate and no bearer token".into());
    }
    Err(Denied::Unknown(reasons.join("; ")))
}
