//! The command line of `analyze`, and the verdict.
//!
//! In: arguments. Out: the findings that are to be told, and the exit code. `gather` finds them.

use std::time::Duration;

use anyhow::{Context, Result};
use api::{Code, Finding, Kind};
use clap::{ArgAction, Args};

use super::gather::Gathered;
use super::shown::{self, Suppression};
use crate::analyzers::{self, ANALYZERS};
use crate::client::Mesh;
use crate::cmd::printed::{BadUsage, Printed, code, some_objects, texts, texts_below};
use crate::globals::{Globals, Short};
use crate::local::input::Text;
use crate::proxy_config::Form;
use crate::render::Table;

/// Find mistakes in files and in the running mesh, also between objects
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl analyze                                     the running mesh\n  \
    meshctl analyze my-routes.yaml                      a file, as if it were applied to it\n  \
    meshctl analyze --use-kube=false samples/bookinfo   files alone\n  \
    meshctl analyze -A --failure-threshold Warning -o json\n\n\
    Exit code 79: something was found at or above the failure threshold.")]
pub struct Analyze {
    /// Files or folders; - is standard input
    #[arg(value_name = "FILE|DIR|-")]
    files: Vec<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// log, json or yaml
    #[arg(short, long, value_name = "FORM", default_value = "log", hide_default_value = true)]
    output: String,
    /// Fail from this level on: Info, Warning or Error
    #[arg(long, value_name = "LEVEL", default_value = "Error", hide_default_value = true)]
    failure_threshold: String,
    /// Tell from this level on
    #[arg(long, value_name = "LEVEL", default_value = "Info", hide_default_value = true)]
    output_threshold: String,
    /// CODE=RESOURCE that is not told, with * for any text: -S "IST0103=Pod *.default"
    #[arg(short = 'S', long, value_name = "CODE=RESOURCE")]
    suppress: Vec<Suppression>,
    /// Lists what can be found
    #[arg(short = 'L', long)]
    list_analyzers: bool,
    /// Only what this analyzer finds; several times for several
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    analyzer: Vec<String>,
    /// Folders with everything below them
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Revision of the control plane whose mesh config counts
    #[arg(short, long, value_name = "REVISION", default_value = "default", hide_default_value = true)]
    revision: String,
    /// How long the mesh may take to answer
    #[arg(long, value_name = "DURATION", default_value = "30s", hide_default_value = true)]
    timeout: api::Duration,
    /// Colours on a terminal; --color=false has none
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, hide = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    color: bool,
    /// Say what is looked at
    #[arg(short, long)]
    verbose: bool,
    /// Contexts of other clusters of the mesh, whose Services are compared with this one's
    #[arg(long, value_name = "CONTEXT,...", value_delimiter = ',', hide_short_help = true)]
    remote_contexts: Vec<String>,
    /// Look at the running mesh too; --use-kube=false looks at files only
    #[arg(short = 'k', long, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(
        hide_possible_values = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true
    )]
    use_kube: bool,
    /// Do not fail on files that cannot be read as objects
    #[arg(long)]
    ignore_unknown: bool,
    /// A mesh config file (YAML) instead of the mesh's own
    #[arg(long = "meshConfigFile", value_name = "FILE", hide_short_help = true)]
    mesh_config: Option<String>,
    #[command(flatten)]
    flags: Short,
}

/// Runs it.
///
/// # Errors
/// A file cannot be read, or the mesh does not answer.
pub fn run(args: &Analyze, globals: &Globals) -> Result<Printed> {
    if args.list_analyzers {
        return Ok(Printed::out(list()));
    }
    let form = form(&args.output)?;
    let (fail, tell) = (shown::level(&args.failure_threshold)?, shown::level(&args.output_threshold)?);
    let chosen = chosen(&args.analyzer)?;
    let mut world = Gathered::new(&globals.istio_namespace);
    let mut printed = Printed::default();
    let mut namespace = globals.namespace().to_owned();
    let globals = globals.with(&args.flags);
    let mesh = match (args.use_kube, args.files.is_empty()) {
        (false, _) => None,
        // Files can be analysed without a mesh; without files there is nothing else to look at.
        (true, true) => Some(Mesh::find(&globals)?),
        (true, false) => Mesh::find_if_running(&globals)?,
    };
    if let Some(mesh) = &mesh {
        mesh.namespace().clone_into(&mut namespace);
        if args.files.is_empty() && !args.all_namespaces {
            mesh.namespace_is_there()?;
        }
        let alone = "say --use-kube=false to look at files alone";
        let gathered = world.mesh(mesh, args.timeout.to_std());
        if args.files.is_empty() { gathered? } else { gathered.context(alone)? }
    }
    remotes(args, &globals, &mut world)?;
    let texts = if args.recursive { texts_below(&args.files)? } else { texts(&args.files)? };
    some_objects(&texts)?;
    if let Some(file) = &args.mesh_config {
        world.mesh_config(&crate::cmd::proxy_config::read(file)?);
    } else if args.revision != "default" {
        world.revision(&args.revision);
    }
    world.texts(&texts, &namespace);
    printed.err.push_str(&world.warning());
    if args.verbose {
        let place = mesh.as_ref().map_or("files alone".to_owned(), Mesh::place);
        printed.err.push_str(&format!("Looked at {place}, and {} file(s)\n", texts.len()));
    }
    let unreadable = world.unreadable();
    let named = |finding: &Finding| {
        let key = finding.object.as_ref();
        // A namespace is looked at from inside.
        let own = key.map_or("", |key| if key.kind == Kind::Namespace { &key.name } else { &key.namespace });
        !finding.file.is_empty() || args.all_namespaces || own.is_empty() || own == namespace
    };
    let mut found = world.everything();
    found.retain(|one| named(one) && chosen(one) && !args.suppress.iter().any(|other| other.covers(one)));
    let failed = found.iter().any(|finding| {
        finding.severity >= fail
            && !(args.ignore_unknown && matches!(finding.code, Code::Syntax | Code::NotAnObject))
    });
    found.retain(|finding| finding.severity >= tell);
    let target = target(&texts, args, &namespace);
    match form {
        None => {
            printed.out = shown::log(&found);
            if !args.color {
                printed.out = anstream::adapter::strip_str(&printed.out).to_string();
            }
            if found.is_empty() && unreadable == 0 {
                printed
                    .err
                    .push_str(&format!("\u{2714} No validation issues found when analyzing {target}.\n"));
            }
        }
        Some(form) => printed.out = shown::structured(&found, form)?,
    }
    if failed {
        printed.code = code::FINDINGS;
        if form.is_none() {
            printed.err.push_str(&format!("Error: Analyzers found issues when analyzing {target}.\n"));
        }
    }
    Ok(printed)
}

/// The form of the output; none: lines for people.
fn form(word: &str) -> Result<Option<Form>, BadUsage> {
    match word {
        "log" => Ok(None),
        "json" => Ok(Some(Form::Json)),
        "yaml" => Ok(Some(Form::Yaml)),
        other => Err(BadUsage(format!("output format {other:?} is not known: use log, json or yaml"))),
    }
}

/// Adds the Services of other clusters.
fn remotes(args: &Analyze, globals: &Globals, world: &mut Gathered) -> Result<()> {
    if !args.remote_contexts.is_empty() && !args.use_kube {
        let text = "--remote-contexts compares with other clusters, and --use-kube=false asks none";
        return Err(BadUsage(text.to_owned()).into());
    }
    for name in &args.remote_contexts {
        let other = Globals { context: Some(name.clone()), mesh: None, ..globals.clone() };
        world.remote(name, &Mesh::find(&other)?)?;
    }
    Ok(())
}

/// What there is to find in the whole running mesh, as text: for reports.
///
/// # Errors
/// The mesh does not answer.
pub fn everywhere(globals: &Globals) -> Result<String> {
    let mut world = Gathered::new(&globals.istio_namespace);
    world.mesh(&Mesh::find(globals)?, Duration::from_secs(60))?;
    let warning = world.warning();
    let found = shown::log(&world.everything());
    Ok(warning + &anstream::adapter::strip_str(&found).to_string())
}

fn target(texts: &[Text], args: &Analyze, namespace: &str) -> String {
    if !texts.is_empty() {
        let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
        return names.join("\n");
    }
    if args.all_namespaces { "all namespaces".to_owned() } else { format!("namespace: {namespace}") }
}

/// Every analyzer with its codes.
fn list() -> String {
    let mut table = Table::wide(&["ANALYZER", "CODES", "LOOKS FOR"]);
    for analyzer in ANALYZERS {
        let codes: Vec<&str> = analyzer.codes.iter().map(|code| code.id()).collect();
        let codes = match codes.as_slice() {
            [first, .., last] if codes.len() > 5 => format!("{first} to {last}"),
            _ => codes.join(","),
        };
        table.row([analyzer.name, &codes, analyzer.about]);
    }
    let mut codes = Table::wide(&["CODE", "LEVEL", "NAME", "MEANING"]);
    let found = |code: &&Code| ANALYZERS.iter().any(|analyzer| analyzer.codes.contains(code));
    for code in Code::ALL.iter().filter(found) {
        codes.row([code.id(), shown::level_word(code.severity()), code.name(), code.meaning()]);
    }
    format!("{table}\n{codes}")
}

/// Whether a finding is that of one of these analyzers; none are all of them.
fn chosen(names: &[String]) -> Result<impl Fn(&Finding) -> bool> {
    let mut codes = Vec::new();
    for name in names {
        let known = analyzers::codes(name)
            .with_context(|| BadUsage(format!("{name:?} is no analyzer; -L lists them")))?;
        codes.extend(known);
    }
    let all = names.is_empty();
    Ok(move |one: &Finding| all || codes.contains(&one.code))
}
