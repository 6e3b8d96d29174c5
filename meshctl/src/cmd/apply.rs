//! `meshctl apply`: new and changed objects.

use anyhow::Result;
use clap::Args;

use super::files::{Accepted, Files};
use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::Ask;

/// Take new and changed objects into the mesh
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    files: Files,
    /// Only say what would happen (client, server)
    #[arg(long, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "client", value_name = "WHERE")]
    dry_run: Option<String>,
    #[arg(hide = true, value_name = "WORD")]
    stray: Vec<String>,
    #[command(flatten)]
    accepted: Accepted,
}

impl Apply {
    /// Sends the texts to the mesh and prints what it says of each object.
    pub fn run(self, global: &Global) -> Result<i32> {
        let texts = self.files.read(&self.stray)?;
        let dry_run = self.dry_run.is_some_and(|word| word != "none");
        let ask = Ask::Apply { texts, namespace: global.namespace().to_owned(), create: false, dry_run };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}
