//! What signs at this moment.
//!
//! In: key and certificates from the store. Out: signed leaves with their chain, and the roots that peers should trust.
//! Immutable: a renewed root is a new `Authority`. Cannot be printed with its key.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::template::{self, Subject};
use super::verify::verify;
use crate::audit::Issued;
use crate::denied::Denied;

/// A signing key with its certificate, the way up and the roots.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Between a leaf and the root, PEM each, nearest first; empty for a self-signed root.
    intermediates: Vec<String>,
    roots: String,
    anchors: Vec<TrustAnchor<'static>>,
    life: (SystemTime, SystemTime),
    self_signed: bool,
}

/// A leaf with its chain.
#[derive(Clone, Debug)]
pub struct Signed {
    /// PEM each: leaf, intermediates, and last the roots.
    pub chain: Vec<String>,
    /// For the audit.
    pub issued: Issued,
    /// Begin of its life.
    pub not_before: SystemTime,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("life", &self.life).field("self_signed", &self.self_signed).finish()
    }
}

/// Equal if peers see no difference: certificate, way up, roots. A certificate belongs to one key.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
            && self.intermediates == other.intermediates
            && self.roots == other.roots
    }
}

impl Authority {
    /// Puts together what the store found. `chain` is the optional `cert-chain.pem`.
    pub fn new(key: &str, certificate: &str, chain: &str, roots: &str) -> Result<Self, String> {
        let key = KeyPair::from_pem(key).map_err(|e| format!("ca-key.pem: {e}"))?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|e| format!("ca-cert.pem: {e}"))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|e| format!("ca-cert.pem: {e}"))?;
        if !parsed.is_ca() {
            return Err(
                "ca-cert.pem is not the certificate of a CA (basicConstraints CA:TRUE is missing)".into()
            );
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err("ca-key.pem does not belong to ca-cert.pem".into());
        }
        let anchors = anchors(roots)?;
        let self_signed = parsed.issuer() == parsed.subject();
        let life =
            (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
        let mut intermediates = Vec::new();
        if !self_signed {
            intermediates.push(certificate.trim().to_owned() + "\n");
            for other in pem_blocks(chain) {
                if self::der(&other)? != der && !is_self_signed(&self::der(&other)?) {
                    intermediates.push(other);
                }
            }
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|e| format!("ca-cert.pem: {e}"))?;
        let roots = pem_blocks(roots).concat();
        Ok(Authority { issuer, certificate: der, intermediates, roots, anchors, life, self_signed })
    }

    /// The roots to trust, PEM.
    pub fn roots(&self) -> &str {
        &self.roots
    }

    /// The roots to trust, for verification.
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Begin and end of the signing certificate's life.
    pub fn life(&self) -> (SystemTime, SystemTime) {
        self.life
    }

    /// Whether the root is our own and may be renewed by us.
    pub fn is_self_signed(&self) -> bool {
        self.self_signed
    }

    /// The signing certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs a leaf for `key` and checks the result.
    pub fn sign(
        &self,
        subject: &Subject<'_>,
        key: &impl PublicKeyData,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Signed, Denied> {
        let internal = |e: rcgen::Error| Denied::Internal(e.to_string());
        if self.life.1 <= now {
            return Err(Denied::Internal("the CA's own certificate has expired".into()));
        }
        let not_after = (now + ttl).min(self.life.1);
        let params = template::leaf(subject, now, not_after)?;
        let leaf = params.signed_by(key, &self.issuer).map_err(internal)?;
        let issued = verify(leaf.der(), subject, self, now)?;
        let not_before = time(params.not_before.unix_timestamp());
        let mut chain = vec![leaf.pem()];
        chain.extend(self.intermediates.iter().cloned());
        chain.push(self.roots.clone());
        Ok(Signed { chain, issued, not_before })
    }

    /// The intermediates, DER, nearest first.
    pub(super) fn intermediates(&self) -> Vec<CertificateDer<'static>> {
        self.intermediates.iter().filter_map(|pem| der(pem).ok()).collect()
    }

    /// A new certificate for the same root key, so that everybody who trusts the old one trusts the new one.
    pub(super) fn renewed(
        &self,
        organization: &str,
        now: SystemTime,
        ttl: Duration,
    ) -> Result<String, String> {
        let params = template::root(organization, now, ttl);
        params.self_signed(self.issuer.key()).map(|certificate| certificate.pem()).map_err(|e| e.to_string())
    }
}

fn anchors(roots: &str) -> Result<Vec<TrustAnchor<'static>>, String> {
    let mut anchors = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        let certificate = certificate.map_err(|e| format!("root-cert.pem: {e}"))?;
        let anchor =
            webpki::anchor_from_trusted_cert(&certificate).map_err(|e| format!("root-cert.pem: {e}"))?;
        anchors.push(anchor.to_owned());
    }
    if anchors.is_empty() {
        return Err("root-cert.pem has no certificate".into());
    }
    Ok(anchors)
}

fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.issuer() == certificate.subject())
}

fn der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| format!("cert-chain.pem: {e}"))
}

/// The certificates of a PEM text, one text each.
fn pem_blocks(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    text.split_inclusive(END)
        .filter_map(|block| block.find("-----BEGIN CERTIFICATE-----").and_then(|at| block.get(at..)))
        .map(|block| format!("{block}\n"))
        .collect()
}

pub(super) fn time(timestamp: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or_default())
}
