//! What we take from a signing request: its key.
//!
//! In: PKCS#10 in PEM. Out: the public key, if the request is signed with it and it is strong enough. Names, lifetimes
//! and extensions of the request are not looked at.

use rcgen::SubjectPublicKeyInfo;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::denied::Denied;

/// A request holds one key and a few names.
const MAX_CSR: usize = 64 << 10;

/// The key of a signing request that proves possession of it.
pub fn public_key(pem: &str) -> Result<SubjectPublicKeyInfo, Denied> {
    let bad = |reason: String| Denied::Malformed(format!("csr: {reason}"));
    if pem.len() > MAX_CSR {
        return Err(bad(format!("{} bytes is too long", pem.len())));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|e| bad(format!("not a certificate request in PEM: {e}")))?;
    let (_, csr) = X509CertificationRequest::from_der(&der).map_err(|e| bad(e.to_string()))?;
    csr.verify_signature().map_err(|_| bad("it is not signed with its own key".into()))?;
    let key = &csr.certification_request_info.subject_pki;
    let strong = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => rsa.key_size() >= 2048,
        Ok(PublicKey::EC(point)) => point.key_size() >= 256,
        Ok(PublicKey::Unknown(_)) => true,
        _ => false,
    };
    if !strong {
        return Err(bad("the key is weaker than RSA 2048 or P-256".into()));
    }
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|e| bad(format!("unsupported kind of key: {e}")))
}
