//! Gathers what is analysed and what is found.
//!
//! In: files, and the objects of the running mesh unless that is switched off. Out: findings of each object alone
//! (`api`) and of all together (`pilot`), and the exit code.

use std::collections::BTreeMap;

use anyhow::Result;
use api::{AnyObject, Code, Finding, Findings, Key, Kind};
use clap::{ArgAction, Args};

use super::shown::{self, SUPPRESS, Suppression};
use crate::client::Mesh;
use crate::cmd::printed::{Printed, code, texts};
use crate::globals::{Globals, Short};
use crate::local::input::Text;
use crate::offline::{Plan, model_findings};
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
    let form =
        if args.output == "log" { None } else { Some(args.output.parse().map_err(anyhow::Error::msg)?) };
    let (fail, tell) = (shown::level(&args.failure_threshold)?, shown::level(&args.output_threshold)?);
    let namespace = globals.namespace();
    let texts = texts(&args.files)?;
    let mut world = Gathered::default();
    if args.use_kube {
        world.mesh(args, globals)?;
    }
    if let Some(file) = &args.mesh_config {
        world.mesh_config(file, &globals.istio_namespace)?;
    }
    world.texts(&texts, namespace);
    let unreadable =
        world.findings.iter().filter(|f| matches!(f.code, Code::Syntax | Code::NotAnObject)).count();
    let named = |finding: &Finding| {
        let own = finding.object.as_ref().map_or("", |key| key.namespace.as_str());
        !finding.file.is_empty() || args.all_namespaces || own.is_empty() || own == namespace
    };
    let mut found = world.everything()?;
    found.retain(|finding| named(finding) && !args.suppress.iter().any(|one| one.covers(finding)));
    let failed = found.iter().any(|finding| {
        finding.severity >= fail
            && !(args.ignore_unknown && matches!(finding.code, Code::Syntax | Code::NotAnObject))
    });
    found.retain(|finding| finding.severity >= tell);
    let target = target(&texts, args, namespace);
    let mut printed = Printed::default();
    match form {
        None => {
            printed.out = shown::log(&found);
            if found.is_empty() && unreadable == 0 {
                printed.err = format!("\u{2714} No validation issues found when analyzing {target}.\n");
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

fn target(texts: &[Text], args: &Analyze, namespace: &str) -> String {
    if !texts.is_empty() {
        let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
        return names.join("\n");
    }
    if args.all_namespaces { "all namespaces".to_owned() } else { format!("namespace: {namespace}") }
}

/// Every code that something here can find.
fn list() -> String {
    let mut table = Table::wide(&["CODE", "LEVEL", "NAME", "MEANING"]);
    for code in Code::ALL {
        table.row([code.id(), shown::level_word(code.severity()), code.name(), code.meaning()]);
    }
    table.to_string()
}

/// Objects by name, later ones in place of earlier ones, and what their texts had wrong.
#[derive(Default)]
struct Gathered {
    objects: BTreeMap<Key, AnyObject>,
    findings: Findings,
    /// A running mesh has its pods and its own objects; files alone are planned as `up` would.
    running: bool,
}

impl Gathered {
    fn mesh(&mut self, args: &Analyze, globals: &Globals) -> Result<()> {
        let globals = globals.with(&args.flags);
        // Files can be analysed without a mesh; without files there is nothing else to look at.
        let mesh = match args.files.is_empty() {
            true => Some(Mesh::find(&globals)?),
            false => Mesh::find_if_running(&globals)?,
        };
        let Some(mesh) = mesh else { return Ok(()) };
        self.running = true;
        for value in mesh.objects(Kind::ALL, None)? {
            self.add(api::parse::from_value(value));
        }
        Ok(())
    }

    fn mesh_config(&mut self, file: &str, namespace: &str) -> Result<()> {
        let text = crate::cmd::proxy_config::read(file)?;
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": namespace},
            "data": {"mesh": text},
        });
        self.add(api::parse::from_value(map));
        Ok(())
    }

    fn texts(&mut self, texts: &[Text], namespace: &str) {
        for text in texts {
            self.add(api::parse_in(&text.name, &text.text, namespace));
        }
    }

    fn add(&mut self, parsed: api::Parsed) {
        self.findings.extend(parsed.findings);
        for object in parsed.objects {
            self.objects.insert(object.key(), object);
        }
    }

    /// All findings in order, each once, without those that an object's annotation suppresses.
    fn everything(self) -> Result<Vec<Finding>> {
        let mut findings = self.findings;
        let mut good = Vec::new();
        let mut quiet: BTreeMap<Key, String> = BTreeMap::new();
        for (key, object) in self.objects {
            if let Some(codes) = object.meta().annotation(SUPPRESS) {
                quiet.insert(key, codes.to_owned());
            }
            let own = object.findings();
            // What would be refused is not part of the mesh.
            let refused = own.has_errors();
            findings.extend(own);
            findings.extend(api::honoured::unhonoured(&object));
            if !refused {
                good.push(object);
            }
        }
        if self.running {
            findings.extend(model_findings(good));
        } else {
            let mut plan = Plan::of_objects(good.into_iter().map(|object| (object, None)))?;
            let found = model_findings(plan.objects()?);
            // Of what `up` adds itself, nobody here can change anything.
            findings.extend(
                found.into_iter().filter(|one| !one.object.as_ref().is_some_and(|key| plan.is_own(key))),
            );
        }
        findings.sort();
        let mut seen = std::collections::HashSet::new();
        let mut list = findings.into_vec();
        list.retain(|one| {
            let codes = one.object.as_ref().and_then(|key| quiet.get(key)).map_or("", String::as_str);
            let suppressed = codes.split(',').map(str::trim).any(|code| code == "*" || code == one.code.id());
            let place = (one.code, one.object.clone(), one.path.to_string(), one.line, one.message.clone());
            !suppressed && seen.insert(place)
        });
        list.sort_by_key(|one| (std::cmp::Reverse(one.severity), one.object.clone()));
        Ok(list)
    }
}
