//! `meshctl x authz check`: the authorization rules that a proxy has.
//!
//! In: the proxy's config dump, or a file of it. Out: a table of actions, policies and numbers of rules, taken from the RBAC
//! filters of its inbound listeners.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::client::{Mesh, Method};
use crate::cmd::printed::Printed;
use crate::cmd::proxy_config::read;
use crate::globals::{Globals, Short};
use crate::proxy_config::{Dump, authorization};

/// Look at authorization
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Authz {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Which AuthorizationPolicies a pod's proxy has
    Check(Check),
}

#[derive(Args, Clone, Debug)]
struct Check {
    /// [TYPE/]POD[.NAMESPACE]
    #[arg(required_unless_present = "file")]
    pod: Option<String>,
    /// A config dump instead of a pod; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "pod")]
    file: Option<String>,
    /// Admin port of the proxy
    #[arg(long, value_name = "PORT", default_value_t = 15000, hide = true)]
    proxy_admin_port: u16,
    #[command(flatten)]
    flags: Short,
}

pub(super) fn run(args: &Authz, globals: &Globals) -> Result<Printed> {
    let What::Check(args) = &args.what;
    let page = match (&args.file, &args.pod) {
        (Some(file), _) => read(file)?,
        (None, pod) => {
            let mesh = Mesh::find(&globals.with(&args.flags))?.admin_port(args.proxy_admin_port);
            let pod = mesh.proxy(pod.as_deref().unwrap_or_default())?;
            mesh.admin(&pod, Method::Get, "/config_dump")?
        }
    };
    Ok(Printed::out(authorization(&Dump::read(&page)?)))
}
