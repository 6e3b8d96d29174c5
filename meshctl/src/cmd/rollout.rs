//! `meshctl rollout`: replace the pods of a workload, or wait until they are ready.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::Ask;

use super::scale::which;

/// Replace the pods of a workload, or wait for them
#[derive(Debug, Args)]
pub struct Rollout {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start new pods, then end the old ones
    Restart {
        #[arg(required = true, value_name = "KIND NAME")]
        words: Vec<String>,
    },
    /// Wait until all pods are ready
    Status {
        #[arg(required = true, value_name = "KIND NAME")]
        words: Vec<String>,
        /// Seconds, such as 60s
        #[arg(long, default_value = "120s")]
        timeout: String,
    },
}

impl Rollout {
    /// Asks the mesh.
    pub fn run(self, global: &Global) -> Result<i32> {
        let mut client = Client::connect(&global.mesh)?;
        match self.what {
            What::Restart { words } => Ok(client.ask(&Ask::Restart(which(words, global)), &[])?.0),
            What::Status { words, timeout } => {
                let limit = api::Duration::parse(&timeout).map_err(|error| anyhow::anyhow!(error))?.to_std();
                let begin = std::time::Instant::now();
                loop {
                    let (code, value) = client.ask(&Ask::Get(which(words.clone(), global)), &[])?;
                    let Some(Value::Array(objects)) = value else { return Ok(code) };
                    if code != 0 {
                        return Ok(code);
                    }
                    let count = |object: &Value, path: &str, other: i64| {
                        object.pointer(path).and_then(Value::as_i64).unwrap_or(other)
                    };
                    let waiting = objects.iter().find(|object| {
                        let wanted = count(object, "/spec/replicas", 1);
                        count(object, "/status/availableReplicas", 0) < wanted
                            || count(object, "/status/replicas", 0) > wanted
                    });
                    let Some(object) = waiting else {
                        anstream::println!("successfully rolled out");
                        return Ok(0);
                    };
                    if begin.elapsed() > limit {
                        bail!("{} is not ready after {timeout}", crate::render::objects::reference(object));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        }
    }
}
