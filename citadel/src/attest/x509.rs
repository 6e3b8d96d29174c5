//! A certificate that we have issued earlier.
//!
//! In: the client chain of the TLS handshake. Out: the identity in its one URI name. The chain is checked again here,
//! against the roots of this moment and at this time: a connection outlives certificates.

use std::sync::Arc;

use base::Live;
use base::clock::Clock;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use wire::SpiffeId;

use super::attestor::{Answer, Attestor, Caller, Trust};
use crate::ca::Authority;

/// Attests by mutual TLS.
pub struct X509Attestor {
    /// Whose certificates count.
    pub authority: Live<Authority>,
    /// Accepted trust domains.
    pub trust: Live<Trust>,
    /// Decides about expiry.
    pub clock: Arc<dyn Clock>,
}

impl Attestor for X509Attestor {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> Answer<'a> {
        Box::pin(async move {
            let Some((leaf, rest)) = caller.certificates.split_first() else { return Ok(None) };
            let leaf = EndEntityCert::try_from(leaf).map_err(|e| format!("not a certificate: {e}"))?;
            let authority = self.authority.load();
            let since = self.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            leaf.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                authority.anchors(),
                rest,
                UnixTime::since_unix_epoch(since),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(|e| format!("certificate is not valid: {e}"))?;
            let identity = identity(&leaf)?;
            if !self.trust.load().has(&identity.trust_domain) {
                return Err(format!("trust domain {} is not ours", identity.trust_domain));
            }
            Ok(Some(identity.into()))
        })
    }
}

fn identity(leaf: &EndEntityCert<'_>) -> Result<SpiffeId, String> {
    let mut names = leaf.valid_uri_names();
    match (names.next(), names.next()) {
        (Some(name), None) => name.parse().map_err(|e: wire::spiffe::NoIdentity| e.to_string()),
        (None, _) => Err("certificate has no URI name".into()),
        (Some(_), Some(_)) => Err("certificate has more than one URI name".into()),
    }
}

/// The identity in a certificate whose chain somebody has checked already.
pub fn uri_of(leaf: &CertificateDer<'_>) -> Result<SpiffeId, String> {
    identity(&EndEntityCert::try_from(leaf).map_err(|e| format!("not a certificate: {e}"))?)
}
