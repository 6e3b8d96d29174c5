//! `meshctl apply`: new and changed objects.

use anyhow::Result;
use clap::Args;

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::input;
use crate::local::protocol::Ask;

/// Take new and changed objects into the mesh
#[derive(Debug, Args)]
pub struct Apply {
    /// Files, folders, or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR")]
    files: Vec<String>,
    /// As -f, for a folder with a kustomization.yaml
    #[arg(short = 'k', long = "kustomize", value_name = "DIR", hide = true)]
    kustomize: Vec<String>,
    /// Only say what would happen (client, server)
    #[arg(long, num_args = 0..=1, default_missing_value = "client", value_name = "WHERE")]
    dry_run: Option<String>,
}

impl Apply {
    /// Sends the texts to the mesh and prints what it says of each object.
    pub fn run(self, global: &Global) -> Result<i32> {
        let texts = input::read(&[self.files, self.kustomize].concat())?;
        let dry_run = self.dry_run.is_some_and(|word| word != "none");
        let ask = Ask::Apply { texts, namespace: global.namespace().to_owned(), create: false, dry_run };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}
