//! `cargo xtask soak`: a mesh under load while everything changes, for ten minutes.
//!
//! In: `--seconds N`, `--profile P`. Out: the table of `e2e/tests/soak`, or what failed, grew or was left open. Also a stage
//! of `cargo xtask test`, one minute long.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::stages::{Counts, counted};
use crate::{sh, test};

/// The length that the issue of memory is judged by.
const USUAL: u64 = 600;
/// The length of the stage.
const SHORT: u64 = 60;

/// The command.
pub(crate) fn soak(args: &[String]) -> Result<()> {
    let (mut seconds, mut profile) = (USUAL, "dev");
    for pair in args.chunks(2) {
        match pair {
            [flag, value] if flag == "--seconds" => seconds = value.parse().context("--seconds")?,
            [flag, value] if flag == "--profile" => profile = value,
            other => bail!("soak: {other:?} is neither --seconds N nor --profile P"),
        }
    }
    sh::run(sh::cargo().args(["build", "--workspace", "--bins", "--quiet", "--profile", profile]))?;
    let programs = sh::target_dir().join(if profile == "dev" { "debug" } else { profile });
    match run(seconds, programs)? {
        Counts { failed: 0, passed: 1, .. } => Ok(()),
        _ => bail!("the soak failed"),
    }
}

/// The stage, with the programs that are built already.
pub(crate) fn stage() -> Result<Counts> {
    let soak = run(SHORT, sh::target_dir().join("debug"))?;
    let swap = counted(test::cargo_test(&["swap".to_owned()]).args(["--", "--nocapture"]))?;
    Ok(soak.and(swap))
}

fn run(seconds: u64, programs: PathBuf) -> Result<Counts> {
    let mut cargo = test::cargo_test(&["soak".to_owned()]);
    cargo.args(["--", "--nocapture"]);
    cargo.env("MESH_BIN_DIR", programs).env("MESH_SOAK_SECONDS", seconds.to_string());
    counted(&mut cargo)
}
