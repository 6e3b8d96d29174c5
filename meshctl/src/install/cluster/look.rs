//! What a cluster has, as far as an installation is concerned. Reads only.
//!
//! In: a cluster, and the installation that is wanted. Out: `Found`: its version, every control plane, which of the
//! wanted objects exist, and which others of the same installation do. Called by `install`, `precheck` and `diff`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::Value;

use super::labels::{COMPONENT, MANAGED, REVISION};
use super::objects::{Id, Objects, ROWS, Row};
use super::tags::TAG;

/// Requests at a time: each is a connection of its own.
pub(super) const AT_ONCE: usize = 8;
/// The annotation of our istiod, which tells it from Istio's.
const OURS: &str = "mesh.local/program";

/// A control plane that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Istiod {
    pub namespace: String,
    pub name: String,
    pub revision: String,
    pub image: String,
    /// Of this project, not of Istio.
    pub ours: bool,
}

impl Istiod {
    pub(super) fn read(object: &Value) -> Self {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let discovery = containers.into_iter().flatten().find(|container| container["name"] == "discovery");
        let revision = word(&meta["labels"][REVISION]);
        Self {
            namespace: word(&meta["namespace"]),
            name: word(&meta["name"]),
            revision: if revision.is_empty() { "default".to_owned() } else { revision },
            image: word(&discovery.unwrap_or(&Value::Null)["image"]),
            ours: !meta["annotations"][OURS].is_null(),
        }
    }

    /// The version, from the image's tag.
    pub fn version(&self) -> &str {
        let name = self.image.split_once('@').map_or(self.image.as_str(), |(name, _)| name);
        match name.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag,
            _ => "unknown",
        }
    }
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// As the API server says it: `v1.34.2`.
    pub version: String,
    /// Major and minor.
    pub number: (u32, u32),
    pub istiods: Vec<Istiod>,
    /// Wanted objects that exist, as they are.
    pub live: BTreeMap<Id, Value>,
    /// Namespaces of wanted objects that do not exist.
    pub missing: BTreeSet<String>,
    /// Objects of the same installation that are not wanted any more.
    pub stale: BTreeSet<Id>,
}

/// Who answers for pods and objects that name no revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultRevision {
    /// There is an injector of any revision.
    pub any: bool,
    /// One of them answers for namespaces with `istio-injection=enabled`.
    pub enabled: bool,
    /// The revision behind the tag `default`.
    pub tag: Option<String>,
    /// The revision behind the default validator.
    pub validator: Option<String>,
}

impl DefaultRevision {
    /// Whether an installation of this revision answers for them: the one without a name always does, another one if
    /// nobody else is there or if it does already.
    pub fn is_claimed_by(&self, revision: &str) -> bool {
        revision == "default" || !self.any || self.tag.as_deref() == Some(revision)
    }
}

/// Looks.
///
/// # Errors
/// The API server does not answer, or may not be asked.
pub async fn look(objects: &Objects, info: &Info, wanted: &[Value], revision: &str) -> Result<Found> {
    let ids: Vec<Id> = wanted.iter().map(Id::of).collect::<Result<_>>()?;
    let deployments = Row::of("Deployment").expect("in the table");
    let (istiods, live, missing, stale) = futures_util::try_join!(
        objects.list(deployments, "", "app=istiod"),
        live(objects, &ids),
        missing(objects, &ids),
        stale(objects, &ids, revision),
    )?;
    let digits =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    Ok(Found {
        version: info.git_version.clone(),
        number: (digits(&info.major), digits(&info.minor)),
        istiods: istiods.iter().map(Istiod::read).collect(),
        live,
        missing,
        stale,
    })
}

/// Those of the wanted objects that exist.
async fn live(objects: &Objects, ids: &[Id]) -> Result<BTreeMap<Id, Value>> {
    let get = |id: Id| async move { anyhow::Ok((objects.get(&id).await?, id)) };
    let found: Vec<(Option<Value>, Id)> =
        futures_util::stream::iter(ids.to_vec()).map(get).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().filter_map(|(object, id)| Some((id, object?))).collect())
}

/// Namespaces of the wanted objects that do not exist.
async fn missing(objects: &Objects, ids: &[Id]) -> Result<BTreeSet<String>> {
    let names: BTreeSet<&str> =
        ids.iter().map(|id| id.namespace.as_str()).filter(|name| !name.is_empty()).collect();
    let mut missing = BTreeSet::new();
    for name in names {
        if objects.get(&Id::new("Namespace", "", name)).await?.is_none() {
            missing.insert(name.to_owned());
        }
    }
    Ok(missing)
}

/// Objects that an earlier run applied for this revision and that are not wanted any more.
async fn stale(objects: &Objects, ids: &[Id], revision: &str) -> Result<BTreeSet<Id>> {
    let wanted: BTreeSet<&Id> = ids.iter().collect();
    let labels = format!("{MANAGED}=Reconcile,{COMPONENT}!=Base,{REVISION}={revision}");
    let kinds = ROWS
        .iter()
        .filter(|row| !matches!(row.kind, "Namespace" | "CustomResourceDefinition" | "Secret" | "Lease"));
    let list = |row: &'static Row| {
        let labels = labels.clone();
        async move { objects.list(row, "", &labels).await }
    };
    let found: Vec<Vec<Value>> =
        futures_util::stream::iter(kinds).map(list).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut stale = BTreeSet::new();
    for object in found.iter().flatten() {
        // What an object owns goes with it.
        if object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty()) {
            continue;
        }
        let id = Id::of(object)?;
        if !wanted.contains(&id) {
            stale.insert(id);
        }
    }
    Ok(stale)
}

/// Asks who answers for pods and objects that name no revision.
///
/// # Errors
/// The API server does not answer.
pub async fn who_is_default(objects: &Objects) -> Result<DefaultRevision> {
    let id = Id::new("ValidatingWebhookConfiguration", "", "istiod-default-validator");
    let injectors = Row::of("MutatingWebhookConfiguration").expect("in the table");
    let (validator, injectors) =
        futures_util::try_join!(objects.get(&id), objects.list(injectors, "", "app=sidecar-injector"))?;
    let revision = |object: &Value| {
        let word = object["metadata"]["labels"][REVISION].as_str().filter(|word| !word.is_empty());
        word.map(str::to_owned)
    };
    let tag = injectors.iter().find(|object| object["metadata"]["labels"][TAG] == "default");
    Ok(DefaultRevision {
        any: !injectors.is_empty(),
        enabled: injectors.iter().any(asks_for_enabled),
        tag: tag.and_then(revision),
        validator: validator.as_ref().and_then(revision),
    })
}

fn asks_for_enabled(configuration: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&configuration["webhooks"]).iter().any(|webhook| {
        let rules = list(&webhook["namespaceSelector"]["matchExpressions"]);
        rules.iter().any(|rule| rule["key"] == "istio-injection" && rule["operator"] == "In")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn control_planes_are_told_apart() {
        let deployment = |image: &str, annotations: Value| {
            Istiod::read(&json!({
                "metadata": {"name": "istiod", "namespace": "istio-system", "annotations": annotations},
                "spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": image}]}}},
            }))
        };
        let theirs = deployment("docker.io/istio/pilot:1.29.0-distroless", json!(null));
        assert_eq!(
            (theirs.ours, theirs.version(), theirs.revision.as_str()),
            (false, "1.29.0-distroless", "default")
        );
        let ours = deployment("mesh.local:5000/pilot", json!({"mesh.local/program": "pilot"}));
        assert_eq!((ours.ours, ours.version()), (true, "unknown"));
        assert_eq!(deployment("a/pilot:1@sha256:0", json!({})).version(), "1");
    }
}
