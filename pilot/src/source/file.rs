//! A directory of YAML and JSON files as a source.
//!
//! In: a folder, read with its subfolders. Out: one complete batch first, then one batch per wave of file changes.
//! A file that becomes unreadable, or an object in it that becomes wrong, leaves the last good version in force; the
//! finding says so. `FileSource` is a plain state machine over `scan()`; `watch` adds the kernel's notices.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::{AnyObject, Code, Finding, Findings, Key, Severity};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{Batch, Change};

/// Waves of notices closer together than this are read as one: editors write a file in several steps.
const SETTLE: Duration = Duration::from_millis(4);

/// What a file looked like when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// One file that was read.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    objects: BTreeMap<Key, Arc<AnyObject>>,
    findings: Findings,
}

/// The files of a folder and what they held when last read.
#[derive(Debug)]
pub struct FileSource {
    root: PathBuf,
    files: BTreeMap<PathBuf, Known>,
}

impl FileSource {
    /// A source over `root`; nothing is read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), files: BTreeMap::new() }
    }

    /// Reads what changed since the last scan.
    ///
    /// # Errors
    /// The folder itself cannot be listed. A file that cannot be read is a finding instead.
    pub fn scan(&mut self) -> io::Result<Batch> {
        let mut present = BTreeMap::new();
        list(&self.root, &mut present)?;
        let before = self.objects();
        self.files.retain(|path, _| present.contains_key(path));
        for (path, stamp) in present {
            if self.files.get(&path).is_none_or(|known| known.stamp != stamp) {
                let previous = self.files.remove(&path).map(|known| known.objects).unwrap_or_default();
                let known = read(&path, stamp, previous);
                self.files.insert(path, known);
            }
        }
        Ok(self.difference(&before))
    }

    /// Every object, by key. Of two files that hold the same object the first by path wins.
    fn objects(&self) -> BTreeMap<Key, Arc<AnyObject>> {
        let mut all = BTreeMap::new();
        for known in self.files.values() {
            for (key, object) in &known.objects {
                all.entry(key.clone()).or_insert_with(|| object.clone());
            }
        }
        all
    }

    fn difference(&self, before: &BTreeMap<Key, Arc<AnyObject>>) -> Batch {
        let after = self.objects();
        let mut batch = Batch { changes: Vec::new(), findings: self.findings() };
        for (key, object) in &after {
            if before.get(key).is_none_or(|old| !Arc::ptr_eq(old, object) && old != object) {
                batch.changes.push(Change::Apply(object.clone()));
            }
        }
        for key in before.keys().filter(|key| !after.contains_key(key)) {
            batch.changes.push(Change::Delete(key.clone()));
        }
        batch
    }

    fn findings(&self) -> Findings {
        let mut all = Findings::new();
        let mut seen: BTreeMap<&Key, &Path> = BTreeMap::new();
        for (path, known) in &self.files {
            known.findings.iter().for_each(|finding| all.push(finding.clone()));
            for (key, object) in &known.objects {
                if let Some(first) = seen.get(key) {
                    let message =
                        format!("is ignored: {} holds the same object; delete one", first.display());
                    let origin = object.origin();
                    all.push(
                        Finding::new(Code::DuplicateObject, message)
                            .about(key.clone())
                            .at(&origin.file, origin.line),
                    );
                } else {
                    seen.insert(key, path);
                }
            }
        }
        all
    }
}

/// Reads one file. Objects that have errors now keep their previous version.
fn read(path: &Path, stamp: Stamp, previous: BTreeMap<Key, Arc<AnyObject>>) -> Known {
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let mut findings = Findings::new();
            findings
                .push(Finding::new(Code::Syntax, format!("the file cannot be read: {error}")).at(&file, 0));
            return Known { stamp, objects: previous, findings };
        }
    };
    let parsed = api::parse(&file, &text);
    let mut objects: BTreeMap<Key, Arc<AnyObject>> = BTreeMap::new();
    for object in parsed.objects {
        objects.insert(object.key(), Arc::new(object));
    }
    let errors = || parsed.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let broken: BTreeSet<&Key> = errors().filter_map(|finding| finding.object.as_ref()).collect();
    // A document too broken to say what it is may be any of the objects that are missing now.
    let unknown = errors().any(|finding| finding.object.is_none());
    for (key, object) in previous {
        if broken.contains(&key) || unknown {
            objects.entry(key).or_insert(object);
        }
    }
    Known { stamp, objects, findings: parsed.findings }
}

/// Every YAML and JSON file below a folder, hidden ones left out.
fn list(folder: &Path, into: &mut BTreeMap<PathBuf, Stamp>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // A file may be gone between the listing and this look: then it is as if it had not been listed.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if hidden {
            continue;
        } else if metadata.is_dir() {
            match list(&path, into) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => continue,
            }
        }
        let wanted = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if wanted {
            let stamp =
                Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() };
            into.insert(path, stamp);
        }
    }
    Ok(())
}

/// Sends the complete first batch, then a batch per wave of changes, until the receiver is gone.
///
/// # Errors
/// The folder cannot be read or watched.
pub async fn watch(root: PathBuf, batches: mpsc::Sender<Batch>) -> anyhow::Result<()> {
    let (notices, mut noticed) = mpsc::channel::<()>(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too; answering it with a scan would never end.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            // A full channel means that a scan is due anyway.
            notices.try_send(()).ok();
        }
    })?;
    watcher.watch(&root, RecursiveMode::Recursive)?;
    let mut source = FileSource::new(&root);
    let mut first = true;
    loop {
        let batch = match source.scan() {
            Ok(batch) => batch,
            Err(error) if first => return Err(anyhow::anyhow!("{}: {error}", root.display())),
            Err(error) => {
                tracing::warn!(folder = %root.display(), %error, "the folder cannot be read; what was read stays");
                Batch::default()
            }
        };
        if (first || !batch.is_empty() || !batch.findings.is_empty()) && batches.send(batch).await.is_err() {
            return Ok(());
        }
        first = false;
        if noticed.recv().await.is_none() {
            return Ok(());
        }
        tokio::time::sleep(SETTLE).await;
        while noticed.try_recv().is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str =
        "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}\n";

    fn folder() -> PathBuf {
        let unique = format!("pilot-source-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique.replace(['(', ')'], ""));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn names(batch: &Batch) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::Apply(object) => format!("+{}", object.meta().name),
            Change::Pod(_) | Change::Slice(_) => unreachable!("files have objects"),
            Change::Delete(key) => format!("-{}", key.name),
        };
        batch.changes.iter().map(name).collect()
    }

    #[test]
    fn a_broken_object_leaves_its_last_good_version_and_is_named() {
        let folder = folder();
        let file = folder.join("a.yaml");
        std::fs::write(
            &file,
            format!("{}---\n{}", SERVICE.replace("NAME", "a"), SERVICE.replace("NAME", "b")),
        )
        .unwrap();
        let mut source = FileSource::new(&folder);
        assert_eq!(names(&source.scan().unwrap()), ["+a", "+b"]);
        assert!(source.scan().unwrap().is_empty(), "nothing changed");

        let broken = SERVICE.replace("NAME", "a").replace("80", "eighty");
        std::fs::write(&file, format!("{broken}---\n{}", SERVICE.replace("NAME", "c"))).unwrap();
        let batch = source.scan().unwrap();
        assert_eq!(names(&batch), ["+c", "-b"], "a stays as it was, b is gone, c is new");
        assert!(batch.findings.iter().any(|f| f.line == 4 || f.line == 3), "{:?}", batch.findings);

        std::fs::remove_file(&file).unwrap();
        assert_eq!(names(&source.scan().unwrap()), ["-a", "-c"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn a_watched_folder_says_what_changed() {
        let folder = folder();
        let (sender, mut batches) = mpsc::channel(4);
        let watching = tokio::spawn(watch(folder.clone(), sender));
        assert!(batches.recv().await.unwrap().is_empty(), "the first batch comes even when empty");
        std::fs::write(folder.join(".part"), "").unwrap();
        std::fs::write(folder.join("x.yaml.tmp"), SERVICE.replace("NAME", "x")).unwrap();
        std::fs::rename(folder.join("x.yaml.tmp"), folder.join("x.yaml")).unwrap();
        assert_eq!(names(&batches.recv().await.unwrap()), ["+x"]);
        watching.abort();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
