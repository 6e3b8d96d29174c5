//! `meshctl down`: the end of a mesh.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::paths::Paths;
use crate::local::protocol::Ask;

const PATIENCE: Duration = Duration::from_secs(20);

/// End the mesh of this machine
#[derive(Debug, Args)]
pub struct Down {}

impl Down {
    /// Asks the mesh to end and waits until it has.
    pub fn run(self, global: &Global) -> Result<i32> {
        let Some(mut client) = Client::try_connect(&global.mesh)? else {
            anstream::println!("no mesh {} is running", global.mesh);
            return Ok(0);
        };
        let (code, _) = client.ask(&Ask::Down, &[])?;
        let begin = Instant::now();
        // The folder of the run goes last.
        let runtime = Paths::of(&global.mesh)?.runtime;
        while Client::try_connect(&global.mesh)?.is_some() || runtime.exists() {
            if begin.elapsed() > PATIENCE {
                bail!("the mesh {} does not end", global.mesh);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(code)
    }
}
