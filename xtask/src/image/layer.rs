//! The one layer of an image: a tar whose bytes depend on nothing but what is in it.
//!
//! In: entries. Out: a ustar archive with every path in order, time 0, owner root. `standard` says what every image of
//! ours has: its program, links to it, the files that a C library and TLS ask for, and a place for scratch files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

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

/// The tar.
pub(crate) fn pack(entries: &Entries) -> Vec<u8> {
    let mut tar = Vec::new();
    let mut folders = std::collections::BTreeSet::new();
    for (path, entry) in entries {
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).expect("a slash is one byte");
            if folders.insert(above) && !entries.contains_key(above) {
                append(&mut tar, above, &Entry::Folder { mode: 0o755 });
            }
        }
        append(&mut tar, path, entry);
    }
    finish(&mut tar);
    tar
}

/// Appends one entry: a header of 512 bytes, then contents in whole blocks.
fn append(tar: &mut Vec<u8>, path: &str, entry: &Entry) {
    let (kind, mode, target, contents) = match entry {
        Entry::File { mode, contents } => (b'0', *mode, "", contents.as_slice()),
        Entry::Folder { mode } => (b'5', *mode, "", &[][..]),
        Entry::Link(target) => (b'2', 0o777, target.as_str(), &[][..]),
    };
    let slash = if kind == b'5' { "/" } else { "" };
    header(tar, &format!("{path}{slash}"), kind, mode, target, contents.len());
    tar.extend_from_slice(contents);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// A file of an archive that is no layer.
pub(crate) fn append_file(tar: &mut Vec<u8>, path: &str, contents: &[u8]) {
    header(tar, path, b'0', 0o644, "", contents.len());
    tar.extend_from_slice(contents);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Two empty blocks end an archive.
pub(crate) fn finish(tar: &mut Vec<u8>) {
    tar.resize(tar.len() + 1024, 0);
}

fn header(tar: &mut Vec<u8>, path: &str, kind: u8, mode: u32, target: &str, size: usize) {
    assert!(path.len() <= 100 && target.len() <= 100, "{path}: names of our images are short");
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        block.iter_mut().skip(at).zip(bytes).for_each(|(into, byte)| *into = *byte);
    };
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    for owner in [108, 116] {
        put(owner, b"0000000");
    }
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    // The sum is taken with blanks in its own place.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()).for_each(|(into, byte)| *into = byte);
    tar.extend_from_slice(&block);
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
