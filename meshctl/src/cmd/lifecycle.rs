//! The commands that change what is installed in a cluster. One variant each; the files beside this one do the work.

use anyhow::Result;
use clap::Subcommand;

use super::install;
use crate::globals::Globals;

/// Commands that change what is installed in a cluster.
#[derive(Subcommand, Clone, Debug)]
pub enum Lifecycle {
    Install(install::Install),
}

impl Lifecycle {
    /// Runs the command; the exit code.
    ///
    /// # Errors
    /// As the command says.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self {
            Lifecycle::Install(args) => install::run(args, globals),
        }
    }
}
