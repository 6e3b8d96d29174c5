//! The command line of `meshctl x`, and the plan that its commands start from.
//!
//! In: parsed arguments. Out: what one command prints. Called by `cmd`; `decide` and `dump` call [`plan`].

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{decide, dump};
use crate::cmd::precheck;
use crate::cmd::printed::{BadInput, Printed, texts};
use crate::globals::Globals;
use crate::offline::Plan;

/// Try what is new: xDS and decisions from files alone
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
