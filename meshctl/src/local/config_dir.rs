//! The folder from which pilot learns: one file per object, each written whole.
//!
//! In: all objects that a control plane would read from an API server. Out: files that differ are replaced, files of
//! objects that have gone are removed. Writing the same again does nothing, so pilot sees only changes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::paths::write_whole;

/// The folder and what it holds.
pub struct ConfigDir {
    dir: PathBuf,
    files: HashMap<String, Vec<u8>>,
}

impl ConfigDir {
    /// Takes an empty folder; what an earlier mesh left in it is removed.
    pub fn new(dir: PathBuf) -> Result<Self> {
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        for entry in entries.flatten() {
            fs::remove_file(entry.path()).with_context(|| format!("empty {}", dir.display()))?;
        }
        Ok(Self { dir, files: HashMap::new() })
    }

    /// Makes the folder hold exactly these objects.
    pub fn write(&mut self, objects: impl IntoIterator<Item = Value>) -> io::Result<()> {
        let mut wanted = HashMap::new();
        for object in objects {
            let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let (api, kind) = (word("/apiVersion"), word("/kind"));
            let group = api.split_once('/').map_or("core", |(group, _)| group);
            let (namespace, name) = (word("/metadata/namespace"), word("/metadata/name"));
            let file = format!("{kind}.{group}_{namespace}_{name}.json").to_lowercase();
            wanted.insert(file, serde_json::to_vec(&object)?);
        }
        for (file, bytes) in &wanted {
            if self.files.get(file) != Some(bytes) {
                write_whole(&self.dir.join(file), bytes)?;
            }
        }
        for file in self.files.keys().filter(|file| !wanted.contains_key(*file)) {
            match fs::remove_file(self.dir.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.files = wanted;
        Ok(())
    }
}
