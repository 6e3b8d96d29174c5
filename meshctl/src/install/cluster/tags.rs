//! Tags: names for revisions that namespaces use, each an injection webhook of its own.
//!
//! In: a tag and the revision that it names. Out: the tag's objects, made by the istiod chart from what the revision's own
//! webhook says about where istiod is. The tag `default` also answers for namespaces with `istio-injection=enabled` and
//! validates objects that name no revision. Called by `cmd/tag`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::labels::{COMPONENT, MANAGED, REVISION};
use super::objects::{Id, Manner, Objects, Row};
use crate::install::{Charts, Release, Role, render};

/// The label of a tag's webhooks.
pub const TAG: &str = "istio.io/tag";
/// The tag of those who name none.
const DEFAULT: &str = "default";

/// A tag, or a revision without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Empty: the revision has no tag.
    pub tag: String,
    pub revision: String,
    pub namespaces: Vec<String>,
}

/// A tag to set.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub tag: &'a str,
    pub revision: &'a str,
    /// A tag that exists may be moved, and a revision of this name hidden.
    pub overwrite: bool,
    /// Another name for its webhook configuration.
    pub webhook: Option<&'a str>,
    /// Also pods in namespaces that say nothing.
    pub everywhere: bool,
    pub charts: &'a Charts,
    /// Only printed: nothing has to be free for it.
    pub printed: bool,
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn injectors(objects: &Objects, labels: &str) -> Result<Vec<Value>> {
    objects.list(Row::of("MutatingWebhookConfiguration").expect("in the table"), "", labels).await
}

async fn namespaces(objects: &Objects, tag: &str) -> Result<Vec<String>> {
    let found =
        objects.list(Row::of("Namespace").expect("in the table"), "", &format!("{REVISION}={tag}")).await?;
    Ok(found.iter().map(|namespace| word(&namespace["metadata"]["name"]).to_owned()).collect())
}

/// All tags, and revisions without one.
///
/// # Errors
/// The API server does not answer.
pub async fn list(objects: &Objects) -> Result<Vec<Tag>> {
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for configuration in injectors(objects, REVISION).await? {
        let labels = &configuration["metadata"]["labels"];
        let (tag, revision) = (word(&labels[TAG]).to_owned(), word(&labels[REVISION]).to_owned());
        let users = if tag.is_empty() { Vec::new() } else { namespaces(objects, &tag).await? };
        found.insert((revision, tag), users);
    }
    let tagged: Vec<String> =
        found.keys().filter(|(_, tag)| !tag.is_empty()).map(|(revision, _)| revision.clone()).collect();
    let rows = found.into_iter().map(|((revision, tag), namespaces)| Tag { tag, revision, namespaces });
    Ok(rows.filter(|row| !row.tag.is_empty() || !tagged.contains(&row.revision)).collect())
}

/// The objects of a tag.
///
/// # Errors
/// There is no such revision, or the tag or a revision of its name exists.
pub async fn objects_of(objects: &Objects, wanted: &Wanted<'_>) -> Result<Vec<Value>> {
    let Wanted { tag, revision, .. } = *wanted;
    let free = wanted.printed || wanted.overwrite;
    let namesakes = injectors(objects, &format!("{REVISION}={tag},!{TAG}")).await?;
    if !free && !namesakes.is_empty() && tag != DEFAULT {
        bail!("cannot create revision tag {tag:?}: found existing control plane revision with same name");
    }
    let canonical = injectors(objects, &format!("{REVISION}={revision},!{TAG}")).await?;
    let canonical = match canonical.as_slice() {
        [one] => one,
        [] => {
            let known: Vec<String> = list(objects).await?.into_iter().map(|tag| tag.revision).collect();
            let known = if known.is_empty() { "no control plane".to_owned() } else { known.join(", ") };
            bail!(
                "cannot modify tag: cannot find MutatingWebhookConfiguration with revision {revision:?}; there is {known}"
            )
        }
        _ => bail!("cannot modify tag: found multiple canonical webhooks with revision {revision:?}"),
    };
    if !free && !injectors(objects, &format!("{TAG}={tag}")).await?.is_empty() {
        bail!("revision tag {tag:?} already exists, and --overwrite is false");
    }
    let webhooks = canonical["webhooks"].as_array();
    let client = webhooks.into_iter().flatten().map(|webhook| &webhook["clientConfig"]).next();
    let client = client.with_context(|| format!("the webhook of revision {revision:?} is empty"))?;
    let mut made = of_chart(wanted, client)?;
    if tag == DEFAULT {
        made.push(validator(wanted, client)?);
    }
    Ok(made)
}

/// Where a revision is, as the charts have it: empty for the one without a name.
fn chart_revision(revision: &str) -> &str {
    if revision == DEFAULT { "" } else { revision }
}

fn system_of(client: &Value) -> &str {
    client["service"]["namespace"].as_str().unwrap_or("istio-system")
}

/// What the istiod chart makes for a tag: its injector, and the Service that is called like it.
fn of_chart(wanted: &Wanted<'_>, client: &Value) -> Result<Vec<Value>> {
    let namespace = system_of(client);
    let mut values = json!({
        "revision": chart_revision(wanted.revision),
        "revisionTags": [wanted.tag],
        "global": {"istioNamespace": namespace},
        "sidecarInjectorWebhook": {"enableNamespacesByDefault": wanted.everywhere},
    });
    if let Some(url) = client["url"].as_str() {
        values["istiodRemote"] = json!({"injectionURL": url});
    } else if let Some(path) = client["service"]["path"].as_str() {
        values["istiodRemote"] = json!({"injectionPath": path});
    }
    let mut made = chart(wanted.charts, "istiod", namespace, &values)?;
    made.retain(|object| object["metadata"]["labels"][TAG] == wanted.tag);
    for object in made.iter_mut().filter(|object| object["kind"] == "MutatingWebhookConfiguration") {
        if let Some(name) = wanted.webhook {
            object["metadata"]["name"] = name.into();
        }
        trust(object, client);
    }
    Ok(made)
}

fn validator(wanted: &Wanted<'_>, client: &Value) -> Result<Value> {
    let namespace = system_of(client);
    let values = json!({"defaultRevision": wanted.revision, "global": {"istioNamespace": namespace}});
    let made = chart(wanted.charts, "base", namespace, &values)?;
    let made = made.into_iter().find(|object| object["metadata"]["name"] == "istiod-default-validator");
    let mut made = made.context("chart base makes no istiod-default-validator")?;
    made["metadata"]["labels"][MANAGED] = "Reconcile".into();
    made["metadata"]["labels"][COMPONENT] = Role::Core.label().into();
    trust(&mut made, client);
    Ok(made)
}

/// The webhook trusts what the revision's own does, so that it works at once; istiod keeps it so.
fn trust(made: &mut Value, client: &Value) {
    for webhook in made["webhooks"].as_array_mut().into_iter().flatten() {
        if let Some(bundle) = client["caBundle"].as_str() {
            webhook["clientConfig"]["caBundle"] = bundle.into();
        }
    }
}

fn chart(charts: &Charts, chart: &str, namespace: &str, values: &Value) -> Result<Vec<Value>> {
    let name = if chart == "base" { "istio-base" } else { chart };
    render(charts, chart, &Release { name: name.into(), namespace: namespace.into() }, values)
}

/// Applies a tag's objects; the tag `default` takes over from the revision without a name.
///
/// # Errors
/// The API server refuses.
pub async fn set(objects: &Objects, wanted: &Wanted<'_>, made: &[Value]) -> Result<()> {
    let force = Manner { dry: false, force: true };
    let apply = |id: Id, object: Value| async move {
        let applied = objects.apply(&id, &object, force).await;
        applied.map_err(|error| objects.cluster.explain(&format!("apply {id}"), error))
    };
    for object in made {
        apply(Id::of(object)?, object.clone()).await?;
    }
    if wanted.tag == DEFAULT {
        for live in injectors(objects, &format!("{REVISION}={DEFAULT},!{TAG}")).await? {
            let id = Id::of(&live)?;
            apply(id, silent(&live)).await?;
        }
    }
    Ok(())
}

/// A live injector as this program applies it, but selecting nothing.
fn silent(live: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": live["metadata"]["name"], "labels": live["metadata"]["labels"]},
        "webhooks": live["webhooks"],
    });
    for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
        if let Some(client) = webhook["clientConfig"].as_object_mut() {
            // istiod's.
            client.shift_remove("caBundle");
        }
    }
    select_nothing(&mut object);
    object
}

/// Makes an injector answer for nothing: the tag `default` does it instead, and both would inject twice.
pub fn select_nothing(configuration: &mut Value) {
    let never = json!({"matchLabels": {"istio.io/deactivated": "never-match"}});
    for webhook in configuration["webhooks"].as_array_mut().into_iter().flatten() {
        webhook["namespaceSelector"] = never.clone();
        webhook["objectSelector"] = never.clone();
    }
}

/// Namespaces that use a tag.
///
/// # Errors
/// There is no such tag.
pub async fn users(objects: &Objects, tag: &str) -> Result<Vec<String>> {
    if injectors(objects, &format!("{TAG}={tag}")).await?.is_empty() {
        bail!("cannot remove tag {tag:?}: cannot find MutatingWebhookConfiguration for tag");
    }
    namespaces(objects, tag).await
}

/// Removes a tag.
///
/// # Errors
/// The API server refuses.
pub async fn remove(objects: &Objects, tag: &str) -> Result<()> {
    for kind in ["MutatingWebhookConfiguration", "Service"] {
        let row = Row::of(kind).expect("in the table");
        for object in objects.list(row, "", &format!("{TAG}={tag}")).await? {
            objects.delete(&Id::of(&object)?, &DeleteParams::background()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_asks_where_its_revision_asks() {
        let client = json!({"service": {"name": "istiod-canary", "namespace": "mesh", "path": "/inject"}, "caBundle": "Q0E="});
        let wanted = Wanted {
            tag: "prod",
            revision: "canary",
            overwrite: false,
            webhook: None,
            everywhere: false,
            charts: &Charts::Own,
            printed: true,
        };
        let all = of_chart(&wanted, &client).unwrap();
        let kinds: Vec<&str> = all.iter().map(|object| word(&object["kind"])).collect();
        assert_eq!(kinds, ["MutatingWebhookConfiguration", "Service"]);
        let made = &all[0];
        assert_eq!(made["metadata"]["labels"][REVISION], "canary");
        assert_eq!(made["metadata"]["labels"][TAG], "prod");
        for webhook in made["webhooks"].as_array().unwrap() {
            let service = &webhook["clientConfig"]["service"];
            assert_eq!((&service["name"], &service["namespace"]), (&json!("istiod-canary"), &json!("mesh")));
            assert_eq!(webhook["clientConfig"]["caBundle"], "Q0E=");
        }
        let validator = validator(&Wanted { tag: "default", ..wanted }, &client).unwrap();
        assert_eq!(validator["webhooks"][0]["clientConfig"]["service"]["name"], "istiod-canary");
        assert_eq!(validator["metadata"]["labels"][REVISION], "canary");
    }

    #[test]
    fn a_silent_injector_selects_nothing_and_leaves_the_authority_to_istiod() {
        let live = json!({"metadata": {"name": "istio-sidecar-injector", "uid": "u", "labels": {"a": "b"}},
            "webhooks": [{"name": "x", "clientConfig": {"caBundle": "y", "service": {}}, "objectSelector": {}}]});
        let made = silent(&live);
        assert_eq!(made["metadata"], json!({"name": "istio-sidecar-injector", "labels": {"a": "b"}}));
        assert_eq!(made["webhooks"][0]["clientConfig"], json!({"service": {}}));
        assert_eq!(
            made["webhooks"][0]["objectSelector"]["matchLabels"]["istio.io/deactivated"],
            "never-match"
        );
    }
}
