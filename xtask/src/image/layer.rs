//! The one layer of an image: a tar whose bytes depend on nothing but what is in it.
//!
//! In: entries. Out: a ustar archive with every path in order, time 0, owner root. `standard` says what every image of
//! ours has: its program, links to it, the files that a C library and TLS ask for, and a place for scratch files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use super::catalog::Group;

/// Where distributions keep the public certificate authorities; images carry the bundle of the machine that built them.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// One thing at a path.
pub(crate) enum Entry {
    File { mode: u32, contents: Vec<u8> },
    Folder { mode: u32 },
    Link(String),
}

/// Paths without a leading slash. Folders above a path need no entry of their own.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// Everything that images of a group have.
pub(crate) fn standard(programs: &Path, group: &Group) -> Result<Entries> {
    let mut entries = Entries::new();
    let path = programs.join(group.binary);
    let contents = std::fs::read(&path).with_context(|| path.display().to_string())?;
    entries.insert(group.path.trim_start_matches('/').into(), Entry::File { mode: 0o755, contents });
    for link in &group.links {
        entries.insert(link.trim_start_matches('/').into(), Entry::Link(group.path.into()));
    }
    for (path, text) in [
        (
            "etc/passwd",
            "root:x:0:0::/:\napp:x:1000:1000::/:\nistio-proxy:x:1337:1337::/:\nnobody:x:65534:65534::/:\n",
        ),
        ("etc/group", "root:x:0:\napp:x:1000:\nistio-proxy:x:1337:\nnogroup:x:65534:\n"),
        // Without it a C library asks DNS before /etc/hosts.
        ("etc/nsswitch.conf", "hosts: files dns\n"),
    ] {
        entries.insert(path.into(), Entry::File { mode: 0o644, contents: text.into() });
    }
    match std::fs::read(Path::new("/").join(AUTHORITIES)) {
        Ok(contents) => drop(entries.insert(AUTHORITIES.into(), Entry::File { mode: 0o644, contents })),
        Err(error) => eprintln!(
            "/{AUTHORITIES}: {error}; TLS to servers with public certificates will not work in these images"
        ),
    }
    for folder in &group.folders {
        entries.insert(folder.trim_start_matches('/').into(), Entry::Folder { mode: 0o1777 });
    }
    Ok(entries)
}

/// The layer's bytes.
pub(crate) fn pack(entries: &Entries) -> Vec<u8> {
    let mut tar = Tar::default();
    let mut folders = std::collections::BTreeSet::new();
    for (path, entry) in entries {
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).expect("a slash is one byte");
            if folders.insert(above) && !entries.contains_key(above) {
                tar.append(above, &Entry::Folder { mode: 0o755 });
            }
        }
        tar.append(path, entry);
    }
    tar.finish()
}

/// A tar in memory: of time 0 and owner root, so that the same contents are the same bytes.
pub(crate) struct Tar(Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Tar(Builder::new(Vec::new()))
    }
}

impl Tar {
    fn append(&mut self, path: &str, entry: &Entry) {
        let mut header = Header::new_ustar();
        let (kind, mode) = match entry {
            Entry::File { mode, .. } => (EntryType::Regular, *mode),
            Entry::Folder { mode } => (EntryType::Directory, *mode),
            Entry::Link(_) => (EntryType::Symlink, 0o777),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        let done = match entry {
            Entry::File { contents, .. } => {
                header.set_size(contents.len() as u64);
                self.0.append_data(&mut header, path, &contents[..])
            }
            Entry::Folder { .. } => self.0.append_data(&mut header, format!("{path}/"), &[][..]),
            Entry::Link(target) => self.0.append_link(&mut header, path, target),
        };
        done.expect("memory takes everything, and paths of our images are sound");
    }

    /// A file of an archive that is no layer.
    pub(crate) fn file(&mut self, path: &str, contents: Vec<u8>) {
        self.append(path, &Entry::File { mode: 0o644, contents });
    }

    /// Its bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes everything")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(tar: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("layer-{}.tar", std::process::id()));
        std::fs::write(&path, tar).unwrap();
        let told =
            std::process::Command::new("tar").arg("-tvf").arg(&path).env("TZ", "UTC").output().unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap()
    }

    #[test]
    fn other_programs_read_it() {
        let entries = Entries::from([
            ("usr/bin/a".to_owned(), Entry::File { mode: 0o755, contents: vec![7; 513] }),
            ("usr/bin/b".to_owned(), Entry::Link("/usr/bin/a".into())),
            ("tmp".to_owned(), Entry::Folder { mode: 0o1777 }),
        ]);
        let told = listing(&pack(&entries));
        let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        let shown: Vec<(&str, &str)> = lines.iter().map(|words| (words[0], words[5])).collect();
        assert_eq!(
            shown,
            [
                ("drwxrwxrwt", "tmp/"),
                ("drwxr-xr-x", "usr/"),
                ("drwxr-xr-x", "usr/bin/"),
                ("-rwxr-xr-x", "usr/bin/a"),
                ("lrwxrwxrwx", "usr/bin/b"),
            ]
        );
        assert!(lines.iter().all(|words| words[3] == "1970-01-01"), "{told}");
        assert_eq!(lines[3][2], "513");
    }
}
