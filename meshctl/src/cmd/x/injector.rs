//! `meshctl x injector list`: which namespaces are injected by whom, and with which proxy.
//!
//! In: namespaces, pods, webhooks and the injectors' ConfigMaps of a cluster. Out: istioctl's two tables: namespaces with
//! their pods by revision, and webhooks with their namespaces.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use api::Kind;
use clap::{Args, Subcommand};
use pilot::webhook::inject::NEVER;
use serde_json::Value;

use crate::client::hooks::{Hook, Labels};
use crate::client::{Mesh, What};
use crate::cmd::printed::{BadUsage, Printed};
use crate::globals::{Globals, Short, Target};
use crate::render::Table;

const REVISION: &str = "istio.io/rev";
const INJECTION: &str = "istio-injection";
/// The annotation in which the injector says what it did.
const STATUS: &str = "sidecar.istio.io/status";

/// Look at injection
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Injector {
    #[command(subcommand)]
    what: Words,
}

#[derive(Subcommand, Clone, Debug)]
enum Words {
    /// Namespaces, their revisions, and the webhooks that inject
    List(List),
}

#[derive(Args, Clone, Debug)]
struct List {
    #[command(flatten)]
    flags: Short,
}

pub(super) fn run(args: &Injector, globals: &Globals) -> Result<Printed> {
    let Words::List(args) = &args.what;
    let globals = globals.with(&args.flags);
    let mesh = in_cluster(&globals)?;
    let kinds = [Kind::Namespace, Kind::Pod, Kind::ConfigMap].map(What::Kind);
    let [namespaces, pods, maps] = kinds.map(|what| list(&mesh, what, None));
    let seen = Seen {
        namespaces: namespaces?,
        pods: pods?,
        // Who may not see them all may see those of the control plane; without them images are unknown.
        maps: maps
            .or_else(|_| list(&mesh, What::Kind(Kind::ConfigMap), Some(mesh.system())))
            .unwrap_or_default(),
        system: mesh.system().to_owned(),
    };
    let hooks = Hook::all(&list(&mesh, What::MUTATING, None)?);
    Ok(Printed::out(format!("{}\n{}", seen.by_namespace(&hooks), seen.by_hook(&hooks))))
}

/// The cluster that is meant: a mesh of this machine has no webhooks.
pub(super) fn in_cluster(globals: &Globals) -> Result<Mesh> {
    if matches!(globals.target()?, Target::Laptop(_)) {
        bail!(BadUsage(
            "it asks a cluster's webhooks, and no cluster is meant (--context, --kubeconfig or KUBECONFIG say one); on this \
             machine every pod gets a proxy unless its label or namespace says no"
                .to_owned()
        ));
    }
    Mesh::find(globals)
}

fn list(mesh: &Mesh, what: What, namespace: Option<&str>) -> Result<Vec<Value>> {
    mesh.lists(&[what], namespace).into_iter().try_fold(Vec::new(), |mut all, list| {
        all.extend(list?);
        Ok(all)
    })
}

struct Seen {
    namespaces: Vec<Value>,
    pods: Vec<Value>,
    maps: Vec<Value>,
    system: String,
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn labels(object: &Value) -> Labels {
    serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default()
}

impl Seen {
    /// Namespaces of users.
    fn namespaces(&self) -> impl Iterator<Item = &Value> {
        self.namespaces.iter().filter(|one| !NEVER.contains(&name(one)) && name(one) != self.system)
    }

    fn by_namespace(&self, hooks: &[Hook]) -> String {
        let mut table = Table::tight(&["NAMESPACE", "ISTIO-REVISION", "POD-REVISIONS"]);
        for namespace in self.namespaces() {
            let revision = revision(&labels(namespace), hooks);
            let counts = self.revisions(name(namespace));
            // Those that nobody injects and where nothing runs are nobody's business here.
            if counts.is_empty() && revision.is_empty() {
                continue;
            }
            let counts: Vec<String> =
                counts.into_iter().map(|(revision, count)| format!("{revision}: {count}")).collect();
            let counts = if counts.is_empty() { "<no pods>".to_owned() } else { counts.join(", ") };
            table.row([name(namespace).to_owned(), revision, counts]);
        }
        if table.is_empty() {
            "No Istio injected namespaces present.\n".to_owned()
        } else {
            table.to_string()
        }
    }

    /// Pods of a namespace by the revision that injected them.
    fn revisions(&self, namespace: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for pod in self.pods.iter().filter(|pod| pod["metadata"]["namespace"] == namespace) {
            let status = pod["metadata"]["annotations"][STATUS].as_str();
            let status = status.and_then(|text| serde_json::from_str::<Value>(text).ok());
            let revision = status.map(|status| status["revision"].as_str().unwrap_or("default").to_owned());
            *counts.entry(revision.unwrap_or_else(|| "<non-Istio>".to_owned())).or_default() += 1;
        }
        counts
    }

    fn by_hook(&self, hooks: &[Hook]) -> String {
        if hooks.is_empty() {
            return "No Istio injection hooks present.\n".to_owned();
        }
        let mut table = Table::tight(&["NAMESPACES", "INJECTOR-HOOK", "ISTIO-REVISION", "SIDECAR-IMAGE"]);
        for hook in hooks {
            let taken: Vec<&str> =
                self.namespaces().filter(|one| hook.takes(&labels(one))).map(name).collect();
            let taken = if taken.is_empty() { "DOES NOT AUTOINJECT".to_owned() } else { taken.join(",") };
            let image = self.image(&hook.revision).unwrap_or_else(|| "<unknown>".to_owned());
            table.row([taken, hook.name.clone(), hook.revision.clone(), image]);
        }
        table.to_string()
    }

    /// The proxy's image, of the injector's values.
    fn image(&self, revision: &str) -> Option<String> {
        let wanted = match revision {
            "default" => "istio-sidecar-injector".to_owned(),
            revision => format!("istio-sidecar-injector-{revision}"),
        };
        let ours = |map: &&Value| name(map) == wanted && map["metadata"]["namespace"] == self.system.as_str();
        let text = self.maps.iter().find(ours)?["data"]["values"].as_str()?;
        let global = serde_saphyr::from_str::<Value>(text).ok()?["global"].take();
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let image = global["proxy"]["image"].as_str().unwrap_or("proxyv2");
        if image.contains('/') {
            return Some(image.to_owned());
        }
        Some(format!("{}/{image}:{}", global["hub"].as_str()?, word(&global["tag"])))
    }
}

/// The revision that injects into a namespace: empty for none, `MISSING/...` where it asks for one that is not there.
fn revision(labels: &Labels, hooks: &[Hook]) -> String {
    if let Some(hook) = hooks.iter().find(|hook| hook.takes(labels)) {
        return hook.revision.clone();
    }
    match (labels.get(INJECTION).map(String::as_str), labels.get(REVISION)) {
        (Some("enabled"), _) => format!("MISSING/{INJECTION}"),
        (None, Some(revision)) => format!("MISSING/{revision}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_tables() {
        let hooks = Hook::all(&[
            json!({"metadata": {"name": "istio-sidecar-injector", "labels": {REVISION: "default"}},
            "webhooks": [{"name": "namespace.sidecar-injector.istio.io",
                "namespaceSelector": {"matchLabels": {INJECTION: "enabled"}}}]}),
        ]);
        let namespace = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let pod = |namespace: &str, status: Value| json!({"metadata": {"namespace": namespace, "annotations": {STATUS: status}}});
        let seen = Seen {
            namespaces: vec![
                namespace("in", json!({INJECTION: "enabled"})),
                namespace("next", json!({REVISION: "canary"})),
                namespace("out", json!({})),
                namespace("kube-system", json!({})),
                namespace("istio-system", json!({})),
                namespace("plain", json!({})),
            ],
            pods: vec![
                pod("in", json!("{\"revision\":\"default\"}")),
                pod("in", json!("{\"revision\":\"default\"}")),
                pod("in", Value::Null),
                pod("plain", Value::Null),
            ],
            maps: vec![json!({"metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
                "data": {"values": "global: {hub: h, tag: 1, proxy: {image: proxyv2}}"}})],
            system: "istio-system".to_owned(),
        };
        assert_eq!(
            seen.by_namespace(&hooks),
            "NAMESPACE ISTIO-REVISION POD-REVISIONS\n\
             in        default        <non-Istio>: 1, default: 2\n\
             next      MISSING/canary <no pods>\n\
             plain                    <non-Istio>: 1\n"
        );
        assert_eq!(
            seen.by_hook(&hooks),
            "NAMESPACES INJECTOR-HOOK          ISTIO-REVISION SIDECAR-IMAGE\n\
             in         istio-sidecar-injector default        h/proxyv2:1\n"
        );
        assert_eq!(seen.by_hook(&[]), "No Istio injection hooks present.\n");
    }
}
