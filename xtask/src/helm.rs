//! A real Helm, which judges our charts: built once from its Go module into the test equipment.
//!
//! It takes Go and about four minutes of one core, once. Where there is no Go, or its modules cannot be had, the tests that need
//! Helm count as skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::sh;
use crate::stages::{Counts, counted};
use crate::test::cargo_test;

const MODULE: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";

/// Tests that need Helm.
const TESTS: usize = 1;

/// Tests of the charts with Helm, where it is there or can be built.
pub(crate) fn test() -> Result<Counts> {
    match find(true)? {
        Ok(helm) => {
            let mut cargo = cargo_test(&["charts".to_owned()]);
            cargo.args(["--", "--ignored"]);
            counted(cargo.env("MESH_HELM", helm))
        }
        Err(why) => {
            eprintln!("{why}: {TESTS} test skipped");
            Ok(Counts { ignored: TESTS, ..Counts::default() })
        }
    }
}

/// Rewrites the charts' golden files, if there is a Helm.
pub(crate) fn bless() -> Result<()> {
    match find(false)? {
        Ok(helm) => {
            let mut cargo = cargo_test(&["charts".to_owned()]);
            cargo.args(["--", "--include-ignored"]);
            sh::run(cargo.env("MESH_HELM", helm).env("BLESS", "1"))
        }
        Err(why) => {
            eprintln!("{why}: the golden files of the charts stay as they are");
            Ok(())
        }
    }
}

/// Where Helm is, or why it is not there.
fn find(build: bool) -> Result<Result<PathBuf, &'static str>> {
    if let Some(helm) = std::env::var_os("MESH_HELM") {
        return Ok(Ok(helm.into()));
    }
    let dir = sh::target_dir().join("equipment/helm");
    let helm = dir.join("helm");
    let stamp = dir.join("stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == MODULE) {
        return Ok(Ok(helm));
    }
    let go = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !go.is_ok_and(|status| status.success()) {
        return Ok(Err("Helm is built with Go, and there is no go on the PATH"));
    }
    if !build {
        return Ok(Err("Helm is not built yet; `cargo xtask test charts` builds it, in minutes, once"));
    }
    eprintln!("building Helm ({MODULE}), minutes, once");
    if let Err(error) = install(&dir) {
        eprintln!("{error:#}");
        return Ok(Err("Helm cannot be built"));
    }
    std::fs::write(&stamp, MODULE)?;
    Ok(Ok(helm))
}

/// Go's caches for it are large and of no further use: they go when it is built.
fn install(dir: &Path) -> Result<()> {
    let cache = dir.join("cache");
    std::fs::create_dir_all(&cache)?;
    let mut go = Command::new("go");
    go.args(["install", "-trimpath", "-ldflags", "-s -w", MODULE]);
    go.env("GOBIN", dir).env("GOCACHE", cache.join("build")).env("GOMODCACHE", cache.join("mod"));
    // Modules are kept writable, so that they can be removed again.
    go.env("GOFLAGS", "-modcacherw").env("CGO_ENABLED", "0");
    let built = sh::run(&mut go).context("build Helm");
    std::fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
    built
}
