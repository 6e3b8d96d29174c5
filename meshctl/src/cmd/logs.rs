//! `meshctl logs`: what a container prints.

use anyhow::Result;
use clap::Args;

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::Ask;

/// Print what a container prints
#[derive(Debug, Args)]
pub struct Logs {
    /// POD, deploy/NAME or svc/NAME
    #[arg(value_name = "POD|KIND/NAME")]
    target: String,
    /// The container, where the pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// The container, as a second word
    #[arg(value_name = "CONTAINER", hide = true)]
    second: Option<String>,
    /// Go on with new lines
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES", allow_hyphen_values = true)]
    tail: Option<i64>,
    /// All containers of the pod
    #[arg(long)]
    all_containers: bool,
}

impl Logs {
    /// Asks the mesh and prints until the end.
    pub fn run(self, global: &Global) -> Result<i32> {
        let ask = Ask::Logs {
            namespace: global.namespace().to_owned(),
            target: self.target,
            container: self.container.or(self.second),
            follow: self.follow,
            tail: self.tail.and_then(|tail| usize::try_from(tail).ok()),
            all: self.all_containers,
        };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}
