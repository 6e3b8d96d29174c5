//! Whether the other side is trusted: what the verifiers of clients and of servers have in common.
//!
//! In: the validation settings with the roots that they name, then a presented chain. Out: nothing, or a rustls error
//! that carries our reason. `client` and `server` wrap it in the trait of their side; the rules are `verify`'s.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use webpki::KeyUsage;

use super::{Roots, Secret, Secrets, TlsError, Validation, provider, verify};

/// Chain to the roots, pins, names. Without roots any chain will do, as in Envoy.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: Option<Arc<Roots>>,
    pub(super) validation: Option<Validation>,
}

impl Trust {
    /// Looks the roots up, which must be here by now.
    pub(super) fn of(secrets: &Secrets, validation: Option<&Validation>) -> Result<Self, TlsError> {
        let roots = match validation {
            Some(Validation { roots: Some(source), .. }) => Some(secrets.roots(source)?),
            Some(Validation { system: true, .. }) => Some(system_roots()?),
            _ => None,
        };
        Ok(Trust { roots, validation: validation.cloned() })
    }

    /// Judges a presented chain for one usage of its leaf.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), rustls::Error> {
        let untrusted_ok = self.validation.as_ref().is_some_and(|validation| validation.accept_untrusted);
        if let (Some(roots), false) = (&self.roots, untrusted_ok) {
            let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).cloned().collect();
            verify::check_chain(&chain, &roots.anchors, now, usage).map_err(reason)?;
        }
        let Some(validation) = &self.validation else { return Ok(()) };
        verify::check_pins(leaf, &validation.spki, &validation.hashes).map_err(reason)?;
        if !validation.sans.is_empty() {
            let names = verify::Names::of(leaf).map_err(reason)?;
            verify::check_names(&names, &validation.sans).map_err(reason)?;
        }
        Ok(())
    }
}

/// Our reason inside a rustls error; [`TlsError`] takes it out again.
pub(super) fn reason(text: String) -> rustls::Error {
    let error = OtherError(Arc::new(io::Error::new(io::ErrorKind::PermissionDenied, text)));
    rustls::Error::InvalidCertificate(CertificateError::Other(error))
}

/// Whether the peer holds the key of its certificate, in TLS 1.2.
pub(super) fn signed_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = provider().signature_verification_algorithms;
    rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
}

/// The same in TLS 1.3.
pub(super) fn signed_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
}

/// The signatures that we can check.
pub(super) fn schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}

/// The trust bundle of the machine, where distributions put it.
fn system_roots() -> Result<Arc<Roots>, TlsError> {
    const PLACES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    for place in PLACES {
        if let Ok(pem) = std::fs::read(place) {
            let secret = Secret::trust(&pem).map_err(|e| TlsError::Settings(format!("{place}: {e}")))?;
            return secret.roots.ok_or_else(|| TlsError::Settings(format!("{place}: no roots")));
        }
    }
    Err(TlsError::Settings(format!("no system roots: none of {} exists", PLACES.join(", "))))
}
