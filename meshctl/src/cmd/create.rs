//! `meshctl create`: new objects, from files or from the command line.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::files::{Accepted, Files};
use super::printed::BadUsage;
use crate::cli::Global;
use crate::local::client::Client;
use crate::local::input::Text;
use crate::local::protocol::Ask;

/// Make new objects
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Create {
    #[command(flatten)]
    files: Files,
    /// Only say what would happen (client, server)
    #[arg(long, num_args = 0..=1, require_equals = true, global = true)]
    #[arg(default_missing_value = "client", value_name = "WHERE")]
    dry_run: Option<String>,
    /// With --dry-run: yaml or json prints the object
    #[arg(short, long, value_name = "FORM", global = true)]
    output: Option<String>,
    #[command(flatten)]
    accepted: Accepted,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A namespace
    #[command(alias = "ns")]
    Namespace { name: String },
    /// A secret: generic or tls
    Secret {
        #[command(subcommand)]
        kind: Secret,
    },
    /// A config map
    #[command(alias = "cm")]
    Configmap {
        name: String,
        #[command(flatten)]
        data: Data,
    },
    /// A service account
    #[command(alias = "sa")]
    Serviceaccount { name: String },
}

#[derive(Debug, Subcommand)]
enum Secret {
    /// From files and literals
    Generic {
        name: String,
        #[command(flatten)]
        data: Data,
    },
    /// From a certificate and its key
    Tls {
        name: String,
        #[arg(long, value_name = "FILE")]
        cert: String,
        #[arg(long, value_name = "FILE")]
        key: String,
    },
}

#[derive(Debug, Args)]
struct Data {
    /// A key and its value
    #[arg(long, value_name = "KEY=VALUE")]
    from_literal: Vec<String>,
    /// A file, under its own name or another key
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<String>,
}

impl Data {
    fn read(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        for literal in &self.from_literal {
            let (key, value) =
                literal.split_once('=').with_context(|| format!("{literal:?} is not KEY=VALUE"))?;
            found.push((key.to_owned(), value.as_bytes().to_vec()));
        }
        for file in &self.from_file {
            let (key, path) = match file.split_once('=') {
                Some((key, path)) => (key.to_owned(), path),
                None => {
                    let name = Path::new(file).file_name().and_then(|name| name.to_str());
                    (name.with_context(|| format!("{file:?} has no file name"))?.to_owned(), file.as_str())
                }
            };
            found.push((key, std::fs::read(path).with_context(|| path.to_owned())?));
        }
        Ok(found)
    }
}

fn base64_map(data: Vec<(String, Vec<u8>)>) -> Value {
    Value::Object(data.into_iter().map(|(key, bytes)| (key, Value::String(STANDARD.encode(bytes)))).collect())
}

impl Create {
    /// Makes the objects; one that exists already is refused.
    pub fn run(self, global: &Global) -> Result<i32> {
        let texts = match self.what {
            None if self.files.is_empty() => {
                bail!(BadUsage("say what: -f FILE, or namespace, secret, configmap, serviceaccount".into()))
            }
            None => self.files.read(&[])?,
            Some(what) => {
                let mut object = object(what)?;
                if object["kind"] != "Namespace" {
                    object["metadata"]["namespace"] = json!(global.namespace());
                }
                match (&self.dry_run, self.output.as_deref()) {
                    (Some(_), Some("yaml")) => {
                        anstream::print!("{}", api::emit::to_yaml(&object));
                        return Ok(0);
                    }
                    (Some(_), Some("json")) => {
                        anstream::println!("{}", serde_json::to_string_pretty(&object)?);
                        return Ok(0);
                    }
                    _ => {}
                }
                let path = std::env::current_dir()?.join("command line");
                vec![Text { name: "command line".to_owned(), path, text: object.to_string() }]
            }
        };
        let dry_run = self.dry_run.is_some_and(|word| word != "none");
        let ask = Ask::Apply { texts, namespace: global.namespace().to_owned(), create: true, dry_run };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}

fn object(what: What) -> Result<Value> {
    let meta = |name: String| json!({"name": name});
    Ok(match what {
        What::Namespace { name } => json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta(name)}),
        What::Serviceaccount { name } => {
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name)})
        }
        What::Configmap { name, data } => {
            let (mut text, mut binary) = (Map::new(), Map::new());
            for (key, bytes) in data.read()? {
                match String::from_utf8(bytes) {
                    Ok(value) => drop(text.insert(key, Value::String(value))),
                    Err(error) => {
                        drop(binary.insert(key, Value::String(STANDARD.encode(error.into_bytes()))))
                    }
                }
            }
            let mut map =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name), "data": text});
            if !binary.is_empty() {
                map["binaryData"] = Value::Object(binary);
            }
            map
        }
        What::Secret { kind: Secret::Generic { name, data } } => json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta(name), "type": "Opaque", "data": base64_map(data.read()?),
        }),
        What::Secret { kind: Secret::Tls { name, cert, key } } => {
            let read = |file: &str| std::fs::read(file).with_context(|| file.to_owned());
            let data =
                base64_map(vec![("tls.crt".to_owned(), read(&cert)?), ("tls.key".to_owned(), read(&key)?)]);
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta(name), "type": "kubernetes.io/tls", "data": data})
        }
    })
}
