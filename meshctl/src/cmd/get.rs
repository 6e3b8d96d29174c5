//! `meshctl get`: objects as tables, YAML, JSON, names or single values.
//!
//! In: kinds and names, or files that name them. Out: what the mesh has of them. Without `-n` a name that is not in
//! `default` is shown from wherever it is. `-w` goes on with what changes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::files::Files;
use super::printed::BadUsage;
use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};
use crate::render::{jsonpath, objects};

/// Between two looks of `-w`.
const WATCH: Duration = Duration::from_millis(200);

/// Show objects of the mesh
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshctl get pods,services,vs,dr -A\n  \
    meshctl get services istio-ingressgateway\n  \
    meshctl get pod -l app=reviews -o jsonpath='{.items[0].metadata.name}'")]
pub struct Get {
    /// Kinds (pods,services,vs,...; all) and names, or KIND/NAME
    #[arg(required_unless_present_any = ["files", "kustomize"], value_name = "KIND [NAME]...")]
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Those with these labels: key=value, key!=value, key, !key, key in (a,b)
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Those with these values, such as status.phase=Running
    #[arg(long, value_name = "PATH=VALUE")]
    field_selector: Option<String>,
    /// wide, yaml, json, name, jsonpath=TEMPLATE or custom-columns=TITLE:PATH,...
    #[arg(short, long, value_name = "FORM")]
    output: Option<String>,
    /// The template of -o jsonpath
    #[arg(long, hide = true)]
    template: Option<String>,
    /// In the order of this path, such as .metadata.name
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// Without the line of column names
    #[arg(long)]
    no_headers: bool,
    /// With a column of labels
    #[arg(long)]
    show_labels: bool,
    /// With a column for each of these labels
    #[arg(short = 'L', long, value_name = "KEY", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// What is not there is no error
    #[arg(long)]
    ignore_not_found: bool,
    /// Go on with what changes
    #[arg(short, long)]
    watch: bool,
}

impl Get {
    /// Asks the mesh and prints.
    pub fn run(self, global: &Global) -> Result<i32> {
        let asks = self.asks(global)?;
        let mut client = Client::connect(&global.mesh)?;
        let (code, found) = self.look(&mut client, &asks)?;
        if !found.is_empty() || code == 0 {
            self.print(&found, global, self.no_headers)?;
        }
        if !self.watch {
            return Ok(if self.ignore_not_found { 0 } else { code });
        }
        let mut seen = versions(&found);
        loop {
            std::thread::sleep(WATCH);
            let (_, found) = self.look(&mut client, &asks)?;
            let now = versions(&found);
            let changed: Vec<Value> =
                found.into_iter().filter(|object| seen.get(&id(object)) != now.get(&id(object))).collect();
            if !changed.is_empty() {
                self.print(&changed, global, true)?;
            }
            seen = now;
        }
    }

    /// One question, or one for each namespace that the files name.
    fn asks(&self, global: &Global) -> Result<Vec<Ask>> {
        let selector = self.selector.clone();
        if !self.files.is_empty() {
            let mut asks = Vec::new();
            for text in self.files.read(&self.words)? {
                for object in api::parse_in(&text.name, &text.text, global.namespace()).objects {
                    let key = object.key();
                    asks.push(Ask::Get(Which {
                        kinds: vec![format!("{}/{}", crate::local::apply::kind_word(key.kind), key.name)],
                        namespace: Some(key.namespace),
                        selector: selector.clone(),
                        ..Which::default()
                    }));
                }
            }
            return Ok(asks);
        }
        let (kinds, names) = if self.words.first().is_some_and(|word| word.contains('/')) {
            (self.words.clone(), Vec::new())
        } else {
            (self.words[..1].to_vec(), self.words[1..].to_vec())
        };
        let namespace = (!self.all_namespaces).then(|| global.namespace().to_owned());
        let elsewhere = global.namespace.is_none();
        Ok(vec![Ask::Get(Which { kinds, namespace, names, selector, elsewhere })])
    }

    fn look(&self, client: &mut Client, asks: &[Ask]) -> Result<(i32, Vec<Value>)> {
        let (mut code, mut all) = (0, Vec::new());
        for ask in asks {
            match client.ask(ask, &[])? {
                (worse, Some(Value::Array(found))) => {
                    code = code.max(worse);
                    all.extend(found);
                }
                (worse, _) => code = code.max(worse),
            }
        }
        for term in self.field_selector.iter().flat_map(|text| text.split(',')) {
            let (path, value, equal) = match (term.split_once("!="), term.split_once('=')) {
                (Some((path, value)), _) => (path, value, false),
                (None, Some((path, value))) => (path, value.trim_start_matches('='), true),
                (None, None) => {
                    bail!(BadUsage(format!("--field-selector {term:?}: write PATH=VALUE or PATH!=VALUE")))
                }
            };
            let path = format!(".{path}");
            all.retain(|object| (text_at(&path, object) == value) == equal);
        }
        if let Some(path) = &self.sort_by {
            let path = path.trim_matches(['{', '}']);
            jsonpath::select(path, &Value::Null)?;
            all.sort_by_cached_key(|object| {
                let text = text_at(path, object);
                (text.parse::<i64>().unwrap_or(i64::MAX), text)
            });
        }
        Ok((code, all))
    }

    /// Whether the user named a single object, which is shown without a list around it.
    fn is_one(&self) -> bool {
        self.words.len() == 2 && !self.words[0].contains(',') && !self.words[0].contains('/')
            || self.words.len() == 1 && self.words[0].contains('/')
    }

    fn print(&self, found: &[Value], global: &Global, no_headers: bool) -> Result<()> {
        let whole = || match (self.is_one(), found) {
            (true, [object]) => object.clone(),
            _ => {
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found})
            }
        };
        let form = self.output.as_deref().unwrap_or_default();
        let (form, detail) =
            form.split_once('=').unwrap_or((form, self.template.as_deref().unwrap_or_default()));
        match form {
            "" | "wide" if found.is_empty() => self.nothing(global),
            "" | "wide" => {
                let here = |object: &Value| {
                    object["metadata"]["namespace"].as_str().is_none_or(|own| own == global.namespace())
                };
                let view = objects::View {
                    wide: form == "wide",
                    namespaces: self.all_namespaces || !found.iter().all(here),
                    headers: !no_headers,
                    labels: self.show_labels,
                    columns: &self.label_columns,
                };
                anstream::print!("{}", objects::tables(found, view));
            }
            "yaml" => anstream::print!("{}", api::emit::to_yaml(&whole())),
            "json" => anstream::println!("{}", serde_json::to_string_pretty(&whole())?),
            "name" => found.iter().for_each(|object| anstream::println!("{}", objects::reference(object))),
            "jsonpath" if detail.is_empty() => bail!(BadUsage("-o jsonpath needs =TEMPLATE".into())),
            "jsonpath" => anstream::print!("{}", jsonpath::render(detail, &whole())?),
            "custom-columns" => anstream::print!("{}", objects::custom(found, detail, !no_headers)?),
            other => bail!(BadUsage(format!(
                "output {other:?}: use wide, yaml, json, name, jsonpath=TEMPLATE or custom-columns=TITLE:PATH,..."
            ))),
        }
        Ok(())
    }

    fn nothing(&self, global: &Global) {
        match (self.ignore_not_found, self.all_namespaces) {
            (true, _) => {}
            (false, true) => anstream::eprintln!("No resources found."),
            (false, false) => anstream::eprintln!("No resources found in {} namespace.", global.namespace()),
        }
    }
}

fn text_at(path: &str, object: &Value) -> String {
    let found = jsonpath::select(path, object).unwrap_or_default();
    found.first().map_or_else(String::new, |value| jsonpath::word(value))
}

/// Kind, namespace and name.
fn id(object: &Value) -> [String; 3] {
    [&object["kind"], &object["metadata"]["namespace"], &object["metadata"]["name"]].map(Value::to_string)
}

/// What is told of each object now.
fn versions(objects: &[Value]) -> BTreeMap<[String; 3], Value> {
    objects.iter().map(|object| (id(object), object.clone())).collect()
}
