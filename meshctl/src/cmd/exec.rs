//! `meshctl exec`: a command inside a container.
//!
//! Without `-t` the command gets this process's own streams, handed over; with it, a terminal of its own that is
//! copied to and from the one at hand.

use std::os::fd::AsRawFd;

use anyhow::{Result, bail};
use clap::Args;

use super::printed::BadUsage;
use crate::cli::Global;
use crate::client::find_pod;
use crate::local::client::Client;
use crate::local::protocol::Ask;
use crate::local::terminal::Terminal;

/// Run a command in a container
#[derive(Debug, Args)]
pub struct Exec {
    /// POD, deploy/NAME or svc/NAME
    #[arg(value_name = "POD|KIND/NAME")]
    target: String,
    /// The container, where the pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// Words without -- before them
    #[arg(value_name = "WORD", hide = true)]
    stray: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    /// Runs the command and returns its exit code.
    pub fn run(self, global: &Global) -> Result<i32> {
        if self.command.is_empty() || !self.stray.is_empty() {
            let words = if self.stray.is_empty() { "COMMAND".to_owned() } else { self.stray.join(" ") };
            bail!(BadUsage(format!("write -- before the command: meshctl exec {} -- {words}", self.target)));
        }
        let mut client = Client::connect(&global.mesh)?;
        let pod = find_pod(&mut client, &self.target, global.namespace.as_deref())?;
        let terminal = if self.tty && self.stdin { Terminal::open()? } else { None };
        if self.tty && terminal.is_none() {
            let why = if self.stdin { "standard input is none" } else { "say -i as well" };
            anstream::eprintln!("no terminal for the command: {why}");
        }
        let ask = Ask::Exec {
            namespace: pod.namespace,
            pod: pod.name,
            container: self.container,
            command: self.command,
            terminal: terminal.is_some(),
        };
        let code = match &terminal {
            Some(terminal) => {
                let fd = terminal.inside();
                client.ask(&ask, &[fd, fd, fd])?.0
            }
            None => {
                let null = std::fs::File::open("/dev/null")?;
                let input = if self.stdin { 0 } else { null.as_raw_fd() };
                client.ask(&ask, &[input, 1, 2])?.0
            }
        };
        if let Some(terminal) = terminal {
            terminal.close();
        }
        Ok(code)
    }
}
