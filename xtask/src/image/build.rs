//! Static programs for images that hold nothing else.
//!
//! In: a cargo profile. Out: where the programs are. They are built for the machine's own GNU target with its C library
//! linked in, in a folder of their own because every dependency is compiled with other flags; glibc (2.34 and newer)
//! then looks names up by itself, by /etc/hosts and DNS, without loading anything.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Always built together: a part of them would have other features of the libraries, which would all be built again.
const CRATES: &[&str] = &["pilot", "proxy", "samples"];

/// The folder of the static programs, built if need be.
pub(crate) fn programs(profile: &str) -> Result<PathBuf> {
    let target = target()?;
    let folder = sh::target_dir().join("image");
    let programs = folder.join(&target).join(if profile == "dev" { "debug" } else { profile });
    if !programs.exists() {
        eprintln!("building static programs for images: minutes, once");
    }
    let mut cargo = sh::cargo();
    cargo.args(["build", "--profile", profile, "--target", &target, "--bins"]);
    cargo.args(CRATES.iter().flat_map(|name| ["-p", name]));
    cargo.env("CARGO_TARGET_DIR", &folder).env("CARGO_INCREMENTAL", "0");
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags()?);
    // Profiles that keep symbols are for people with a debugger, who are not in an image.
    cargo.env(format!("CARGO_PROFILE_{}_STRIP", profile.to_uppercase().replace('-', "_")), "symbols");
    sh::run(&mut cargo)?;
    Ok(programs)
}

/// Links statically and leaves the names of this machine's folders out, so that two clones build the same bytes. Of this
/// repository's own files the compiler is told relative names anyway; a flag with its folder would have every clone build
/// every library again.
fn flags() -> Result<String> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|h| format!("{h}/.cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let flags = [
        "-C".to_owned(),
        "target-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={home}=/cargo"),
    ];
    Ok(flags.join("\x1f"))
}

/// The compiler's own target.
pub(crate) fn target() -> Result<String> {
    let told = Command::new("rustc").arg("-vV").output().context("rustc -vV")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host =
        told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    if !host.contains("-linux-") {
        bail!("images hold Linux programs and this is {host}: run this on Linux, or in a container of one");
    }
    Ok(host.to_owned())
}
