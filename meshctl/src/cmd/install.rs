//! `meshctl install` and `meshctl upgrade`: an installation into a cluster.
//!
//! In: settings, and how to go about it. Out: what goes on, component by component; an error before anything has changed
//! if something is wrong with the cluster, the rights or the settings. `install::cluster` does the work.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::Value;

use super::printed::BadUsage;
use super::settings::Settings;
use crate::client::kube::{Cluster, block_on};
use crate::globals::{Globals, Short};
use crate::install::cluster::{self, Found, Objects, Options, Problem, Progress};
use crate::install::{Installation, Request, Unnamed};

/// Install the mesh into a cluster, or change what is installed
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl install --set profile=demo -y\n  \
    meshctl install -f mesh.yaml --set meshConfig.accessLogFile=/dev/stdout\n  \
    meshctl install --revision canary --set profile=minimal\n\n\
    Profiles: default, demo, minimal, empty, preview, remote. A second run with the same settings changes nothing.")]
pub struct Install {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    how: How,
}

/// Bring what is installed in a cluster to this version
#[derive(Args, Clone, Debug)]
#[command(after_help = "Settings are not remembered: say the same -f and --set as for the installation.\n\n\
    To try a version first, install it beside the other one: meshctl install --revision NAME")]
pub struct Upgrade {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    how: How,
}

/// How to change a cluster.
#[derive(Args, Clone, Debug)]
pub struct How {
    /// Do not ask
    #[arg(short = 'y', long)]
    pub skip_confirmation: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long each component may take to become ready; 0s does not wait at all
    #[arg(long, value_name = "DURATION", default_value = "5m0s", value_parser = duration)]
    pub readiness_timeout: Duration,
    /// Look at every object once more when all is done
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub short: Short,
}

fn duration(text: &str) -> Result<Duration, String> {
    api::Duration::parse(text).map(api::Duration::to_std)
}

/// Runs `install`.
///
/// # Errors
/// A wrong setting, a cluster that cannot be installed to, something that does not become ready.
pub fn run(args: &Install, globals: &Globals) -> Result<i32> {
    let globals = globals.with(&args.how.short);
    globals.cluster_only()?;
    block_on(install(&args.settings, &args.how, &globals, false))
}

/// Runs `upgrade`.
///
/// # Errors
/// As `install`; there is nothing to upgrade, or the step is one that may go wrong.
pub fn upgrade(args: &Upgrade, globals: &Globals) -> Result<i32> {
    let globals = globals.with(&args.how.short);
    globals.cluster_only()?;
    block_on(install(&args.settings, &args.how, &globals, true))
}

/// What `--istioNamespace` adds to what was asked for.
fn request(settings: &Settings, globals: &Globals) -> Result<Request> {
    let namespace = Some(globals.istio_namespace.clone()).filter(|name| name != "istio-system");
    Ok(Request { namespace, ..settings.request()? })
}

/// A cluster and what is wanted in it, before anything is done.
pub struct Ready {
    pub objects: Objects,
    pub installation: Installation,
    pub found: Found,
    info: Info,
}

/// Reads the settings, then looks at the cluster.
///
/// # Errors
/// A setting is wrong, the cluster does not answer.
pub async fn prepare(settings: &Settings, globals: &Globals) -> Result<Ready> {
    let mut request = request(settings, globals)?;
    // Settings are checked before anybody is asked.
    let checked = Installation::of(&request)?;
    let (cluster, info) = Cluster::connect(globals).await?;
    let objects = Objects { cluster };
    let read = installed(&objects, &info, &mut request, &checked.revision).await;
    let (installation, found) = match read {
        Ok(read) => read,
        // Who may not read is told all that is missing, not the first thing.
        Err(error) => {
            stop_at(&cluster::rights(&objects, &Found::default(), &values(&checked)).await?, false)?;
            return Err(error);
        }
    };
    Ok(Ready { objects, installation, found, info })
}

/// What is wanted beside what is there.
async fn installed(
    objects: &Objects,
    info: &Info,
    request: &mut Request,
    revision: &str,
) -> Result<(Installation, Found)> {
    let default = cluster::who_is_default(objects).await?;
    request.unnamed = match (default.is_claimed_by(revision), default.validator) {
        (true, _) => Unnamed::This,
        (false, Some(revision)) => Unnamed::Other(revision),
        (false, None) => Unnamed::AsCharts,
    };
    let installation = Installation::of(request)?;
    let found = cluster::look(objects, info, &values(&installation), &installation.revision).await?;
    Ok((installation, found))
}

async fn install(settings: &Settings, how: &How, globals: &Globals, upgrade: bool) -> Result<i32> {
    let Ready { objects, installation, found, info } = prepare(settings, globals).await?;
    for warning in &installation.warnings {
        anstream::eprintln!("Warning: {warning}");
    }
    let wanted = values(&installation);
    let mut problems = cluster::check(&objects, &found, &wanted, &installation.revision).await?;
    if upgrade {
        nothing_or_too_far(&found, &installation.revision, &mut problems);
    }
    stop_at(&problems, settings.force)?;
    if !how.skip_confirmation && !how.dry_run {
        let question = format!(
            "This will install the Istio {} profile {:?} into the cluster. Proceed? (y/N) ",
            env!("CARGO_PKG_VERSION"),
            installation.profile
        );
        if !confirmed(&format!("Cluster: {}", objects.cluster.place()), &question)? {
            anstream::println!("Cancelled.");
            return Ok(1);
        }
    }
    let options = Options { patience: how.readiness_timeout, force: settings.force, dry_run: how.dry_run };
    let progress = Progress::default();
    let changed = cluster::install(&objects, &installation, &found, options, &progress).await?;
    if how.dry_run {
        return Ok(0);
    }
    let same = if changed { "" } else { "; everything was there already, nothing has changed" };
    progress.done("", &format!("Installation complete{same}"));
    if how.verify {
        verify(&objects, &info, &installation, &progress).await?;
    }
    Ok(0)
}

/// An upgrade goes one step, from something that is there.
fn nothing_or_too_far(found: &Found, revision: &str, problems: &mut Vec<Problem>) {
    problems.iter_mut().filter(|problem| problem.skew).for_each(|problem| problem.fatal = true);
    let ours: Vec<&str> =
        found.istiods.iter().filter(|istiod| istiod.ours).map(|istiod| istiod.revision.as_str()).collect();
    if !ours.contains(&revision) {
        let there = if ours.is_empty() { "none at all".to_owned() } else { ours.join(", ") };
        problems.push(Problem::error(
            None,
            format!(
                "there is no control plane of revision {revision} to upgrade ({there}); use `meshctl install`"
            ),
        ));
    }
}

fn values(installation: &Installation) -> Vec<Value> {
    cluster::objects_of(installation).into_iter().map(|(_, object)| object).collect()
}

/// Whether every object is there.
async fn verify(
    objects: &Objects,
    info: &Info,
    installation: &Installation,
    progress: &Progress,
) -> Result<()> {
    let wanted = values(installation);
    let found: Found = cluster::look(objects, info, &wanted, &installation.revision).await?;
    let mut missing = Vec::new();
    for object in &wanted {
        let id = cluster::Id::of(object)?;
        match found.live.contains_key(&id) {
            true => progress.done("", &format!("{id} checked successfully")),
            false => missing.push(id.to_string()),
        }
    }
    if !missing.is_empty() {
        bail!("missing: {}", missing.join(", "));
    }
    progress.done("", "Istio is installed and verified successfully");
    Ok(())
}

/// Prints problems; an error if one of them forbids to go on.
///
/// # Errors
/// Something is wrong and nobody said `--force`.
pub fn stop_at(problems: &[Problem], force: bool) -> Result<()> {
    for problem in problems.iter().filter(|problem| !problem.fatal || force) {
        anstream::eprintln!("Warning: {}", problem.text);
    }
    let fatal: Vec<String> = problems.iter().filter(|problem| problem.fatal).map(told).collect();
    if fatal.is_empty() || force {
        return Ok(());
    }
    bail!("nothing was changed, because\n  {}\n(--force goes on all the same)", fatal.join("\n  "))
}

/// A problem with its code.
fn told(problem: &Problem) -> String {
    match problem.code {
        Some(code) => format!("[{}] {}", code.id(), problem.text),
        None => problem.text.clone(),
    }
}

/// Asks; without somebody to ask, says what to do.
///
/// # Errors
/// There is no terminal.
pub fn confirmed(context: &str, question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(BadUsage("there is no terminal to ask whether to go on; say -y (--skip-confirmation)".into()));
    }
    anstream::println!("{context}");
    anstream::print!("{question}");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
