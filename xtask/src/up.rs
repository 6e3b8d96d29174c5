//! Building what a newcomer needs, and starting it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, bail};

use crate::sh;

/// `cargo xtask up [DIR|FILE...]`: README's first command.
pub(crate) fn up(args: &[String]) -> Result<()> {
    let profile = "release";
    build(profile)?;
    let mut meshctl = Command::new(sh::target_dir().join(profile).join("meshctl"));
    meshctl.arg("up").args(args);
    let flags_with_value = ["--mesh", "--publish", "--images"];
    let mut previous_takes_value = false;
    let named = args.iter().any(|a| {
        let is_value = std::mem::replace(&mut previous_takes_value, flags_with_value.contains(&a.as_str()));
        !a.starts_with('-') && !is_value
    });
    if !named {
        meshctl.arg(sh::root().join("samples/bookinfo"));
    }
    // Replace this process, so that Ctrl-C and the terminal belong to meshctl alone.
    let error = meshctl.exec();
    bail!("cannot start meshctl: {error}")
}

/// Builds the programs of the default members, saying so when it is going to take long.
pub(crate) fn build(profile: &str) -> Result<()> {
    if !sh::target_dir().join(profile).join("meshctl").exists() {
        eprintln!("building pilot, proxy, citadel, meshctl and the sample applications: minutes, once");
    }
    sh::run(sh::cargo().args(["build", "--profile", profile]))
}
