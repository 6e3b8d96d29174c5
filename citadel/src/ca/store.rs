//! The CA's files.
//!
//! In: a directory. Out: an [`Authority`], from files with the names of [`Bundle`]. If nothing is there, a self-signed
//! P-256 root is made and kept, the key readable by its owner only.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::authority::Authority;
use super::bundle::{Bundle, ISTIO, RootPolicy};

/// Where an authority came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Read from where it is kept.
    Loaded,
    /// Made just now.
    Created,
}

/// Reads the authority in `dir`; `None` if there is no key.
pub fn load(dir: &Path) -> Result<Option<Authority>, String> {
    let tell = |error: String| format!("{}: {error}", dir.display());
    let found = Bundle::find(|name| read(dir, name)).map_err(tell)?;
    found.map(|bundle| bundle.authority().map_err(tell)).transpose()
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
    let made = Bundle::create(policy, now)?;
    let authority = made.authority()?;
    write(dir, &made)?;
    Ok((authority, Found::Created))
}

/// Renews a self-signed root with the same key and writes it.
pub fn renew_root(dir: &Path, policy: &RootPolicy, now: SystemTime) -> Result<Authority, String> {
    let gone = || format!("{}: the key is gone", dir.display());
    let renewed = Bundle::find(|name| read(dir, name))?.ok_or_else(gone)?.renewed(policy, now)?;
    write(dir, &renewed)?;
    renewed.authority()
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

fn write(dir: &Path, bundle: &Bundle) -> Result<(), String> {
    for (name, text) in bundle.entries().into_iter().filter(|(_, text)| !text.is_empty()) {
        let path = dir.join(name);
        // Certificates are for everybody.
        let mode = if name == ISTIO[0] { 0o600 } else { 0o644 };
        replace(&path, text.as_bytes(), mode)
            .map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
    }
    Ok(())
}

/// A file's text; none where there is no file.
pub fn read(dir: &Path, name: &str) -> Result<Option<String>, String> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
