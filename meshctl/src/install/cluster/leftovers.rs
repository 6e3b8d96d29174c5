//! What is in a cluster because of an installation without being part of it.
//!
//! In: the cluster. Out: what istiod itself has written, objects of users whose kinds go, and what else a namespace
//! holds. Called by `uninstall`.

use std::collections::BTreeSet;

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::discovery::{Discovery, Scope, verbs};
use serde_json::Value;

use super::look::AT_ONCE;
use super::objects::{Id, Objects, Row};

/// The certificate authority's root, which istiod writes into every namespace.
const ROOT: &str = "istio-ca-root-cert";
/// Secrets that istiod makes; `cacerts` is the user's.
const SECRETS: [&str; 1] = ["istio-ca-secret"];
/// How the names of istiod's leases begin.
const LEASES: &str = "istio-";

/// Objects that istiod has written: the root in every namespace, its key, its leases.
pub(super) async fn of_pilot(objects: &Objects, places: &BTreeSet<String>) -> Result<BTreeSet<Id>> {
    let mut ids = BTreeSet::new();
    let maps = objects.api(Row::of("ConfigMap").expect("in the table"), "");
    let found = maps.list_metadata(&ListParams::default().fields(&format!("metadata.name={ROOT}"))).await;
    let found = found.map_err(|error| objects.cluster.explain("list config maps", error))?;
    ids.extend(
        found.items.into_iter().filter_map(|map| Some(Id::new("ConfigMap", &map.metadata.namespace?, ROOT))),
    );
    for place in places {
        for name in SECRETS {
            let id = Id::new("Secret", place, name);
            if objects.get(&id).await?.is_some() {
                ids.insert(id);
            }
        }
        let leases = objects.list(Row::of("Lease").expect("in the table"), place, "").await?;
        let names = leases.iter().filter_map(|lease| lease["metadata"]["name"].as_str());
        ids.extend(names.filter(|name| name.starts_with(LEASES)).map(|name| Id::new("Lease", place, name)));
    }
    Ok(ids)
}

/// Objects of users that go with the definitions among `ids`: kind and number.
pub(super) async fn of_users(objects: &Objects, ids: &BTreeSet<Id>) -> Result<Vec<(String, usize)>> {
    let definitions = ids.iter().filter(|id| id.row.kind == "CustomResourceDefinition");
    let count = |id: &Id| {
        let name = id.name.clone();
        async move {
            let id = Id::new("CustomResourceDefinition", "", &name);
            let Some(definition) = objects.get(&id).await? else { return anyhow::Ok((name, 0)) };
            let names = &definition["spec"]["names"];
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let served = definition["spec"]["versions"].as_array().into_iter().flatten();
            let version = served
                .filter(|version| version["served"] == true)
                .map(|version| word(&version["name"]))
                .next();
            let resource = ApiResource {
                group: word(&definition["spec"]["group"]),
                api_version: format!(
                    "{}/{}",
                    word(&definition["spec"]["group"]),
                    version.clone().unwrap_or_default()
                ),
                version: version.unwrap_or_default(),
                kind: word(&names["kind"]),
                plural: word(&names["plural"]),
            };
            let kind = resource.kind.clone();
            let api: Api<DynamicObject> = Api::all_with(objects.cluster.client().clone(), &resource);
            let list = api.list_metadata(&ListParams::default()).await;
            Ok((kind, list.map_or(0, |list| list.items.len())))
        }
    };
    let counted: Vec<(String, usize)> =
        futures_util::stream::iter(definitions).map(count).buffered(AT_ONCE).try_collect().await?;
    Ok(counted.into_iter().filter(|(_, number)| *number > 0).collect())
}

/// What a namespace holds apart from what every namespace has: `Deployment prometheus`.
pub(super) async fn in_namespace(objects: &Objects, namespace: &str) -> Result<Vec<String>> {
    let client = objects.cluster.client();
    // Asked at once: group by group, one whose definitions are just going would be an error.
    let discovery = Discovery::new(client.clone()).run_aggregated().await;
    let discovery = discovery.map_err(|error| objects.cluster.explain("ask for its kinds", error))?;
    let kinds = discovery.groups().flat_map(|group| group.recommended_resources());
    let kinds = kinds.filter(|(resource, capabilities)| {
        capabilities.scope == Scope::Namespaced
            && capabilities.supports_operation(verbs::LIST)
            && !matches!(
                resource.kind.as_str(),
                "Event" | "Endpoints" | "EndpointSlice" | "ControllerRevision"
            )
    });
    let list = |(resource, _): (ApiResource, _)| async move {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let found =
            api.list_metadata(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        (resource.kind, found)
    };
    let found: Vec<_> = futures_util::stream::iter(kinds).map(list).buffer_unordered(AT_ONCE).collect().await;
    let mut others = Vec::new();
    for (kind, items) in found {
        for meta in items.into_iter().map(|item| item.metadata) {
            let name = meta.name.unwrap_or_default();
            let usual = (kind == "ConfigMap" && (name == "kube-root-ca.crt" || name == ROOT))
                || (kind == "ServiceAccount" && name == "default");
            let goes = meta.deletion_timestamp.is_some()
                || meta.owner_references.is_some_and(|owners| !owners.is_empty());
            if !usual && !goes {
                others.push(format!("{kind} {name}"));
            }
        }
    }
    others.sort();
    Ok(others)
}
