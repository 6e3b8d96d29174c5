//! `meshctl label` and `meshctl annotate`.

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::Ask;

use super::scale::which;

/// Set or remove labels
#[derive(Debug, Args)]
pub struct Label {
    #[command(flatten)]
    changes: Changes,
}

/// Set or remove annotations
#[derive(Debug, Args)]
pub struct Annotate {
    #[command(flatten)]
    changes: Changes,
}

#[derive(Debug, Args)]
struct Changes {
    /// KIND NAME KEY=VALUE... (KEY- removes)
    #[arg(required = true, value_name = "KIND NAME KEY=VALUE")]
    words: Vec<String>,
    /// Replace a value that is there already
    #[arg(long)]
    overwrite: bool,
}

impl Changes {
    fn run(self, global: &Global, annotations: bool) -> Result<i32> {
        let is_change = |word: &String| word.contains('=') || word.ends_with('-');
        let (changes, words): (Vec<String>, Vec<String>) = self.words.into_iter().partition(is_change);
        if changes.is_empty() {
            bail!("say KEY=VALUE to set, or KEY- to remove");
        }
        let changes = changes.into_iter().map(|word| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word.trim_end_matches('-').to_owned(), None),
        });
        let ask = Ask::Label {
            which: which(words, global),
            changes: changes.collect(),
            annotations,
            overwrite: self.overwrite,
        };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}

impl Label {
    /// Asks the mesh.
    pub fn run(self, global: &Global) -> Result<i32> {
        self.changes.run(global, false)
    }
}

impl Annotate {
    /// Asks the mesh.
    pub fn run(self, global: &Global) -> Result<i32> {
        self.changes.run(global, true)
    }
}
