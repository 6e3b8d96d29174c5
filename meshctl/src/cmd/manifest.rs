//! `meshctl manifest generate`: the objects of an installation, without a cluster.
//!
//! In: a profile, IstioOperator files and `--set`. Out: objects as YAML in the order of installing, or what is wrong with
//! the settings, by name (exit code 65). `install` applies the same objects.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::printed::{BadInput, Printed, texts};
use crate::install;

/// Objects of an installation
#[derive(Args, Clone, Debug)]
pub struct Manifest {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Generate(Generate),
}

/// Print the objects of an installation, without a cluster
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl manifest generate\n  \
    meshctl manifest generate --set profile=demo\n  \
    meshctl manifest generate -f mesh.yaml --set values.pilot.env.PILOT_DEBOUNCE_AFTER=50ms")]
struct Generate {
    /// IstioOperator files; later ones win, - is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE|-")]
    filename: Vec<String>,
    /// One setting: profile=demo, meshConfig.X=Y, values.X=Y, components.X.enabled=true
    #[arg(short = 's', long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Name of this control plane beside others
    #[arg(short = 'r', long, value_name = "NAME")]
    revision: Option<String>,
    /// Write to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<String>,
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read or written, a setting that is unknown or not honoured.
pub fn run(args: &Manifest) -> Result<Printed> {
    let Command::Generate(args) = &args.command;
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
    let mut spec = json!({});
    let wrong = |error: anyhow::Error| BadInput(error.to_string());
    for text in texts(&args.filename)? {
        install::read_operator(&text.name, &text.text, &mut spec).map_err(wrong)?;
    }
    for word in &args.set {
        install::set(word, &mut spec).map_err(wrong)?;
    }
    if let Some(revision) = &args.revision {
        spec["revision"] = json!(revision);
    }
    let mut objects = Vec::new();
    for component in install::plan(&spec).map_err(wrong)? {
        let made = install::render(component.chart, &component.release, &component.values);
        objects.extend(made.map_err(wrong)?);
    }
    // Stable: within a kind, the order of components and templates.
    objects.sort_by_key(rank);
    let documents: Vec<String> = objects.iter().map(api::emit::to_yaml).collect();
    Ok(documents.join("---\n"))
}

/// What others need comes first: definitions, accounts and rights, settings, what runs, webhooks last.
fn rank(object: &Value) -> usize {
    const ORDER: &[&str] = &[
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "Service",
        "EndpointSlice",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Deployment",
        "DaemonSet",
        "HorizontalPodAutoscaler",
    ];
    let kind = object["kind"].as_str().unwrap_or_default();
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}
