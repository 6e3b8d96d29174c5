//! The commands that work on what is installed in a cluster. One variant each; the files beside this one do the work.

use anyhow::Result;
use clap::Subcommand;

use super::{install, precheck, tag, uninstall};
use crate::globals::Globals;

/// Commands that work on what is installed in a cluster.
#[derive(Subcommand, Clone, Debug)]
pub enum Lifecycle {
    Install(install::Install),
    Upgrade(install::Upgrade),
    Uninstall(uninstall::Uninstall),
    Tag(tag::Tag),
    Precheck(precheck::Precheck),
}

impl Lifecycle {
    /// Runs the command; the exit code.
    ///
    /// # Errors
    /// As the command says.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self {
            Lifecycle::Install(args) => install::run(args, globals),
            Lifecycle::Upgrade(args) => install::upgrade(args, globals),
            Lifecycle::Uninstall(args) => uninstall::run(args, globals),
            Lifecycle::Tag(args) => Ok(tag::run(args, globals)?.write().into()),
            Lifecycle::Precheck(args) => Ok(precheck::run(args, globals)?.write().into()),
        }
    }
}
