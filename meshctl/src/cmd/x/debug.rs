//! `meshctl x internal-debug`: pilot's debug pages.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use crate::client::Mesh;
use crate::cmd::printed::Printed;
use crate::cmd::xds::Xds;
use crate::globals::{Globals, Short};

/// Print a debug page of the control plane
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl x internal-debug syncz\n  \
    meshctl x internal-debug 'config_dump?proxyID=productpage-v1-abc-x1y2z.default'\n  \
    meshctl x internal-debug -L")]
pub(super) struct Debug {
    /// Name of the page: syncz, configz, registryz, ...
    #[arg(value_name = "PAGE")]
    page: Option<String>,
    /// Of every pilot, by its name
    #[arg(long)]
    all: bool,
    /// Lists the pages
    #[arg(short = 'L', long)]
    list: bool,
    /// Only pilots of this revision
    #[arg(short, long, value_name = "REVISION")]
    revision: Option<String>,
    #[command(flatten)]
    xds: Xds,
    #[command(flatten)]
    flags: Short,
}

pub(super) fn run(args: &Debug, globals: &Globals) -> Result<Printed> {
    let mesh = args.xds.on(Mesh::find(&globals.with(&args.flags))?)?.revision(args.revision.as_deref());
    let page = args.page.as_deref().filter(|_| !args.list).unwrap_or("list");
    let path = format!("/debug/{}", page.trim_start_matches('/').trim_start_matches("debug/"));
    if args.all {
        let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        let pages = mesh.pilots_page(&path)?.into_iter().map(|(pod, text)| (pod.name, read(text)));
        let all = Value::Object(pages.collect::<Map<_, _>>());
        return Ok(Printed::out(serde_json::to_string_pretty(&all)? + "\n"));
    }
    let mut text = mesh.pilot(&path)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(Printed::out(text))
}
