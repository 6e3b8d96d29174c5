//! A certificate from files that somebody else keeps fresh.
//!
//! In: a folder with `cert-chain.pem`, `key.pem`, `root-cert.pem`. Out: the same two secrets as from the CA. Read again
//! when a file changes; halves of a change (new key, old certificate) are not taken.

use std::path::Path;

use crate::tls::Secret;

/// The two secrets of a folder.
pub(super) fn read(folder: &Path) -> Result<(Secret, Secret), String> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let pair = Secret::key_pair(&read("cert-chain.pem")?, &read("key.pem")?)?;
    Ok((pair, Secret::trust(&read("root-cert.pem")?)?))
}
