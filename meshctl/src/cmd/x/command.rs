//! The command line of `meshctl x`, and the plan that its commands start from.
//!
//! In: parsed arguments. Out: what one command prints. Called by `cmd`; `decide` and `dump` call [`plan`].

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{authz, check_inject, debug, decide, dump, injector, metrics, stats};
use crate::cmd::precheck;
use crate::cmd::printed::{BadInput, Printed, texts};
use crate::globals::Globals;
use crate::offline::Plan;

/// More to look at: a pod in words, statistics, pilot's pages; xDS and decisions from files alone
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Experimental {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    Dump(dump::Dump),
    Decide(decide::Decide),
    Precheck(precheck::Precheck),
    #[command(visible_alias = "des")]
    Describe(crate::cmd::describe::Describe),
    #[command(visible_alias = "az")]
    Authz(authz::Authz),
    #[command(name = "envoy-stats", visible_alias = "es")]
    EnvoyStats(stats::Stats),
    #[command(name = "internal-debug")]
    InternalDebug(debug::Debug),
    Metrics(metrics::Metrics),
    Injector(injector::Injector),
    #[command(name = "check-inject")]
    CheckInject(check_inject::CheckInject),
    // They have moved out of here long ago; people and scripts still say so.
    #[command(name = "proxy-status", alias = "ps", hide = true)]
    ProxyStatus(crate::cmd::proxy_status::ProxyStatus),
    #[command(hide = true)]
    Version(crate::cmd::version::Version),
}

/// Runs it.
///
/// # Errors
/// As the command says.
pub fn run(args: &Experimental, globals: &Globals) -> Result<Printed> {
    match &args.what {
        What::Dump(args) => dump::run(args, globals),
        What::Decide(args) => decide::run(args, globals),
        What::Precheck(args) => precheck::run(args, globals),
        What::Describe(args) => crate::cmd::describe::run(args, globals),
        What::Authz(args) => authz::run(args, globals),
        What::EnvoyStats(args) => stats::run(args, globals),
        What::InternalDebug(args) => debug::run(args, globals),
        What::Metrics(args) => metrics::run(args, globals),
        What::Injector(args) => injector::run(args, globals),
        What::CheckInject(args) => check_inject::run(args, globals),
        What::ProxyStatus(args) => crate::cmd::proxy_status::run(args, globals),
        What::Version(args) => crate::cmd::version::run(args, globals),
    }
}

/// Plans files as `up` would; what is wrong with them goes to standard error, and errors end the command.
pub(super) fn plan(files: &[String], globals: &Globals) -> Result<(Plan, String)> {
    let plan = Plan::of(&texts(files)?, globals.namespace())?;
    let problems = plan.findings.to_string();
    if plan.findings.has_errors() {
        return Err(BadInput(format!("the files have errors\n{}", problems.trim_end())).into());
    }
    Ok((plan, problems))
}
