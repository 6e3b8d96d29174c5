//! `meshctl get`: objects as tables, YAML, JSON, names or single values.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};
use crate::render::{jsonpath, objects};

/// Show objects of the mesh
#[derive(Debug, Args)]
pub struct Get {
    /// Kinds (pods,services,vs,...; all) and names, or KIND/NAME
    #[arg(required = true, value_name = "KIND [NAME]...")]
    words: Vec<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// wide, yaml, json, name, or jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORM")]
    output: Option<String>,
    /// Without the line of column names
    #[arg(long)]
    no_headers: bool,
    /// With a column of labels
    #[arg(long)]
    show_labels: bool,
}

impl Get {
    /// Asks the mesh and prints.
    pub fn run(self, global: &Global) -> Result<i32> {
        let one = self.words.len() == 2 && !self.words[0].contains(',')
            || self.words.len() == 1 && self.words[0].contains('/');
        let (kinds, names) = if self.words.first().is_some_and(|word| word.contains('/')) {
            (self.words.clone(), Vec::new())
        } else {
            (self.words[..1].to_vec(), self.words[1..].to_vec())
        };
        let namespace = (!self.all_namespaces).then(|| global.namespace().to_owned());
        let ask = Ask::Get(Which { kinds, namespace, names, selector: self.selector.clone() });
        let (code, value) = Client::connect(&global.mesh)?.ask(&ask, &[])?;
        let Some(Value::Array(found)) = value else { return Ok(code) };
        if code != 0 && found.is_empty() {
            return Ok(code);
        }
        let whole = || match (one, found.as_slice()) {
            (true, [object]) => object.clone(),
            _ => {
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found})
            }
        };
        match self.output.as_deref() {
            None | Some("wide") if found.is_empty() => {
                let place = if self.all_namespaces {
                    String::new()
                } else {
                    format!(" in {} namespace", global.namespace())
                };
                anstream::eprintln!("No resources found{place}.");
            }
            None | Some("wide") => {
                let view = objects::View {
                    wide: self.output.is_some(),
                    namespaces: self.all_namespaces,
                    headers: !self.no_headers,
                    labels: self.show_labels,
                };
                anstream::print!("{}", objects::tables(&found, view));
            }
            Some("yaml") => anstream::print!("{}", api::emit::to_yaml(&whole())),
            Some("json") => anstream::println!("{}", serde_json::to_string_pretty(&whole())?),
            Some("name") => {
                found.iter().for_each(|object| anstream::println!("{}", objects::reference(object)))
            }
            Some(other) => match other.strip_prefix("jsonpath=") {
                Some(template) => anstream::print!("{}", jsonpath::render(template, &whole())?),
                None => bail!("output {other:?}: use wide, yaml, json, name or jsonpath=TEMPLATE"),
            },
        }
        Ok(code)
    }
}
