//! `meshctl precheck`, also `meshctl x precheck`: whether a cluster can be installed to.
//!
//! In: the cluster. Out: what would be in the way, with the codes of the analyzer, or that nothing is. Exit code 1 if
//! something is. `install` makes the same checks.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::printed::{BadUsage, Printed, code};
use crate::client::kube::{Cluster, block_on};
use crate::globals::{Globals, Short};
use crate::install::cluster::{self, Objects, Problem};
use crate::install::{Installation, Request};
use crate::proxy_config::{Form, text};

/// See whether the mesh can be installed into a cluster, or upgraded
#[derive(Args, Clone, Debug)]
pub struct Precheck {
    /// Name what changed since a version
    #[arg(short = 'f', long, value_name = "VERSION")]
    from_version: Option<String>,
    /// Leave out what concerns the control plane
    #[arg(long)]
    skip_controlplane: bool,
    /// Show findings of this severity and worse
    #[arg(long, value_name = "LEVEL", default_value = "Warning", ignore_case = true)]
    output_threshold: Level,
    /// log, json or yaml
    #[arg(short = 'o', long, value_name = "FORM", default_value = "log")]
    output: Output,
    /// The revision that would be installed
    #[arg(short = 'r', long, value_name = "NAME")]
    revision: Option<String>,
    #[command(flatten)]
    short: Short,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Level {
    Info,
    Warning,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Log,
    Json,
    Yaml,
}

/// Runs it.
///
/// # Errors
/// The cluster does not answer.
pub fn run(args: &Precheck, globals: &Globals) -> Result<Printed> {
    let globals = globals.with(&args.short);
    globals.cluster_only()?;
    if let Some(version) = &args.from_version {
        let parts = version.split('.').map(str::parse::<u32>);
        if parts.clone().count() < 2 || !parts.clone().all(|part| part.is_ok()) {
            return Err(BadUsage(format!("--from-version {version}: write it as 0.1")).into());
        }
    }
    let problems = if args.skip_controlplane { Vec::new() } else { block_on(problems(args, &globals))? };
    told(&problems, args.output_threshold, args.output)
}

async fn problems(args: &Precheck, globals: &Globals) -> Result<Vec<Problem>> {
    let request = Request { revision: args.revision.clone(), ..Request::default() };
    let installation = Installation::of(&request)?;
    let (cluster, info) = Cluster::connect(globals).await?;
    let objects = Objects { cluster };
    let wanted: Vec<Value> =
        cluster::objects_of(&installation).into_iter().map(|(_, object)| object).collect();
    let found = match cluster::look(&objects, &info, &wanted, &installation.revision).await {
        Ok(found) => found,
        // Who may not read is told all that is missing, not the first thing.
        Err(error) => {
            let missing = cluster::rights(&objects, &cluster::Found::default(), &wanted).await?;
            return if missing.is_empty() { Err(error) } else { Ok(missing) };
        }
    };
    let mut problems = cluster::check(&objects, &found, &wanted, &installation.revision).await?;
    problems.extend(gateway_api(&objects).await);
    Ok(problems)
}

/// Kinds of the Gateway API in versions that are not read, or not for long. Who may see no definitions is told by
/// `check`.
async fn gateway_api(objects: &Objects) -> Vec<Problem> {
    let row = cluster::Id::new("CustomResourceDefinition", "", "").row;
    let definitions = objects.list(row, "", "").await.unwrap_or_default();
    let found = definitions.iter().filter_map(crate::analyzers::served);
    let problem = |(code, text): (api::Code, String)| Problem {
        code: Some(code),
        fatal: code == api::Code::UnsupportedGatewayAPIVersion,
        skew: false,
        text,
    };
    found.map(problem).collect()
}

fn told(problems: &[Problem], threshold: Level, output: Output) -> Result<Printed> {
    let level = |problem: &Problem| if problem.fatal { Level::Error } else { Level::Warning };
    let word = |problem: &Problem| if problem.fatal { "Error" } else { "Warning" };
    let shown: Vec<&Problem> = problems.iter().filter(|problem| level(problem) >= threshold).collect();
    let out = match output {
        Output::Log => shown
            .iter()
            .map(|problem| match problem.code {
                Some(code) => format!("{} [{}] (Cluster) {}\n", word(problem), code.id(), problem.text),
                None => format!("{} (Cluster) {}\n", word(problem), problem.text),
            })
            .collect(),
        Output::Json | Output::Yaml => {
            let object = |problem: &&Problem| json!({"code": problem.code.map(api::Code::id), "level": word(problem), "origin": "Cluster", "message": problem.text});
            let form = if matches!(output, Output::Json) { Form::Json } else { Form::Yaml };
            text(&shown.iter().map(object).collect(), form).context("findings are JSON")?
        }
    };
    let mut printed = Printed::out(out);
    if shown.is_empty() {
        printed.err = "✔ No issues found when checking the cluster. Istio is safe to install or upgrade!\n  \
                       To get started, see docs/install.md.\n"
            .to_owned();
    }
    if !problems.is_empty() {
        printed.code = code::FAILED;
        printed.err.push_str(
            "Error: Issues found when checking the cluster. Istio may not be safe to install or upgrade.\n",
        );
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_have_codes_and_thresholds() {
        let problem = |fatal| Problem {
            code: Some(api::Code::UnsupportedKubernetesVersion),
            fatal,
            skew: false,
            text: "too old".into(),
        };
        let printed = told(&[problem(true), problem(false)], Level::Error, Output::Log).unwrap();
        assert_eq!((printed.out.as_str(), printed.code), ("Error [IST0142] (Cluster) too old\n", 1));
        let printed = told(&[], Level::Warning, Output::Log).unwrap();
        assert!(
            printed.err.starts_with("✔ No issues found when checking the cluster. ") && printed.code == 0
        );
    }
}
