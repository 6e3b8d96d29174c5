//! `meshctl x envoy-stats`: the counters of a proxy as it tells them.

use anyhow::{Result, bail};
use clap::Args;

use crate::client::{Asked, Mesh, Method};
use crate::cmd::printed::{BadUsage, Printed};
use crate::globals::{Globals, Short};
use crate::proxy_config::{Form, text};

/// Port of the agent, with the metrics of proxy and application in one page.
const MERGED: u16 = 15020;

/// Print the statistics of a proxy
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl x envoy-stats deploy/productpage-v1\n  \
    meshctl x es deploy/productpage-v1 -o prom\n  \
    meshctl x es deploy/productpage-v1 --type clusters")]
pub(super) struct Stats {
    /// [TYPE/]POD[.NAMESPACE]
    pod: String,
    /// server or clusters
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        default_value = "server",
        hide_default_value = true
    )]
    kind: String,
    /// short, json, yaml, prom, or prom-merged
    #[arg(short, long, value_name = "FORM", default_value = "short", hide_default_value = true)]
    output: String,
    /// Admin port of the proxy
    #[arg(long, value_name = "PORT", default_value_t = 15000, hide = true)]
    proxy_admin_port: u16,
    #[command(flatten)]
    flags: Short,
}

pub(super) fn run(args: &Stats, globals: &Globals) -> Result<Printed> {
    let (path, form) = match (args.kind.as_str(), args.output.as_str()) {
        ("server" | "clusters", "prom") => ("/stats/prometheus", Form::Short),
        ("server" | "clusters", "prom-merged") => ("/stats/prometheus", Form::Short),
        ("server", "short") => ("/stats", Form::Short),
        ("server", form) => ("/stats?format=json", form.parse().map_err(BadUsage)?),
        ("clusters", "short") => ("/clusters", Form::Short),
        ("clusters", form) => ("/clusters?format=json", form.parse().map_err(BadUsage)?),
        (other, _) => bail!(BadUsage(format!("{other:?} is no type of statistics: use server or clusters"))),
    };
    let mesh = Mesh::find(&globals.with(&args.flags))?.admin_port(args.proxy_admin_port);
    let pod = mesh.proxy(&args.pod)?;
    let page = match args.output.as_str() {
        "prom-merged" => mesh.page(&pod, MERGED, Asked { method: Method::Get, path, body: "" })?,
        _ => mesh.admin(&pod, Method::Get, path)?,
    };
    Ok(Printed::out(match form {
        Form::Short => page,
        form => text(&serde_json::from_str(&page)?, form)?,
    }))
}
