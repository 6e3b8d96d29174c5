//! The folder from which pilot learns: one file per object, each written whole.
//!
//! In: all objects that a control plane would read from an API server. Out: files that differ are replaced, files of
//! objects that have gone are removed. Writing the same again does nothing, so pilot sees only changes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::paths::write_whole;

/// The folder and what it holds.
pub struct ConfigDir {
    dir: PathBuf,
    files: HashMap<String, Vec<u8>>,
    versions: BTreeMap<String, String>,
}

impl ConfigDir {
    /// Takes an empty folder; what an earlier mesh left in it is removed.
    pub fn new(dir: PathBuf) -> Result<Self> {
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        for entry in entries.flatten() {
            fs::remove_file(entry.path()).with_context(|| format!("empty {}", dir.display()))?;
        }
        Ok(Self { dir, files: HashMap::new(), versions: BTreeMap::new() })
    }

    /// Makes the folder hold exactly these objects.
    pub fn write(&mut self, objects: impl IntoIterator<Item = Value>) -> io::Result<()> {
        let mut wanted = HashMap::new();
        let mut versions = BTreeMap::new();
        for mut object in objects {
            stamp(&mut object);
            let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let (api, kind) = (word("/apiVersion"), word("/kind"));
            let group = api.split_once('/').map_or("core", |(group, _)| group);
            let (namespace, name) = (word("/metadata/namespace"), word("/metadata/name"));
            let file = format!("{kind}.{group}_{namespace}_{name}.json").to_lowercase();
            let full = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
            versions.insert(format!("{kind} {full}"), word("/metadata/resourceVersion").to_owned());
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
        self.versions = versions;
        Ok(())
    }

    /// The versions of all objects, as pilot will tell them once it has read them.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.versions.clone()
    }
}

/// Objects that the mesh makes by itself have no version; their content stands for it.
fn stamp(object: &mut Value) {
    if object.pointer("/metadata/resourceVersion").is_some_and(|version| version != "") {
        return;
    }
    let mut hasher = DefaultHasher::new();
    object.to_string().hash(&mut hasher);
    object["metadata"]["resourceVersion"] = Value::String(hasher.finish().to_string());
}
