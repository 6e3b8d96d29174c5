//! Where the settings of an injection come from: the ConfigMaps of a control plane in a cluster, or the charts.
//!
//! In: a cluster and names, or an installation; files in place of single texts. Out: a [`Source`]: three texts and what a
//! control plane knows beside them. Nothing is understood here; `settings` does that.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::ValueEnum;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use pilot::webhook::Native;
use serde_json::Value;

use crate::client::kube::Cluster;
use crate::install::cluster::{Id, Objects};
use crate::install::{Installation, Request};

/// The ConfigMap of the injector.
const INJECTOR: &str = "istio-sidecar-injector";
/// The ConfigMap with the mesh config.
const MESH: &str = "istio";

/// A text, and what it is called in errors.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub name: String,
    pub text: String,
}

/// Everything that is known of a control plane.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub(super) config: Read,
    pub(super) values: Read,
    pub(super) mesh: Read,
    /// `default` where it has no name.
    pub(super) revision: String,
    pub(super) native: bool,
    /// The path at which its webhook is asked: it says cluster and network.
    pub(super) path: String,
    /// What templates see of its environment.
    pub(super) variables: BTreeMap<String, String>,
    /// Labels of namespaces.
    pub(super) namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// Files that are given instead.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub config: Option<Read>,
    pub values: Option<Read>,
    pub mesh: Option<Read>,
}

/// What the objects in the cluster are called, where somebody says so.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub injector: Option<String>,
    pub mesh: Option<String>,
    pub webhook: Option<String>,
    pub revision: Option<String>,
}

impl Given {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.config.is_none() && self.values.is_none() && self.mesh.is_none()
    }
}

impl Source {
    /// The settings that an installation would have.
    ///
    /// # Errors
    /// It is wrong, or has no control plane.
    pub fn of_charts(request: &Request) -> Result<Self> {
        let installation = Installation::of(request)?;
        let objects = installation.objects();
        let of_kind = |kind: &'static str| objects.iter().copied().filter(move |one| one["kind"] == kind);
        let data = |key: &str| {
            let found = of_kind("ConfigMap").find(|one| one["data"][key].is_string())?;
            Some(Read { name: place(found, key), text: found["data"][key].as_str()?.to_owned() })
        };
        let (Some(config), Some(values), Some(mesh)) = (data("config"), data("values"), data("mesh")) else {
            bail!("profile {} has no control plane, so it injects nothing", installation.profile);
        };
        let variables = of_kind("Deployment").find_map(discovery).unwrap_or_default();
        let hook = of_kind("MutatingWebhookConfiguration").next();
        Ok(Self {
            config,
            values,
            mesh,
            revision: installation.revision.clone(),
            // On which nodes the pods will be is not known.
            native: native(&variables).on([""; 0]),
            path: hook.map(path).unwrap_or_default(),
            variables,
            namespaces: BTreeMap::new(),
        })
    }

    /// The settings of the control plane in a cluster.
    ///
    /// # Errors
    /// It is not there, or may not be read.
    pub async fn of_cluster(cluster: Cluster, system: &str, names: &Names) -> Result<Self> {
        let revision = names.revision.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        let usual = |name: &str| match revision {
            "default" => name.to_owned(),
            revision => format!("{name}-{revision}"),
        };
        let named = |said: &Option<String>, name: &str| said.clone().unwrap_or_else(|| usual(name));
        let objects = Objects { cluster };
        let map = |name: String| read(&objects, system, name);
        let (injector, mesh) =
            futures_util::try_join!(map(named(&names.injector, INJECTOR)), map(named(&names.mesh, MESH)))?;
        let name = named(&names.webhook, INJECTOR);
        let hook = objects.get(&Id::new("MutatingWebhookConfiguration", "", &name)).await;
        let hook = match (hook, &names.webhook) {
            (Ok(None), Some(_)) => bail!("there is no MutatingWebhookConfiguration {name}"),
            (Err(error), Some(_)) => return Err(error),
            // Who may read no webhooks gets what its path would say by other means.
            (found, _) => found.ok().flatten(),
        };
        let istiod = Id::new("Deployment", system, &usual("istiod"));
        let variables = objects.get(&istiod).await.ok().flatten().as_ref().and_then(discovery);
        let variables = variables.unwrap_or_default();
        Ok(Self {
            config: key(&injector, "config")?,
            values: key(&injector, "values")?,
            mesh: key(&mesh, "mesh")?,
            revision: revision.to_owned(),
            native: native(&variables).on(kubelets(&objects.cluster).await),
            path: hook.as_ref().map(path).unwrap_or_default(),
            variables,
            namespaces: namespaces(&objects).await,
        })
    }

    /// The same with these files in place of its own texts.
    #[must_use]
    pub fn with(self, given: Given) -> Self {
        Self {
            config: given.config.unwrap_or(self.config),
            values: given.values.unwrap_or(self.values),
            mesh: given.mesh.unwrap_or(self.mesh),
            ..self
        }
    }
}

fn place(map: &Value, key: &str) -> String {
    let word = |field: &str| map["metadata"][field].as_str().unwrap_or_default();
    format!("ConfigMap {}/{}, key {key}", word("namespace"), word("name"))
}

async fn read(objects: &Objects, system: &str, name: String) -> Result<Value> {
    let found = objects.get(&Id::new("ConfigMap", system, &name)).await?;
    let Some(map) = found else {
        bail!(
            "there is no ConfigMap {system}/{name} in the cluster {}: say --revision and --istioNamespace if the control plane \
             has others, or --operatorFileName FILE to inject without a cluster",
            objects.cluster.place()
        );
    };
    Ok(map)
}

fn key(map: &Value, key: &str) -> Result<Read> {
    match map["data"][key].as_str() {
        Some(text) => Ok(Read { name: place(map, key), text: text.to_owned() }),
        None => bail!("{}: it is not there", place(map, key)),
    }
}

/// The environment of a control plane, as far as it is written down.
fn discovery(deployment: &Value) -> Option<BTreeMap<String, String>> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    let container = containers.iter().find(|one| one["name"] == "discovery")?;
    let variables = container["env"].as_array().into_iter().flatten();
    let pair = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["value"].as_str()?.to_owned()));
    Some(variables.filter_map(pair).collect())
}

fn native(variables: &BTreeMap<String, String>) -> Native {
    let said = variables.get("ENABLE_NATIVE_SIDECARS");
    said.and_then(|word| Native::from_str(word, true).ok()).unwrap_or(Native::Auto)
}

/// The path of a webhook configuration.
fn path(configuration: &Value) -> String {
    let hooks = configuration["webhooks"].as_array().into_iter().flatten();
    let of = |hook: &Value| {
        let client = &hook["clientConfig"];
        let url = || client["url"].as_str()?.parse::<http::Uri>().ok().map(|url| url.path().to_owned());
        client["service"]["path"].as_str().map(str::to_owned).or_else(url)
    };
    hooks.into_iter().find_map(of).unwrap_or_default()
}

/// Versions of the nodes' kubelets; none where nobody may ask, and then no pod gets a native sidecar.
async fn kubelets(cluster: &Cluster) -> Vec<String> {
    let nodes: Api<Node> = Api::all(cluster.client().clone());
    let Ok(nodes) = nodes.list(&ListParams::default()).await else { return Vec::new() };
    let version = |node: Node| Some(node.status?.node_info?.kubelet_version);
    nodes.items.into_iter().map(|node| version(node).unwrap_or_default()).collect()
}

/// Labels of all namespaces; none where nobody may ask.
async fn namespaces(objects: &Objects) -> BTreeMap<String, BTreeMap<String, String>> {
    let row = &Id::new("Namespace", "", "").row;
    let list = objects.list(row, "", "").await.unwrap_or_default();
    let read = |one: Value| {
        let labels = serde_json::from_value(one["metadata"]["labels"].clone()).unwrap_or_default();
        Some((one["metadata"]["name"].as_str()?.to_owned(), labels))
    };
    list.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_control_plane_says_of_itself() {
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"name": "discovery", "env": [
            {"name": "ENABLE_NATIVE_SIDECARS", "value": "true"}, {"name": "POD_NAME", "valueFrom": {}}]}]}}}});
        let variables = discovery(&deployment).unwrap();
        assert_eq!((variables.len(), native(&variables)), (1, Native::Always));
        assert_eq!(native(&BTreeMap::new()), Native::Auto);
        let hook = |client: Value| json!({"webhooks": [{"clientConfig": client}]});
        assert_eq!(path(&hook(json!({"service": {"path": "/inject/cluster/a"}}))), "/inject/cluster/a");
        assert_eq!(path(&hook(json!({"url": "https://a:15017/inject/net/n"}))), "/inject/net/n");
        assert_eq!(path(&hook(json!({}))), "");
    }
}
