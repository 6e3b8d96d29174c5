//! `meshctl manifest diff`: two manifests, or what settings would change in a cluster.
//!
//! In: two files, or settings. Out: changed objects as unified differences; exit code 1 if there are any. Nothing is
//! changed: the API server itself says what would become of its objects.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::printed::{BadInput, BadUsage, Printed, texts};
use super::settings::Settings;
use crate::client::kube::block_on;
use crate::globals::{Globals, Short};
use crate::install::cluster;
use crate::render::diff;

/// Show what differs between two manifests, or between settings and a cluster
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl manifest diff old.yaml new.yaml\n  \
    meshctl manifest diff --set profile=demo        what install would change in the cluster")]
pub struct Diff {
    /// Two files; without them, settings and the cluster
    #[arg(value_name = "FILE", num_args = 0..=2)]
    files: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    short: Short,
}

/// Runs it.
///
/// # Errors
/// A file cannot be read, a setting is wrong, the cluster does not answer.
pub fn run(args: &Diff, globals: &Globals) -> Result<Printed> {
    let out = match args.files.as_slice() {
        [] => {
            let globals = globals.with(&args.short);
            globals.cluster_only()?;
            block_on(with_cluster(&args.settings, &globals))?
        }
        [old, new] => between(&named(old)?, &named(new)?),
        [_] => return Err(BadUsage("say two files, or none to compare with the cluster".into()).into()),
        more => return Err(BadUsage(format!("two files can be compared, not {}", more.len())).into()),
    };
    Ok(Printed { code: u8::from(!out.is_empty()), out, ..Printed::default() })
}

type Named = BTreeMap<String, String>;

/// The objects of a file by kind, namespace and name, each as YAML.
fn named(file: &str) -> Result<Named> {
    let mut all = Named::new();
    for text in texts(&[file.to_owned()])? {
        let documents = api::yaml::load(&text.text, 1)
            .map_err(|error| BadInput(format!("{}, line {}: {}", text.name, error.line, error.message)))?;
        for object in documents.into_iter().map(|document| document.value).filter(Value::is_object) {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let meta = &object["metadata"];
            let name = [word(&object["kind"]), word(&meta["namespace"]), word(&meta["name"])].join(" ");
            all.insert(name.replace("  ", " "), api::emit::to_yaml(&object));
        }
    }
    Ok(all)
}

fn between(old: &Named, new: &Named) -> String {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let empty = String::new();
    let one = |name: &String| {
        let (before, after) = (old.get(name).unwrap_or(&empty), new.get(name).unwrap_or(&empty));
        shown(name, before, after)
    };
    names.into_iter().map(one).collect()
}

/// One object's difference under its name.
fn shown(name: &str, before: &str, after: &str) -> String {
    let changed = diff(before, after);
    if changed.is_empty() {
        return String::new();
    }
    let word = if before.is_empty() {
        " (new)"
    } else if after.is_empty() {
        " (removed)"
    } else {
        ""
    };
    format!("{name}{word}\n{changed}\n")
}

async fn with_cluster(settings: &Settings, globals: &Globals) -> Result<String> {
    let ready = super::install::prepare(settings, globals).await?;
    let changes = cluster::preview(&ready.objects, &ready.installation, &ready.found).await?;
    let text = |object: &Option<Value>| object.as_ref().map(api::emit::to_yaml).unwrap_or_default();
    Ok(changes
        .iter()
        .map(|change| shown(&change.id.to_string(), &text(&change.before), &text(&change.after)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_compared_by_name() {
        let named = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Named>()
        };
        let old = named(&[("Service a", "a: 1\n"), ("Service b", "b: 1\n")]);
        let new = named(&[("Service a", "a: 2\n"), ("Service c", "c: 1\n")]);
        assert_eq!(
            between(&old, &new),
            "Service a\n-a: 1\n+a: 2\n\nService b (removed)\n-b: 1\n\nService c (new)\n+c: 1\n\n"
        );
        assert_eq!(between(&old, &old), "");
    }
}
