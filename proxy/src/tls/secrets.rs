//! Key material by name, as it is now.
//!
//! In: certificates from the identity keeper, from ADS, from files, inline ones of the configuration. Out: the
//! current [`Secret`] of a [`SecretSource`]. Looked up at handshake time, so that a rotation or a late secret
//! changes no listener and no cluster; [`Secrets::version`] grows with each change and keys the caches of rustls
//! objects. Never prints a key.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::sign::CertifiedKey;

use super::{SecretSource, provider, verify};

/// A certificate chain with its key.
pub struct KeyMaterial {
    /// What rustls signs with.
    pub certified: Arc<CertifiedKey>,
    /// SPIFFE id or first URI SAN of the leaf.
    pub principal: Option<Arc<str>>,
    key_pem: Vec<u8>,
}

impl KeyMaterial {
    /// The key itself. For the SDS server alone.
    pub(crate) fn key_pem(&self) -> &[u8] {
        &self.key_pem
    }
}

impl fmt::Debug for KeyMaterial {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({:?})", self.principal)
    }
}

/// Trust anchors.
pub struct Roots {
    /// Parsed anchors, in order of the bundle.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// The certificates they came from.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.certificates.len())
    }
}

/// One secret: a certificate with key, or a trust bundle.
#[derive(Debug, Default)]
pub struct Secret {
    /// Set for key pairs.
    pub certificate: Option<Arc<KeyMaterial>>,
    /// Set for trust bundles.
    pub roots: Option<Arc<Roots>>,
    /// PEM of the certificates (never the key), for dumps.
    pub pem: Vec<u8>,
    /// When it came.
    pub updated: Option<SystemTime>,
    /// `version_info` of the resource, or a count.
    pub version: Arc<str>,
}

/// Why there is no usable secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Referenced, but not delivered so far.
    #[error("secret {0:?} is not here yet")]
    Missing(Arc<str>),
    /// It is there and is of the other kind.
    #[error("secret {name:?} holds no {wanted}")]
    Kind { name: Arc<str>, wanted: &'static str },
    /// It does not parse.
    #[error("secret {name:?}: {reason}")]
    Broken { name: Arc<str>, reason: String },
}

impl Secret {
    /// A key pair from PEM.
    pub fn key_pair(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let key_pem = key.to_vec();
        let certificates = certificates(chain)?;
        if certificates.is_empty() {
            return Err("no certificate in the PEM text".into());
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| format!("private key: {e}"))?;
        let key = provider().key_provider.load_private_key(key).map_err(|e| format!("private key: {e}"))?;
        let certified = CertifiedKey::new(certificates, key);
        certified.keys_match().map_err(|e| format!("key and certificate do not belong together: {e}"))?;
        let principal = certified.cert.first().and_then(|leaf| verify::Names::of(leaf).ok()?.principal());
        let certificate = Some(Arc::new(KeyMaterial { certified: Arc::new(certified), principal, key_pem }));
        Ok(Secret { certificate, pem: chain.to_vec(), updated: Some(SystemTime::now()), ..Secret::default() })
    }

    /// A trust bundle from PEM.
    pub fn trust(bundle: &[u8]) -> Result<Self, String> {
        let certificates = certificates(bundle)?;
        if certificates.is_empty() {
            return Err("no certificate in the PEM text".into());
        }
        let mut anchors = Vec::with_capacity(certificates.len());
        for certificate in &certificates {
            let anchor =
                webpki::anchor_from_trusted_cert(certificate).map_err(|e| format!("trust anchor: {e}"))?;
            anchors.push(anchor.to_owned());
        }
        let roots = Some(Arc::new(Roots { anchors, certificates }));
        Ok(Secret { roots, pem: bundle.to_vec(), updated: Some(SystemTime::now()), ..Secret::default() })
    }

    /// What an inline source holds, or the files that a source names.
    pub fn load(source: &SecretSource) -> Result<Self, String> {
        match source {
            SecretSource::Inline { chain, key } if key.is_empty() => Secret::trust(chain),
            SecretSource::Inline { chain, key } => Secret::key_pair(chain, key),
            other => {
                let (chain, key) = files_of(other).ok_or("neither inline nor in files")?;
                let read = |path: &str| std::fs::read(path).map_err(|e| format!("{path}: {e}"));
                match key.as_str() {
                    "" => Secret::trust(&read(&chain)?),
                    key => Secret::key_pair(&read(&chain)?, &read(key)?),
                }
            }
        }
    }

    /// The same with a version for dumps.
    pub fn versioned(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }
}

/// The table. Clones are the same table.
#[derive(Clone, Default)]
pub struct Secrets {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    table: RwLock<HashMap<SecretSource, Entry>>,
    version: AtomicU64,
    pub(super) clients: super::client::Cache,
    pub(super) servers: super::server::Cache,
}

struct Entry {
    secret: Arc<Secret>,
    /// Modification times of the files, for [`SecretSource::Files`].
    modified: Vec<Option<SystemTime>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.inner.table.read().len())
    }
}

impl Secrets {
    /// An empty table.
    pub fn new() -> Self {
        Secrets::default()
    }

    /// Puts or replaces one; the next handshake uses it.
    pub fn put(&self, source: SecretSource, secret: Secret) {
        let modified = Vec::new();
        self.inner.table.write().insert(source, Entry { secret: Arc::new(secret), modified });
        self.inner.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets one (withdrawn by its server).
    pub fn remove(&self, source: &SecretSource) {
        self.inner.table.write().remove(source);
        self.inner.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Acquire)
    }

    /// What is there now, for dumps.
    pub fn list(&self) -> Vec<(SecretSource, Arc<Secret>)> {
        let mut all: Vec<_> =
            self.inner.table.read().iter().map(|(s, e)| (s.clone(), e.secret.clone())).collect();
        all.sort_by_key(|(source, _)| name_of(source));
        all
    }

    /// The current secret of a source; inline and file secrets are read at their first use.
    pub fn get(&self, source: &SecretSource) -> Result<Arc<Secret>, SecretError> {
        if let Some(entry) = self.inner.table.read().get(source) {
            return Ok(entry.secret.clone());
        }
        let name = || name_of(source);
        if !matches!(source, SecretSource::Inline { .. }) && files_of(source).is_none() {
            return Err(SecretError::Missing(name()));
        }
        // Before the content: a file that changes in between is read once more, and never missed.
        let modified = modified_of(source);
        let secret = Secret::load(source).map_err(|reason| SecretError::Broken { name: name(), reason })?;
        let secret = Arc::new(secret);
        self.inner.table.write().insert(source.clone(), Entry { secret: secret.clone(), modified });
        Ok(secret)
    }

    /// The key pair of a source.
    pub fn certificate(&self, source: &SecretSource) -> Result<Arc<KeyMaterial>, SecretError> {
        let kind = || SecretError::Kind { name: name_of(source), wanted: "certificate with key" };
        self.get(source)?.certificate.clone().ok_or_else(kind)
    }

    /// The trust bundle of a source.
    pub fn roots(&self, source: &SecretSource) -> Result<Arc<Roots>, SecretError> {
        let kind = || SecretError::Kind { name: name_of(source), wanted: "trust bundle" };
        self.get(source)?.roots.clone().ok_or_else(kind)
    }

    /// Reads changed files again; a file that does not parse keeps its last good content. Called every few seconds.
    pub fn refresh_files(&self) {
        let stale: Vec<SecretSource> = {
            let table = self.inner.table.read();
            let changed =
                |(s, e): &(&SecretSource, &Entry)| !e.modified.is_empty() && modified_of(s) != e.modified;
            table.iter().filter(changed).map(|(s, _)| s.clone()).collect()
        };
        for source in stale {
            let modified = modified_of(&source);
            match Secret::load(&source) {
                Ok(secret) => {
                    let entry = Entry { secret: Arc::new(secret), modified };
                    self.inner.table.write().insert(source, entry);
                    self.inner.version.fetch_add(1, Ordering::AcqRel);
                }
                Err(reason) => {
                    tracing::warn!(
                        file = &*name_of(&source),
                        reason,
                        "certificate file kept its last good content"
                    )
                }
            }
        }
    }

    pub(super) fn clients(&self) -> &super::client::Cache {
        &self.inner.clients
    }

    pub(super) fn servers(&self) -> &super::server::Cache {
        &self.inner.servers
    }
}

/// The name of a source in messages and dumps.
pub(crate) fn name_of(source: &SecretSource) -> Arc<str> {
    match source {
        SecretSource::Identity(name) | SecretSource::Ads(name) => name.clone(),
        SecretSource::Inline { .. } => "inline".into(),
        SecretSource::Files { chain, .. } => chain.clone(),
    }
}

/// Files behind a source: its own, or those that Istio's agent names `file-cert:CHAIN~KEY` and `file-root:CA`.
fn files_of(source: &SecretSource) -> Option<(String, String)> {
    match source {
        SecretSource::Files { chain, key } => Some((chain.to_string(), key.to_string())),
        SecretSource::Identity(name) => {
            if let Some(pair) = name.strip_prefix("file-cert:") {
                let (chain, key) = pair.split_once('~')?;
                return Some((chain.into(), key.into()));
            }
            name.strip_prefix("file-root:").map(|root| (root.into(), String::new()))
        }
        _ => None,
    }
}

fn modified_of(source: &SecretSource) -> Vec<Option<SystemTime>> {
    let Some((chain, key)) = files_of(source) else { return Vec::new() };
    [chain, key].iter().map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok()).collect()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| format!("certificate: {e}"))
}
