//! `meshctl logs`: what containers print.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::printed::BadUsage;
use crate::cli::Global;
use crate::client::{Pod, find_pod};
use crate::local::client::Client;
use crate::local::protocol::{Ask, LogWish, Which};

/// Lines of each pod that a selector finds, where `--tail` does not say how many.
const TAIL_OF_SELECTED: usize = 10;

/// Print what a container prints
#[derive(Debug, Args)]
pub struct Logs {
    /// POD, deploy/NAME or svc/NAME
    #[arg(value_name = "POD|KIND/NAME", required_unless_present = "selector")]
    target: Option<String>,
    /// The container, where the pod has several; `mesh` is what the mesh says about the pod
    #[arg(short, long)]
    container: Option<String>,
    /// The container, as a second word
    #[arg(value_name = "CONTAINER", hide = true)]
    second: Option<String>,
    /// Of all pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "target")]
    selector: Option<String>,
    /// Go on with new lines
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines; -1 is all
    #[arg(long, value_name = "LINES", allow_hyphen_values = true)]
    tail: Option<i64>,
    /// Only lines not older than this, such as 5s, 2m or 3h
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// All containers of the pod
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false)]
    #[arg(default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    all_containers: bool,
    /// Each line with its pod and container
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false)]
    #[arg(default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    prefix: bool,
    /// Each line with its time
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false)]
    #[arg(default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    timestamps: bool,
    /// Of the run before: the log goes on over restarts, so nothing changes
    #[arg(short, long, hide = true)]
    previous: bool,
}

impl Logs {
    /// Asks the mesh and prints until the end.
    pub fn run(self, global: &Global) -> Result<i32> {
        let since = match self.since.as_deref().map(api::Duration::parse) {
            None => None,
            Some(Ok(duration)) => Some(duration.to_std().as_secs().max(1)),
            Some(Err(error)) => bail!(BadUsage(format!("--since: {error}"))),
        };
        let mut client = Client::connect(&global.mesh)?;
        let pods = match (&self.target, &self.selector) {
            (Some(target), _) => vec![find_pod(&mut client, target, global.namespace.as_deref())?],
            (None, selector) => selected(&mut client, global, selector.clone())?,
        };
        if pods.is_empty() {
            anstream::eprintln!("No resources found in {} namespace.", global.namespace());
            return Ok(0);
        }
        let few = self.selector.is_some() && !self.follow;
        let ask = Ask::Logs(LogWish {
            pods: pods.into_iter().map(|pod| (pod.namespace, pod.name)).collect(),
            container: self.container.or(self.second),
            all: self.all_containers,
            follow: self.follow,
            tail: match self.tail {
                Some(tail) => usize::try_from(tail).ok(),
                None => few.then_some(TAIL_OF_SELECTED),
            },
            since,
            timestamps: self.timestamps,
            prefix: self.prefix,
        });
        Ok(client.ask(&ask, &[])?.0)
    }
}

fn selected(client: &mut Client, global: &Global, selector: Option<String>) -> Result<Vec<Pod>> {
    let which = Which {
        kinds: vec!["pods".to_owned()],
        namespace: Some(global.namespace().to_owned()),
        selector,
        ..Which::default()
    };
    let found = client.value(&Ask::Get(which))?;
    Ok(found.as_array().into_iter().flatten().map(|value: &Value| Pod::read(value)).collect())
}
