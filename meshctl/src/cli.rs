//! The command tree as data: one variant per command, one file in `cmd/` behind each.
//!
//! In: the arguments of the program. Out: an exit code: 0, 1 for something refused or not found, 2 for wrong usage,
//! or the code of the program that `exec` ran.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cmd;

/// A service mesh: on this machine, and in a cluster.
#[derive(Debug, Parser)]
#[command(name = "meshctl", version, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Which mesh of this machine
    #[arg(long, global = true, env = "MESHCTL_MESH", default_value = "default", value_name = "NAME")]
    pub mesh: String,
    /// Namespace
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

impl Global {
    /// The namespace, `default` where none is said.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(cmd::up::Up),
    Down(cmd::down::Down),
    Apply(cmd::apply::Apply),
    Create(cmd::create::Create),
    Delete(cmd::delete::Delete),
    Get(cmd::get::Get),
    Logs(cmd::logs::Logs),
    Exec(cmd::exec::Exec),
    Scale(cmd::scale::Scale),
    Rollout(cmd::rollout::Rollout),
    Label(cmd::label::Label),
    Annotate(cmd::label::Annotate),
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let global = &cli.global;
    let result = match cli.command {
        Command::Up(command) => command.run(global),
        Command::Down(command) => command.run(global),
        Command::Apply(command) => command.run(global),
        Command::Create(command) => command.run(global),
        Command::Delete(command) => command.run(global),
        Command::Get(command) => command.run(global),
        Command::Logs(command) => command.run(global),
        Command::Exec(command) => command.run(global),
        Command::Scale(command) => command.run(global),
        Command::Rollout(command) => command.run(global),
        Command::Label(command) => command.run(global),
        Command::Annotate(command) => command.run(global),
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
