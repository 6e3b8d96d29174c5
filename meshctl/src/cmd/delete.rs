//! `meshctl delete`: objects that shall go.

use anyhow::{Result, bail};
use clap::Args;

use super::files::{Accepted, Files};
use super::printed::BadUsage;
use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};

/// Remove objects from the mesh
#[derive(Debug, Args)]
pub struct Delete {
    /// Kind and names, KIND/NAME, or nothing with -f
    #[arg(value_name = "KIND [NAME]...")]
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// All of the kind
    #[arg(long)]
    all: bool,
    /// What is not there is no error
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    ignore_not_found: bool,
    #[command(flatten)]
    accepted: Accepted,
}

impl Delete {
    /// Asks the mesh to remove them.
    pub fn run(self, global: &Global) -> Result<i32> {
        let ignore_missing = self.ignore_not_found;
        let ask = if self.files.is_empty() {
            let mut words = self.words.into_iter();
            let Some(kind) = words.next() else {
                bail!(BadUsage("say what to delete: KIND NAME, or -f FILE".into()))
            };
            let mut which = Which {
                kinds: vec![kind.clone()],
                namespace: Some(global.namespace().to_owned()),
                names: words.collect(),
                selector: self.selector,
                elsewhere: false,
            };
            if kind.contains('/') {
                which.kinds.append(&mut which.names);
            }
            Ask::Delete { which, all: self.all, ignore_missing }
        } else {
            let texts = self.files.read(&self.words)?;
            Ask::DeleteTexts { texts, namespace: global.namespace().to_owned(), ignore_missing }
        };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}
