//! The command tree as data: one variant per command, one file in `cmd/` behind each.
//!
//! In: the arguments of the program. Out: an exit code: 0, 1 for something refused or not found, 64 for wrong usage,
//! 65 for a wrong file, 79 for findings of `analyze`, or the code of the program that `exec` ran.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cmd::{self, printed};
use crate::globals::Globals;

/// A service mesh: on this machine, and in a cluster.
#[derive(Debug, Parser)]
#[command(name = "meshctl", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "`meshctl COMMAND --help` tells more. First steps:\n  \
    meshctl up samples/bookinfo\n  \
    meshctl proxy-config routes deploy/productpage-v1 --name 9080")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What commands on a laptop mesh are told.
#[derive(Clone, Debug)]
pub struct Global {
    /// Name of the mesh
    pub mesh: String,
    /// Namespace, if one was said
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
    #[command(name = "port-forward")]
    PortForward(cmd::port_forward::PortForward),
    Wait(cmd::wait::Wait),
    Scale(cmd::scale::Scale),
    Rollout(cmd::rollout::Rollout),
    Label(cmd::label::Label),
    Annotate(cmd::label::Annotate),
    #[command(flatten)]
    Lifecycle(Box<cmd::lifecycle::Lifecycle>),
    #[command(flatten)]
    Inspect(Box<cmd::inspect::Inspect>),
}

/// How the list of commands is told: by what people want.
const GROUPS: [(&str, &[&str]); 5] = [
    ("A mesh on this machine", &["up", "down"]),
    (
        "Its objects, as with kubectl",
        &[
            "apply",
            "create",
            "delete",
            "get",
            "label",
            "annotate",
            "scale",
            "rollout",
            "wait",
            "logs",
            "exec",
            "port-forward",
        ],
    ),
    (
        "What goes on in it, as with istioctl",
        &[
            "proxy-status",
            "proxy-config",
            "describe",
            "dashboard",
            "admin",
            "bug-report",
            "remote-clusters",
            "version",
        ],
    ),
    (
        "An installation in a cluster",
        &["install", "upgrade", "uninstall", "tag", "precheck", "manifest", "kube-inject"],
    ),
    ("Checks, and more", &["validate", "analyze", "x", "completion"]),
];

/// The command tree, with its commands in groups.
fn tree() -> clap::Command {
    let tree = Cli::command();
    let mut list = String::new();
    for (title, names) in GROUPS {
        list.push_str(&format!("{title}:\n"));
        for name in names {
            let command = tree.find_subcommand(name).expect("the groups name commands");
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let short: Vec<&str> = command.get_visible_aliases().filter(|alias| alias.len() < 3).collect();
            let name =
                if short.is_empty() { (*name).to_owned() } else { format!("{name}, {}", short.join(", ")) };
            list.push_str(&format!("  {name:<18} {about}\n"));
        }
        list.push('\n');
    }
    tree.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}{{options}}\n{{after-help}}"
    ))
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let parsed = tree().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(answer) = unknown(&error) {
                anstream::eprintln!("Error: {answer}");
                return ExitCode::from(printed::code::USAGE);
            }
            // Help is no mistake; a closed pipe is none either.
            let code = if error.use_stderr() { printed::code::USAGE } else { printed::code::OK };
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    let code = match act(cli.command, &cli.globals) {
        Ok(code) => u8::try_from(code).unwrap_or(printed::code::FAILED),
        Err(error) => printed::failed(&error).write(),
    };
    ExitCode::from(code)
}

/// What to say about a word that is a command of istioctl or kubectl, not of this program.
fn unknown(error: &clap::Error) -> Option<String> {
    if error.kind() != clap::error::ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(clap::error::ContextKind::InvalidSubcommand) {
        Some(clap::error::ContextValue::String(word)) => cmd::elsewhere::answer(word),
        _ => None,
    }
}

fn act(command: Command, globals: &Globals) -> Result<i32> {
    let global = match &command {
        Command::Lifecycle(command) => return command.run(globals),
        Command::Inspect(command) => return Ok(command.run(globals, &Cli::command())?.write().into()),
        // They make and end laptop meshes, whatever cluster may be around.
        Command::Up(_) | Command::Down(_) => laptop(&globals.own_mesh(), globals),
        // Their output is somebody else's.
        Command::Logs(_) | Command::Exec(_) | Command::PortForward(_) => laptop(&globals.mesh()?, globals),
        _ => {
            let mesh = globals.mesh()?;
            if std::io::stdout().is_terminal() {
                anstream::eprintln!("mesh {mesh} on this machine");
            }
            laptop(&mesh, globals)
        }
    };
    let global = &global;
    match command {
        Command::Up(command) => command.run(global),
        Command::Down(command) => command.run(global),
        Command::Apply(command) => command.run(global),
        Command::Create(command) => command.run(global),
        Command::Delete(command) => command.run(global),
        Command::Get(command) => command.run(global),
        Command::Logs(command) => command.run(global),
        Command::Exec(command) => command.run(global),
        Command::PortForward(command) => command.run(global),
        Command::Wait(command) => command.run(global),
        Command::Scale(command) => command.run(global),
        Command::Rollout(command) => command.run(global),
        Command::Label(command) => command.run(global),
        Command::Annotate(command) => command.run(global),
        Command::Lifecycle(_) | Command::Inspect(_) => unreachable!("answered above"),
    }
}

fn laptop(mesh: &str, globals: &Globals) -> Global {
    Global { mesh: mesh.to_owned(), namespace: globals.namespace.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        tree().debug_assert();
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        listed.sort_unstable();
        let tree = Cli::command();
        let mut all: Vec<&str> = tree.get_subcommands().map(clap::Command::get_name).collect();
        all.sort_unstable();
        assert_eq!(listed, all);
    }
}
