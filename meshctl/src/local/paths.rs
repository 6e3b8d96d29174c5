//! Where a mesh keeps its things on the host.
//!
//! In: the name of the mesh and the XDG variables. Out: paths. State that outlives the mesh (CA, token key,
//! address table, last objects, logs) is apart from what ends with it (control socket, files of pods).

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folders of one mesh.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Name of the mesh.
    pub name: String,
    /// Outlives the mesh.
    pub state: PathBuf,
    /// Ends with the mesh.
    pub runtime: PathBuf,
    pods: PathBuf,
}

impl Paths {
    /// The folders of the mesh called `name`; nothing is made yet.
    pub fn of(name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
            bail!("{name:?} is no name for a mesh: use letters, digits, '-', '_' and '.'");
        }
        let uid = nix::unistd::getuid();
        let temporary = PathBuf::from(format!("/tmp/meshctl-{uid}"));
        let runtime = absolute("XDG_RUNTIME_DIR").filter(|dir| writable(dir)).map(|dir| dir.join("meshctl"));
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").filter(|home| writable(home)).map(|home| home.join(".local/state")))
            .map_or_else(|| temporary.join("state"), |dir| dir.join("meshctl"));
        let runtime = runtime.unwrap_or(temporary);
        let runtime = runtime.join(name);
        Ok(Self { name: name.to_owned(), state: state.join(name), pods: runtime.join("pods"), runtime })
    }

    /// Names of other meshes that run here.
    pub fn running(but: &str) -> Result<Vec<String>> {
        let own = Self::of(but)?;
        let folders = own.runtime.parent().and_then(|folder| fs::read_dir(folder).ok());
        let names =
            folders.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let runs = |name: &String| {
            let socket = Self::of(name).map(|paths| paths.control());
            name != but && socket.is_ok_and(|socket| UnixStream::connect(socket).is_ok())
        };
        let mut names: Vec<String> = names.filter(runs).collect();
        names.sort();
        Ok(names)
    }

    /// Makes the folders, readable by their owner alone.
    pub fn make(&self) -> Result<()> {
        for dir in [
            self.state.clone(),
            self.runtime.clone(),
            self.logs(),
            self.ca(),
            self.config(),
            self.pods.clone(),
        ] {
            private_dir(&dir)?;
        }
        Ok(())
    }

    /// Socket of the running mesh.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }

    /// Files that pods see: volumes, tokens, hosts.
    #[must_use]
    pub fn pods(&self) -> &Path {
        &self.pods
    }

    /// One file per object, which pilot reads.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.runtime.join("config")
    }

    /// The certificate authority's folder.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.state.join("ca")
    }

    /// Logs of containers.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn writable(dir: &Path) -> bool {
    nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Makes a folder and its parents for the owner alone, and refuses one that is somebody else's.
pub fn private_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("make {}", dir.display()))?;
    let owner = fs::metadata(dir)?.uid();
    if owner != nix::unistd::getuid().as_raw() {
        bail!("{} belongs to user {owner}", dir.display());
    }
    Ok(())
}

/// Writes a file whole or not at all; readers see the old or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let temporary = path.with_file_name(format!(".{name}.new"));
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}
