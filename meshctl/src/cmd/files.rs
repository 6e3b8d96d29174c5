//! The flags by which `apply`, `create`, `delete` and `get` name files, and the flags of kubectl beside them that mean
//! nothing here: a laptop mesh has no server-side field owners, no finalizers and no grace to wait for.

use anyhow::{Result, bail};
use clap::Args;

use super::printed::{BadInput, BadUsage};
use crate::local::input::{self, Text};

/// Files with objects.
#[derive(Debug, Default, Args)]
pub struct Files {
    /// Files, folders, or - for standard input
    #[arg(short, long = "filename", value_name = "FILE|DIR", value_delimiter = ',')]
    files: Vec<String>,
    /// A folder with a kustomization.yaml; -f reads it, too
    #[arg(short = 'k', long, value_name = "DIR")]
    kustomize: Vec<String>,
    /// Folders with everything below them
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Files {
    /// Whether any is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.kustomize.is_empty()
    }

    /// Their texts. `stray`: words without a flag, which kubectl refuses as well.
    ///
    /// # Errors
    /// No file is named, or one cannot be read.
    pub fn read(&self, stray: &[String]) -> Result<Vec<Text>> {
        if let Some(word) = stray.first() {
            bail!(BadUsage(format!("say files with -f: -f {word}")));
        }
        if self.is_empty() {
            bail!(BadUsage(
                "say which: -f FILE, -f FOLDER or -f - for standard input (several times if needed)".into()
            ));
        }
        let read = if self.recursive { input::read_recursive } else { input::read };
        let texts = read(&self.files).and_then(|mut texts| {
            texts.extend(input::read(&self.kustomize)?);
            Ok(texts)
        });
        Ok(texts.map_err(|error| BadInput(format!("{error:#}")))?)
    }
}

/// Accepted, so that commands from elsewhere run; without a meaning here.
#[derive(Debug, Default, Args)]
pub struct Accepted {
    #[arg(long, hide = true)]
    server_side: bool,
    #[arg(long, hide = true)]
    force_conflicts: bool,
    #[arg(long, hide = true)]
    force: bool,
    #[arg(long, hide = true, value_name = "WORD")]
    field_manager: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, value_name = "WORD")]
    validate: Option<Option<String>>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, value_name = "WORD")]
    wait: Option<Option<String>>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, value_name = "WORD")]
    cascade: Option<Option<String>>,
    #[arg(long, hide = true, value_name = "DURATION")]
    timeout: Option<String>,
    #[arg(long, hide = true, value_name = "SECONDS", allow_hyphen_values = true)]
    grace_period: Option<String>,
    #[arg(long, hide = true)]
    now: bool,
}
