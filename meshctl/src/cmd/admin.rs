//! `meshctl admin log`: what the control plane logs, shown and changed while it runs.
//!
//! In: a pod or labels, levels. Out: the table of scopes. Asks ControlZ (port 9876) of each pilot; a change goes to all of
//! them, because nobody knows which of several replicas will speak next.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::printed::{BadUsage, Printed};
use super::xds::labels;
use crate::client::{Asked, Mesh, Method, Pod};
use crate::globals::{Globals, Short};
use crate::proxy_config::{Form, text};
use crate::render::Table;

/// What scopes say where nobody has changed it.
const USUAL: &str = "info";
/// Levels from silent to loud.
const LEVELS: [&str; 7] = ["none", "fatal", "error", "warn", "info", "debug", "trace"];

/// Manage the control plane
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Admin {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Log levels of the control plane: show or change them
    #[command(visible_alias = "l")]
    #[command(after_help = "Examples:\n  \
        meshctl admin log\n  \
        meshctl admin log --level push:debug,xds:debug\n  \
        meshctl admin log --reset")]
    Log(Log),
}

#[derive(Args, Clone, Debug)]
struct Log {
    /// [TYPE/]POD[.NAMESPACE]; all pilots where none is named
    pod: Option<String>,
    /// [SCOPE:]LEVEL,... with none, error, warn, info, debug or trace; without a scope: all
    #[arg(long, value_name = "LEVELS")]
    level: Option<String>,
    /// All scopes back to info
    #[arg(short, long, alias = "log-reset", conflicts_with = "level")]
    reset: bool,
    #[arg(long, value_name = "LEVELS", hide = true)]
    stack_trace_level: Option<String>,
    #[arg(long, hide = true)]
    stack_trace_reset: bool,
    /// Labels of the pilots, instead of app=istiod
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "pod")]
    selector: Option<String>,
    /// Only pilots of this revision
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Port of ControlZ in the pod
    #[arg(long = "ctrlz_port", alias = "ctrlz-port", value_name = "PORT", default_value_t = 9876)]
    port: u16,
    /// short, json or yaml
    #[arg(short, long, value_name = "FORM", default_value = "short", hide_default_value = true)]
    output: Form,
    #[command(flatten)]
    flags: Short,
}

/// Runs it.
///
/// # Errors
/// There is no such pod, it does not answer, or a level or scope is unknown.
pub fn run(args: &Admin, globals: &Globals) -> Result<Printed> {
    let What::Log(args) = &args.what;
    if args.stack_trace_level.is_some() || args.stack_trace_reset {
        bail!(BadUsage(
            "log lines have no stack traces: leave --stack-trace-level and --stack-trace-reset out".into()
        ));
    }
    let levels = args.level.as_deref().map(levels).transpose()?;
    let mut mesh = Mesh::find(&globals.with(&args.flags))?.revision(args.revision.as_deref());
    if let Some(selector) = &args.selector {
        mesh = mesh.pilots_with(labels(selector)?);
    }
    let pods = match &args.pod {
        Some(name) => vec![mesh.pod_in(name, mesh.system())?],
        None => mesh.pilots()?,
    };
    for pod in &pods {
        let scopes = scopes(&mesh, pod, args.port)?;
        for (scope, level) in changes(&scopes, levels.as_deref(), args.reset, pod)? {
            let body = json!({ "output_level": level }).to_string();
            let path = format!("/scopej/{scope}");
            ask(&mesh, pod, args.port, Asked { method: Method::Put, path: &path, body: &body })?;
        }
    }
    let first = pods.first().context("there is a pilot")?;
    let scopes = scopes(&mesh, first, args.port)?;
    Ok(Printed::out(match args.output {
        Form::Short => table(&scopes),
        form => text(&Value::Array(scopes), form)?,
    }))
}

fn ask(mesh: &Mesh, pod: &Pod, port: u16, asked: Asked<'_>) -> Result<String> {
    mesh.page(pod, port, asked).with_context(|| format!("ControlZ of {}", pod.full()))
}

fn scopes(mesh: &Mesh, pod: &Pod, port: u16) -> Result<Vec<Value>> {
    let page = ask(mesh, pod, port, Asked { method: Method::Get, path: "/scopej/", body: "" })?;
    serde_json::from_str(&page).with_context(|| format!("ControlZ of {} gives no list of scopes", pod.full()))
}

/// `[SCOPE:]LEVEL`, separated by commas; no scope: all.
fn levels(words: &str) -> Result<Vec<(String, String)>> {
    let one = |word: &str| {
        let (scope, level) = word.split_once([':', '=']).unwrap_or(("all", word));
        if !LEVELS.contains(&level) {
            bail!(BadUsage(format!("{level:?} is no log level: use {}", LEVELS.join(", "))));
        }
        Ok((scope.to_owned(), level.to_owned()))
    };
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(one).collect()
}

/// Which scope gets which level; those for all scopes first, so that they do not undo the others.
fn changes(
    scopes: &[Value],
    levels: Option<&[(String, String)]>,
    reset: bool,
    pod: &Pod,
) -> Result<Vec<(String, String)>> {
    let names: Vec<&str> = scopes.iter().filter_map(|scope| scope["name"].as_str()).collect();
    let usual = [("all".to_owned(), USUAL.to_owned())];
    let wanted = if reset { &usual[..] } else { levels.unwrap_or_default() };
    let mut all = Vec::new();
    for (_, level) in wanted.iter().filter(|(scope, _)| scope == "all") {
        all.extend(names.iter().map(|name| ((*name).to_owned(), level.clone())));
    }
    for (scope, level) in wanted.iter().filter(|(scope, _)| scope != "all") {
        if !names.contains(&scope.as_str()) {
            bail!("{} has no scope {scope:?}; there are {}", pod.full(), names.join(", "));
        }
        all.push((scope.clone(), level.clone()));
    }
    Ok(all)
}

fn table(scopes: &[Value]) -> String {
    let mut table = Table::wide(&["ACTIVE SCOPE", "DESCRIPTION", "LOG LEVEL", "STACK TRACE LEVEL"]);
    for scope in scopes {
        let word = |key: &str| scope[key].as_str().unwrap_or_default();
        table.row([word("name"), word("description"), word("output_level"), word("stack_trace_level")]);
    }
    table.sort();
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_scopes() {
        let scopes = [json!({"name": "push"}), json!({"name": "xds"})];
        let pod = Pod { name: "istiod-x".into(), namespace: "istio-system".into(), ..Pod::default() };
        let change = |words: &str| {
            let all = changes(&scopes, Some(&levels(words)?), false, &pod)?;
            anyhow::Ok(
                all.iter().map(|(scope, level)| format!("{scope}:{level}")).collect::<Vec<_>>().join(" "),
            )
        };
        assert_eq!(change("push:debug,warn").unwrap(), "push:warn xds:warn push:debug");
        assert!(change("push:loud").unwrap_err().to_string().contains("none, fatal"));
        let error = change("ads:debug").unwrap_err().to_string();
        assert_eq!(error, "istiod-x.istio-system has no scope \"ads\"; there are push, xds");
        assert_eq!(changes(&scopes, None, true, &pod).unwrap().len(), 2);
    }
}
