//! The CA's files.
//!
//! In: a directory. Out: an [`Authority`]. Istio's names: `ca-cert.pem`, `ca-key.pem`, `root-cert.pem`, and for a
//! plugged-in intermediate `cert-chain.pem`; or `tls.crt`, `tls.key`, `ca.crt` as Kubernetes writes them. If nothing is
//! there, a self-signed P-256 root is made and kept, the key readable by its owner only.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::authority::Authority;
use super::template;

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

/// Where an authority came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Read from disk.
    Loaded,
    /// Made just now.
    Created,
}

const ISTIO: [&str; 4] = ["ca-key.pem", "ca-cert.pem", "cert-chain.pem", "root-cert.pem"];
const KUBERNETES: [&str; 4] = ["tls.key", "tls.crt", "", "ca.crt"];

/// Reads the authority in `dir`; `None` if there is no key.
pub fn load(dir: &Path) -> Result<Option<Authority>, String> {
    for [key, certificate, chain, roots] in [ISTIO, KUBERNETES] {
        let Some(key) = read(dir, key)? else { continue };
        let must = |name: &str| {
            read(dir, name)?.ok_or_else(|| format!("{}: there is a key but no {name}", dir.display()))
        };
        let certificate = must(certificate)?;
        let chain = if chain.is_empty() { Some(certificate.clone()) } else { read(dir, chain)? };
        // A self-signed CA is its own root.
        let roots = read(dir, roots)?.unwrap_or_else(|| certificate.clone());
        let authority = Authority::new(&key, &certificate, &chain.unwrap_or_default(), &roots);
        return authority.map(Some).map_err(|e| format!("{}: {e}", dir.display()));
    }
    Ok(None)
}

/// Reads the authority in `dir`, or makes one.
pub fn load_or_create(
    dir: &Path,
    policy: &RootPolicy,
    now: SystemTime,
) -> Result<(Authority, Found), String> {
    if let Some(authority) = load(dir)? {
        return Ok((authority, Found::Loaded));
    }
    fs::create_dir_all(dir).map_err(|e| format!("{} cannot be made: {e}", dir.display()))?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
    let root =
        template::root(&policy.organization, now, policy.ttl).self_signed(&key).map_err(|e| e.to_string())?;
    let (key, certificate) = (key.serialize_pem(), root.pem());
    let authority = Authority::new(&key, &certificate, "", &certificate)?;
    // The key last: whoever finds it finds the rest, too.
    write(dir, ISTIO[1], certificate.as_bytes())?;
    write(dir, ISTIO[3], certificate.as_bytes())?;
    write(dir, ISTIO[0], key.as_bytes())?;
    Ok((authority, Found::Created))
}

/// Renews a self-signed root with the same key and writes it.
pub fn renew_root(
    dir: &Path,
    authority: &Authority,
    policy: &RootPolicy,
    now: SystemTime,
) -> Result<Authority, String> {
    let certificate = authority.renewed(&policy.organization, now, policy.ttl)?;
    write(dir, ISTIO[1], certificate.as_bytes())?;
    write(dir, ISTIO[3], certificate.as_bytes())?;
    load(dir)?.ok_or_else(|| format!("{}: the key is gone", dir.display()))
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace(path, bytes, 0o600)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    let path = dir.join(name);
    // Certificates are for everybody.
    let mode = if name == ISTIO[0] { 0o600 } else { 0o644 };
    replace(&path, bytes, mode).map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

fn read(dir: &Path, name: &str) -> Result<Option<String>, String> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
