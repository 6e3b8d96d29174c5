//! `meshctl describe`: what the mesh does for a pod or a Service.
//!
//! In: a name. Out: the page. Gathers the objects and asks the pod's proxy for its policies; `crate::describe` tells them.

use anyhow::{Context, Result};
use api::{AnyObject, Kind};
use clap::{Args, Subcommand};

use super::printed::Printed;
use crate::client::{Mesh, Method, Pod};
use crate::describe::{self, Told};
use crate::globals::{Globals, Short};
use crate::proxy_config::{Dump, policies};

/// Kinds that say what happens to requests.
const KINDS: [Kind; 13] = [
    Kind::Pod,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Gateway,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::Sidecar,
    Kind::PeerAuthentication,
    Kind::AuthorizationPolicy,
    Kind::RequestAuthentication,
    Kind::Namespace,
];

/// Tell what the mesh does for a pod or a Service
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  \
    meshctl describe pod productpage-v1-abc-x1y2z\n  \
    meshctl describe service reviews.default")]
pub struct Describe {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    flags: Short,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Its Services, rules, routes, authentication
    #[command(visible_alias = "po")]
    Pod {
        /// [TYPE/]POD[.NAMESPACE]
        pod: String,
        #[command(flatten)]
        unmeshed: Unmeshed,
    },
    /// Its ports, rules, routes
    #[command(visible_alias = "svc")]
    Service {
        /// NAME[.NAMESPACE]
        service: String,
        #[command(flatten)]
        unmeshed: Unmeshed,
    },
}

#[derive(Args, Clone, Debug)]
struct Unmeshed {
    /// Say nothing about pods without a proxy
    #[arg(long = "ignoreUnmeshed", alias = "ignore-unmeshed")]
    ignore: bool,
}

/// Runs it.
///
/// # Errors
/// There is no such pod or Service, or the mesh does not answer.
pub fn run(args: &Describe, globals: &Globals) -> Result<Printed> {
    let mesh = Mesh::find(&globals.with(&args.flags))?;
    let own = mesh.namespace().to_owned();
    match &args.what {
        What::Pod { pod, unmeshed } => {
            let found = mesh.pod(pod)?;
            let (objects, values) = gather(&mesh)?;
            let is_it = |value: &&serde_json::Value| {
                let read = Pod::read(value);
                value["kind"] == "Pod" && (&read.namespace, &read.name) == (&found.namespace, &found.name)
            };
            let value =
                values.iter().find(is_it).with_context(|| format!("pod {} has just gone", found.full()))?;
            let mut printed = Printed::default();
            let mut told = Told { ignore_unmeshed: unmeshed.ignore, ..Told::default() };
            if found.meshed {
                match mesh.admin(&found, Method::Get, "/config_dump").and_then(|page| Dump::read(&page)) {
                    Ok(dump) => told.policies = policies(&dump),
                    Err(error) => printed.err = format!("Warning: {error:#}: its policies are not known\n"),
                }
            }
            let paper = pilot::offline::Paper::of(objects);
            printed.out = describe::pod(&paper, value, &told, &own);
            Ok(printed)
        }
        What::Service { service, unmeshed } => {
            let (objects, _) = gather(&mesh)?;
            let paper = pilot::offline::Paper::of(objects);
            let (name, namespace) = service.split_once('.').unwrap_or((service, &own));
            let page = describe::service(&paper, name, namespace, &own, unmeshed.ignore);
            let page =
                page.with_context(|| format!("there is no Service {name} in namespace {namespace}"))?;
            Ok(Printed::out(page))
        }
    }
}

/// All objects that say what happens, typed and as they came.
fn gather(mesh: &Mesh) -> Result<(Vec<AnyObject>, Vec<serde_json::Value>)> {
    let mut values = mesh.objects(&KINDS, None)?;
    values.extend(mesh.objects(&[Kind::ConfigMap], Some(mesh.system()))?);
    let objects = values.iter().flat_map(|value| api::parse::from_value(value.clone()).objects).collect();
    Ok((objects, values))
}
