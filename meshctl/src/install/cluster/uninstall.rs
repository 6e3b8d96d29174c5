//! What an installation owns out of a cluster, and nothing of others.
//!
//! In: a revision, the objects of settings, or everything. Out first a `Removal`, to be shown and confirmed; then the
//! objects gone, in an order in which nothing is refused or made anew: webhooks, what runs (and its pods), the rest,
//! definitions, namespaces that were made for it and hold nothing else. Called by `cmd/uninstall`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::watcher;
use serde_json::Value;

use super::labels::{COMPONENT, MANAGED, REVISION};
use super::leftovers;
use super::look::{AT_ONCE, Istiod};
use super::objects::{Id, Objects, ROWS, Row};
use super::progress::Progress;

/// How long things may take to go: pods end their connections first.
const PATIENCE: Duration = Duration::from_secs(120);
/// The label that the injector gives to pods with a proxy.
const MESHED: &str = "security.istio.io/tlsMode=istio";
/// What a webhook, or a validator, of a revision without a name of its own is called.
const VALIDATOR: &str = "istiod-default-validator";

/// What to remove.
#[derive(Clone, Debug)]
pub enum What {
    /// The control plane of a revision with its gateways and tags. What revisions share stays.
    Revision(String),
    /// Those of these objects that exist; what revisions share stays.
    Objects(String, Vec<Id>),
    /// All that belongs to any revision, definitions and with them all objects of users included.
    Everything,
}

/// What will be removed.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    pub ids: BTreeSet<Id>,
    /// Pods with a proxy that would be left without control plane: `NAME.NAMESPACE`.
    pub proxies: Vec<String>,
    /// Objects of users that go with their definitions: kind and number.
    pub lost: Vec<(String, usize)>,
    /// Objects of Helm releases, which Helm has to remove.
    pub helm: BTreeSet<String>,
}

impl Removal {
    /// Names of gateways that will go.
    pub fn gateways(&self) -> Vec<&str> {
        let runs = self.ids.iter().filter(|id| matches!(id.row.kind, "Deployment" | "DaemonSet"));
        runs.map(|id| id.name.as_str()).filter(|name| !name.starts_with("istiod")).collect()
    }
}

/// Finds out what will be removed.
///
/// # Errors
/// Istio itself is installed, whose objects have the same labels; or the API server does not answer.
pub async fn removal(objects: &Objects, what: &What, namespace: &str) -> Result<Removal> {
    let deployments = Row::of("Deployment").expect("in the table");
    let istiods: Vec<Istiod> =
        objects.list(deployments, "", "app=istiod").await?.iter().map(Istiod::read).collect();
    if let Some(other) = istiods.iter().find(|istiod| !istiod.ours) {
        bail!(
            "Istio {} is installed here (Deployment {}/{}), and its objects have the labels of ours; use `istioctl uninstall`",
            other.version(),
            other.namespace,
            other.name
        );
    }
    let mut removal = Removal::default();
    match what {
        What::Revision(revision) => {
            removal
                .of_labels(objects, &format!("{COMPONENT},{COMPONENT}!=Base,{REVISION}={revision}"))
                .await?;
            removal.validator_of(objects, revision).await?;
            removal.proxies = proxies(objects, Some(revision), &removal).await?;
        }
        What::Objects(revision, ids) => {
            for id in ids {
                if let Some(live) = objects.get(id).await?.filter(is_managed) {
                    removal.take(&live)?;
                }
            }
            removal.validator_of(objects, revision).await?;
            removal.proxies = proxies(objects, Some(revision), &removal).await?;
        }
        What::Everything => {
            removal.of_labels(objects, COMPONENT).await?;
            let mut places: BTreeSet<String> = istiods.into_iter().map(|istiod| istiod.namespace).collect();
            places.insert(namespace.to_owned());
            removal.ids.extend(leftovers::of_pilot(objects, &places).await?);
            removal.lost = leftovers::of_users(objects, &removal.ids).await?;
            removal.proxies = proxies(objects, None, &removal).await?;
        }
    }
    Ok(removal)
}

fn is_managed(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGED] == "Reconcile"
}

impl Removal {
    async fn of_labels(&mut self, objects: &Objects, labels: &str) -> Result<()> {
        let list = |row: &'static Row| objects.list(row, "", labels);
        let kinds = ROWS.iter().filter(|row| row.kind != "Namespace");
        let found: Vec<Vec<Value>> =
            futures_util::stream::iter(kinds).map(list).buffer_unordered(AT_ONCE).try_collect().await?;
        found.iter().flatten().try_for_each(|object| self.take(object))
    }

    /// Nobody would answer the default validator of a revision that goes, and every object would be refused.
    async fn validator_of(&mut self, objects: &Objects, revision: &str) -> Result<()> {
        let id = Id::new("ValidatingWebhookConfiguration", "", VALIDATOR);
        match objects.get(&id).await? {
            Some(live) if live["metadata"]["labels"][REVISION] == revision => self.take(&live),
            _ => Ok(()),
        }
    }

    /// Adds an object, unless it goes with its owner or belongs to Helm.
    fn take(&mut self, object: &Value) -> Result<()> {
        let meta = &object["metadata"];
        if meta["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty()) {
            return Ok(());
        }
        if let Some(release) = meta["annotations"]["meta.helm.sh/release-name"].as_str() {
            let namespace =
                meta["annotations"]["meta.helm.sh/release-namespace"].as_str().unwrap_or_default();
            self.helm.insert(format!("helm uninstall {release} -n {namespace}"));
            return Ok(());
        }
        self.ids.insert(Id::of(object)?);
        Ok(())
    }
}

/// Pods whose proxies listen to what goes, apart from those that go themselves.
async fn proxies(objects: &Objects, revision: Option<&str>, removal: &Removal) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::all(objects.cluster.client().clone());
    let list = pods.list(&ListParams::default().labels(MESHED)).await;
    let list = list.map_err(|error| objects.cluster.explain("list pods", error))?;
    let of = |pod: Pod| {
        let (name, namespace) = (pod.metadata.name?, pod.metadata.namespace?);
        let status = pod.metadata.annotations?.get("sidecar.istio.io/status").cloned().unwrap_or_default();
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let own = status["revision"].as_str().unwrap_or("default");
        let goes = removal.ids.iter().any(|id| {
            matches!(id.row.kind, "Deployment" | "DaemonSet")
                && id.namespace == namespace
                && name.strip_prefix(&id.name).is_some_and(|rest| rest.starts_with('-'))
        });
        (revision.is_none_or(|revision| revision == own) && !goes).then(|| format!("{name}.{namespace}"))
    };
    Ok(list.items.into_iter().filter_map(of).collect())
}

/// Removes it, and waits until it is gone.
///
/// # Errors
/// The API server refuses, or something does not go.
pub async fn uninstall(
    objects: &Objects,
    removal: &Removal,
    everything: bool,
    progress: &Progress,
) -> Result<()> {
    let stage = |id: &Id| match id.row.kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 0,
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" | "Deployment" | "DaemonSet" => 1,
        "CustomResourceDefinition" => 3,
        _ => 2,
    };
    progress.begin("Uninstall");
    for current in 0..4 {
        let ids: Vec<&Id> = removal.ids.iter().filter(|id| stage(id) == current).collect();
        let all = futures_util::stream::iter(ids).map(|id| gone(objects, id, progress));
        let all = all.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>();
        progress.during(all).await?;
    }
    if everything {
        let places: BTreeSet<&str> =
            removal.ids.iter().map(|id| id.namespace.as_str()).filter(|name| !name.is_empty()).collect();
        for name in places {
            progress.during(namespace(objects, name, progress)).await?;
        }
    }
    progress.clear();
    Ok(())
}

/// Deletes an object and waits until it is gone with all that it owns.
async fn gone(objects: &Objects, id: &Id, progress: &Progress) -> Result<()> {
    if !objects.delete(id, &DeleteParams::foreground()).await? {
        return Ok(());
    }
    let api = objects.api(id.row, &id.namespace);
    let mut states = watcher::watch_object(api, &id.name).boxed();
    let ended = async {
        while let Some(state) = states.next().await {
            if matches!(state, Ok(None)) {
                return;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, ended).await.is_err() {
        let live = objects.get(id).await?.unwrap_or_default();
        let finalizers = &live["metadata"]["finalizers"];
        bail!(
            "{id} does not go (finalizers: {finalizers}); it is marked for deletion, look at `kubectl describe`"
        );
    }
    progress.line(&format!("  Removed {}.", id.as_istio()));
    Ok(())
}

/// A namespace that was made for the installation goes when nothing else is in it.
async fn namespace(objects: &Objects, name: &str, progress: &Progress) -> Result<()> {
    let id = Id::new("Namespace", "", name);
    let Some(live) = objects.get(&id).await?.filter(is_managed) else { return Ok(()) };
    if !live["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let others = leftovers::in_namespace(objects, name).await?;
    if others.is_empty() {
        return gone(objects, &id, progress).await;
    }
    let shown: Vec<&str> = others.iter().take(5).map(String::as_str).collect();
    let more = others.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    progress.line(&format!("  Namespace {name} stays: it holds {}{more}.", shown.join(", ")));
    Ok(())
}
