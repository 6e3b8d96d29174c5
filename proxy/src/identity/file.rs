//! A certificate from files that somebody else keeps fresh, and ours in files for somebody else.
//!
//! In: a folder with `cert-chain.pem`, `key.pem`, `root-cert.pem`. Out: the same two secrets as from the CA. Read again
//! when a file changes; halves of a change (new key, old certificate) are not taken. Called by `keeper`.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::csr::Issued;
use crate::tls::Secret;

/// Lays a certificate down; each file is replaced as a whole.
pub(super) fn write(folder: &Path, issued: &Issued) -> io::Result<()> {
    for (name, text) in
        [("key.pem", &issued.key), ("cert-chain.pem", &issued.chain), ("root-cert.pem", &issued.roots)]
    {
        let part = folder.join(format!(".{name}"));
        let open =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        open?.write_all(text.as_bytes())?;
        std::fs::rename(&part, folder.join(name))?;
    }
    Ok(())
}

/// The two secrets of a folder.
pub(super) fn read(folder: &Path) -> Result<(Secret, Secret), String> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let pair = Secret::key_pair(&read("cert-chain.pem")?, &read("key.pem")?)?;
    Ok((pair, Secret::trust(&read("root-cert.pem")?)?))
}
