//! Judges that are published as Go modules only: each is built once into the test equipment, with its own version.
//!
//! In: a module and its version. Out: where the program is, or why it is not there. Called by `helm` and by the stage
//! `planes`. Go's module proxy is asked through the ordinary `go install`; without Go, or where the modules cannot be had,
//! the tests that need the program count as skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::sh;

/// A program that Go builds.
pub(crate) struct GoTool {
    /// Of the program, and of its folder.
    pub(crate) name: &'static str,
    /// The package with its version.
    pub(crate) module: &'static str,
    /// Names a program that is there already.
    pub(crate) variable: &'static str,
}

impl GoTool {
    /// Where it is, or why it is not there; `build`: it is made now if it must be.
    pub(crate) fn find(&self, build: bool) -> Result<Result<PathBuf, String>> {
        if let Some(program) = std::env::var_os(self.variable) {
            return Ok(Ok(program.into()));
        }
        let name = self.name;
        let dir = sh::target_dir().join("equipment").join(name);
        let program = dir.join(name);
        let stamp = dir.join("stamp");
        if std::fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == self.module) {
            return Ok(Ok(program));
        }
        let go = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !go.is_ok_and(|status| status.success()) {
            return Ok(Err(format!("{name} is built with Go, and there is no go on the PATH")));
        }
        if !build {
            return Ok(Err(format!("{name} is not built yet; the stage that uses it builds it, once")));
        }
        eprintln!("building {name} ({}), once", self.module);
        if let Err(error) = self.install(&dir) {
            eprintln!("{error:#}");
            return Ok(Err(format!("{name} cannot be built")));
        }
        std::fs::write(&stamp, self.module)?;
        Ok(Ok(program))
    }

    /// Go's caches for it are large and of no further use: they go when it is built.
    fn install(&self, dir: &Path) -> Result<()> {
        let cache = dir.join("cache");
        std::fs::create_dir_all(&cache)?;
        let mut go = Command::new("go");
        go.args(["install", "-trimpath", "-ldflags", "-s -w", self.module]);
        go.env("GOBIN", dir).env("GOCACHE", cache.join("build")).env("GOMODCACHE", cache.join("mod"));
        // Modules are kept writable, so that they can be removed again.
        go.env("GOFLAGS", "-modcacherw").env("CGO_ENABLED", "0");
        let built = sh::run(&mut go).with_context(|| format!("build {}", self.name));
        std::fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
        built
    }
}
