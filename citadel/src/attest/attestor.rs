//! The attestor's trait and the loop over attestors.
//!
//! In: a [`Caller`]. Out: its identity. Called by [`crate::issue`]. No proof of an attestor's kind is not an error, a
//! bad proof is; if none succeeds, the caller hears every reason.

use std::future::Future;
use std::pin::Pin;

use rustls::pki_types::CertificateDer;
use wire::{SpiffeId, TrustDomain};

use crate::denied::Denied;
use crate::serve::Peer;

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

impl Caller {
    /// The caller of a request: `text` reads its headers.
    pub fn of<'a>(text: impl Fn(&str) -> Option<&'a str>, peer: &Peer) -> Self {
        let bearer = text("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        Caller {
            bearer,
            certificates: peer.certificates.to_vec(),
            cluster: text("clusterid").unwrap_or_default().into(),
            address: peer.address.map_or_else(|| "-".into(), |address| address.to_string()),
        }
    }
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Its workload identity.
    pub identity: SpiffeId,
    /// The pod that the credential is bound to, if it says so.
    pub pod: Option<String>,
}

impl From<SpiffeId> for Attested {
    fn from(identity: SpiffeId) -> Self {
        Attested { identity, pod: None }
    }
}

/// Whose identities count. Mesh settings may change it while running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The trust domain of the identities that are given.
    pub own: TrustDomain,
    /// Further trust domains whose certificates are accepted.
    pub aliases: Vec<TrustDomain>,
}

impl Trust {
    /// Only this trust domain.
    pub fn only(own: TrustDomain) -> Self {
        Trust { own, aliases: Vec::new() }
    }

    /// Whether certificates of this trust domain count.
    pub fn has(&self, other: &TrustDomain) -> bool {
        self.own == *other || self.aliases.contains(other)
    }
}

/// An attestor's answer; `Ok(None)` if the caller brought nothing that it understands.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Option<Attested>, String>> + Send + 'a>>;

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
) -> Result<(Attested, &'static str), Denied> {
    let mut reasons = Vec::new();
    for attestor in attestors {
        match attestor.attest(caller).await {
            Ok(Some(attested)) => return Ok((attested, attestor.name())),
            Ok(None) => {}
            Err(reason) => reasons.push(format!("{}: {reason}", attestor.name())),
        }
    }
    if reasons.is_empty() {
        reasons.push("no client certificate and no bearer token".into());
    }
    Err(Denied::Unknown(reasons.join("; ")))
}
