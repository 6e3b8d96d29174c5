//! One certificate from the CA.
//!
//! In: a channel to the CA, a token or none (mutual TLS), the wished lifetime. Out: key, chain and roots, checked to
//! belong together. The key is made here and never leaves the process. Called by the keeper.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use wire::csr::{CaClient, IstioCertificateRequest};
use wire::transport::Channel;

/// A certificate with its key, as PEM.
pub struct Issued {
    pub chain: String,
    pub key: String,
    /// The root: last of what the CA answered.
    pub roots: String,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    /// SPIFFE id; the CA decides by the credential, this is a courtesy to logs.
    pub identity: &'a str,
    pub ttl: Duration,
    pub token: Option<&'a str>,
    pub cluster_id: &'a str,
}

/// Asks once.
pub(super) async fn fetch(channel: Channel, ask: &Ask<'_>) -> Result<Issued, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| format!("key: {e}"))?;
    let csr = request(&key, ask.identity)?;
    let seconds = i64::try_from(ask.ttl.as_secs()).unwrap_or(i64::MAX);
    let message = IstioCertificateRequest { csr, validity_duration: seconds, metadata: None };
    let origin = channel.origin();
    let mut client = CaClient::with_origin(channel, origin);
    let answer = client.create_certificate(message, ask.token, ask.cluster_id).await;
    let answer = answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
    let Some((roots, chain)) = answer.cert_chain.split_last() else {
        return Err("the CA answered without a certificate".into());
    };
    if chain.is_empty() {
        return Err("the CA answered with one certificate where a chain and a root were expected".into());
    }
    Ok(Issued { chain: chain.concat(), key: key.serialize_pem(), roots: roots.clone() })
}

fn request(key: &KeyPair, identity: &str) -> Result<String, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let uri = identity.to_owned().try_into().map_err(|e| format!("identity {identity:?}: {e}"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let csr = params.serialize_request(key).map_err(|e| format!("signing request: {e}"))?;
    csr.pem().map_err(|e| format!("signing request: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_identity() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = request(&key, "spiffe://cluster.local/ns/default/sa/a").unwrap();
        let (_, parsed) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let text = String::from_utf8_lossy(&parsed.contents).into_owned();
        assert!(text.contains("spiffe://cluster.local/ns/default/sa/a"));
    }
}
