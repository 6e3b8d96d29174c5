//! Key and certificates of a CA as texts under their names, wherever they are kept.
//!
//! In: a reader of names: a folder, a Kubernetes Secret. Out: a [`Bundle`], and of it an [`Authority`]. Istio's names:
//! `ca-key.pem`, `ca-cert.pem`, `root-cert.pem`, and for a plugged-in intermediate `cert-chain.pem`; or `tls.key`,
//! `tls.crt`, `ca.crt` as Kubernetes writes them. Called by `store` and by pilot. Cannot be printed.

use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::authority::Authority;
use super::template;

/// Istio's names: key, certificate, chain, roots.
pub(super) const ISTIO: [&str; 4] = ["ca-key.pem", "ca-cert.pem", "cert-chain.pem", "root-cert.pem"];
/// Kubernetes' names of the same; the chain is in the certificate.
const KUBERNETES: [&str; 4] = ["tls.key", "tls.crt", "", "ca.crt"];

/// How a root of our own is made.
#[derive(Clone, Debug)]
pub struct RootPolicy {
    /// Organization in the subject, Istio's trust domain.
    pub organization: String,
    /// Istio's `CITADEL_SELF_SIGNED_CA_CERT_TTL`, ten years.
    pub ttl: Duration,
}

impl Default for RootPolicy {
    fn default() -> Self {
        RootPolicy { organization: "cluster.local".into(), ttl: Duration::from_secs(3650 * 24 * 3600) }
    }
}

/// Key and certificates, PEM each.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The signing key.
    pub key: String,
    /// The signing certificate; with Kubernetes' names the chain follows it.
    pub certificate: String,
    /// The way up to the root; empty for a root.
    pub chain: String,
    /// Whom peers trust; the certificate itself where nothing was given.
    pub roots: String,
}

impl Bundle {
    /// Finds the texts by their names; `None` if there is no key. An empty text counts as none.
    ///
    /// # Errors
    /// What `read` says, or a key without a certificate.
    pub fn find(
        mut read: impl FnMut(&str) -> Result<Option<String>, String>,
    ) -> Result<Option<Self>, String> {
        let mut read = |name: &str| match name {
            "" => Ok(None),
            name => read(name).map(|text| text.filter(|text| !text.trim().is_empty())),
        };
        for [key, certificate, chain, roots] in [ISTIO, KUBERNETES] {
            let Some(key) = read(key)? else { continue };
            let name = certificate;
            let certificate = read(name)?.ok_or_else(|| format!("there is a key but no {name}"))?;
            let chain = if chain.is_empty() { Some(certificate.clone()) } else { read(chain)? };
            // A self-signed CA is its own root.
            let roots = read(roots)?.unwrap_or_else(|| certificate.clone());
            return Ok(Some(Bundle { key, certificate, chain: chain.unwrap_or_default(), roots }));
        }
        Ok(None)
    }

    /// A new self-signed P-256 root.
    ///
    /// # Errors
    /// The organization cannot stand in a certificate.
    pub fn create(policy: &RootPolicy, now: SystemTime) -> Result<Self, String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
        let root = template::root(&policy.organization, now, policy.ttl);
        let certificate = root.self_signed(&key).map_err(|e| e.to_string())?.pem();
        let (key, roots) = (key.serialize_pem(), certificate.clone());
        Ok(Bundle { key, certificate, chain: String::new(), roots })
    }

    /// The same root key with a new certificate: whoever trusts the old one trusts the new one.
    ///
    /// # Errors
    /// As [`Bundle::create`].
    pub fn renewed(&self, policy: &RootPolicy, now: SystemTime) -> Result<Self, String> {
        let certificate = self.authority()?.renewed(&policy.organization, now, policy.ttl)?;
        let (key, roots) = (self.key.clone(), certificate.clone());
        Ok(Bundle { key, certificate, chain: String::new(), roots })
    }

    /// What signs with it, if everything fits together.
    ///
    /// # Errors
    /// The text that is wrong, by Istio's name of it.
    pub fn authority(&self) -> Result<Authority, String> {
        Authority::new(&self.key, &self.certificate, &self.chain, &self.roots)
    }

    /// The texts with Istio's names, the key last: whoever finds it finds the rest, too.
    pub fn entries(&self) -> [(&'static str, &str); 4] {
        let [key, certificate, chain, roots] = ISTIO;
        [(certificate, &self.certificate), (chain, &self.chain), (roots, &self.roots), (key, &self.key)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn find(texts: &[(&str, &str)]) -> Result<Option<Bundle>, String> {
        let texts: BTreeMap<&str, &str> = texts.iter().copied().collect();
        Bundle::find(|name| Ok(texts.get(name).map(|text| (*text).to_owned())))
    }

    #[test]
    fn both_ways_of_naming_are_understood_and_empty_is_absent() {
        let made = Bundle::create(&RootPolicy::default(), SystemTime::now()).unwrap();
        let found = find(&made.entries()).unwrap().unwrap();
        assert!(found.authority().unwrap().is_self_signed());
        assert!(found == made);
        // As Istio writes it: places for a workload's key, and no roots.
        let [key, cert] = [made.key.as_str(), made.certificate.as_str()];
        let istio = [("ca-key.pem", key), ("ca-cert.pem", cert), ("root-cert.pem", ""), ("key.pem", "")];
        assert_eq!(find(&istio).unwrap().unwrap().roots, made.certificate);
        let kubernetes = [("tls.key", key), ("tls.crt", cert), ("ca.crt", cert), ("ca-key.pem", "")];
        assert!(find(&kubernetes).unwrap().unwrap().authority().is_ok());
        assert!(find(&[("root-cert.pem", cert)]).unwrap().is_none());
        assert!(find(&[("tls.key", key)]).err().unwrap().contains("tls.crt"));
    }

    #[test]
    fn a_renewed_root_keeps_its_key() {
        let now = SystemTime::now();
        let made = Bundle::create(&RootPolicy::default(), now).unwrap();
        let renewed = made.renewed(&RootPolicy::default(), now + Duration::from_secs(3600)).unwrap();
        assert_eq!(renewed.key, made.key);
        assert!(renewed.certificate != made.certificate && renewed.roots == renewed.certificate);
    }
}
