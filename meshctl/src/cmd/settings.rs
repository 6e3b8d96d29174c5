//! The flags that say what an installation consists of, the same for `install`, `upgrade`, `uninstall`, `manifest`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::printed::texts;
use crate::install::Request;

/// What is installed.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// IstioOperator files; later ones win, - is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE|-")]
    filename: Vec<String>,
    /// One setting: profile=demo, meshConfig.X=Y, values.X=Y, components.X.enabled=true
    #[arg(short = 's', long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Name of this control plane beside others
    #[arg(short = 'r', long, value_name = "NAME")]
    revision: Option<String>,
    /// A folder with charts instead of those of this version
    #[arg(short = 'd', long, alias = "charts", value_name = "DIR", hide_short_help = true)]
    manifests: Option<PathBuf>,
    /// Go on in spite of what is wrong, and take over what others have changed
    #[arg(long)]
    pub force: bool,
}

impl Settings {
    /// What the flags ask for.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn request(&self) -> Result<Request> {
        Ok(Request {
            files: texts(&self.filename)?,
            set: self.set.clone(),
            revision: self.revision.clone(),
            charts: self.manifests.clone(),
            ..Request::default()
        })
    }

    /// `--revision`, if it was said.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// Whether any file was named.
    pub fn has_files(&self) -> bool {
        !self.filename.is_empty()
    }
}
