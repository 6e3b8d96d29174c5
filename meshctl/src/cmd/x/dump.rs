//! `meshctl x dump`: what pilot would say to a proxy, from files alone.

use anyhow::Result;
use clap::Args;
use wire::Kind;

use super::command::plan;
use crate::cmd::printed::{BadUsage, Printed};
use crate::globals::Globals;
use crate::offline::{Proxy, dump};
use crate::proxy_config::{Form, text};

/// Print the xDS that a proxy would get, from files alone
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  \
    meshctl x dump samples/bookinfo --proxy deploy/productpage-v1 --type rds,vhds -o yaml")]
pub(super) struct Dump {
    /// Files or folders, as for `up`
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<String>,
    /// [TYPE/]POD[.NAMESPACE], as `up` would make it
    #[arg(long, value_name = "POD", required_unless_present = "node")]
    proxy: Option<String>,
    /// A node id: sidecar~IP~POD.NAMESPACE~DOMAIN
    #[arg(long, value_name = "ID", conflicts_with = "proxy")]
    node: Option<String>,
    /// cds, eds, lds, rds, vhds, sds, nds; all where none is said
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// As a client would get it that speaks the state-of-the-world protocol
    #[arg(long)]
    sotw: bool,
    /// json or yaml
    #[arg(short, long, value_name = "FORM", default_value = "json", hide_default_value = true)]
    output: Form,
}

pub(super) fn run(args: &Dump, globals: &Globals) -> Result<Printed> {
    let kinds = kinds(&args.types)?;
    let (mut plan, problems) = plan(&args.files, globals)?;
    let delta = !args.sotw;
    let proxy = match (&args.proxy, &args.node) {
        (Some(pod), _) => Proxy::of_pod(&mut plan, pod, globals.said_namespace(), delta)?,
        (None, Some(id)) => Proxy::of_id(&mut plan, id, delta)?,
        (None, None) => return Err(BadUsage("say whose: --proxy POD or --node ID".into()).into()),
    };
    Ok(Printed { out: text(&dump(&proxy.layers, &kinds), args.output)?, err: problems, code: 0 })
}

/// Types by the names of their services; endpoints are `eds` and so on.
fn kinds(words: &[String]) -> Result<Vec<Kind>> {
    if words.is_empty() {
        return Ok(Kind::ALL.to_vec());
    }
    let one = |word: &String| {
        let word = word.trim().to_lowercase();
        Kind::ALL.iter().copied().find(|kind| kind.short() == word).ok_or_else(|| {
            let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.short()).collect();
            anyhow::Error::from(BadUsage(format!("{word:?} is no type: use {}", all.join(", "))))
        })
    };
    words.iter().map(one).collect()
}
