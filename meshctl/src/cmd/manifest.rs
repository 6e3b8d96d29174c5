//! `meshctl manifest generate`: the objects of an installation, without a cluster.
//!
//! In: a profile, IstioOperator files and `--set`. Out: objects as YAML in the order of installing, or what is wrong with
//! the settings, by name (exit code 65). `install` applies the same objects.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::manifest_diff;
use super::printed::Printed;
use super::settings::Settings;
use crate::globals::Globals;
use crate::install::Installation;

/// Objects of an installation
#[derive(Args, Clone, Debug)]
pub struct Manifest {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Generate(Generate),
    Diff(manifest_diff::Diff),
}

/// Print the objects of an installation, without a cluster
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl manifest generate\n  \
    meshctl manifest generate --set profile=demo\n  \
    meshctl manifest generate -f mesh.yaml --set values.pilot.env.PILOT_DEBOUNCE_AFTER=50ms")]
struct Generate {
    #[command(flatten)]
    settings: Settings,
    /// Write to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<String>,
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read or written, a setting that is unknown or not honoured.
pub fn run(args: &Manifest, globals: &Globals) -> Result<Printed> {
    let args = match &args.command {
        Command::Generate(args) => args,
        Command::Diff(args) => return manifest_diff::run(args, globals),
    };
    let text = generate(args)?;
    match &args.output {
        None => Ok(Printed::out(text)),
        Some(file) => {
            std::fs::write(file, text).with_context(|| format!("write {file}"))?;
            Ok(Printed::default())
        }
    }
}

fn generate(args: &Generate) -> Result<String> {
    let installation = Installation::of(&args.settings.request()?)?;
    let documents: Vec<String> = installation.objects().into_iter().map(api::emit::to_yaml).collect();
    Ok(documents.join("---\n"))
}
