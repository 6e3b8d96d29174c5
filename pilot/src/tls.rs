//! Reading identities out of certificates that a handshake has verified.

use rustls::pki_types::CertificateDer;
use wire::SpiffeId;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// The SPIFFE id of a certificate: its only URI name.
pub(crate) fn spiffe_id(certificate: &CertificateDer<'_>) -> Option<SpiffeId> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(names),
        _ => None,
    })?;
    let mut uris = names.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let only = uris.next().filter(|_| uris.next().is_none())?;
    only.parse().ok()
}
