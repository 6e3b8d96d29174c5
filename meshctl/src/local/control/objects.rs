//! Showing and changing objects: `get`, `delete`, `scale`, `rollout restart`, `label`.
//!
//! In: words for kinds, names and selectors. Out: objects as an API server would show them, with status; or changes
//! to the world, after which the reconciler is woken.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use api::{AnyObject, Key, Kind, Time};
use serde_json::Value;

use crate::local::apply::{kind_word, reference, remember};
use crate::local::input::Text;
use crate::local::protocol::{Answer, Which};

use super::selector::Selector;
use super::server::Connection;
use super::shown::{not_found, values};

/// What `all` means, as in kubectl.
const ALL: [Kind; 6] =
    [Kind::Pod, Kind::Service, Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet, Kind::Job];

/// A kind and a name, from `KIND`, `KIND NAME` or `KIND/NAME`.
fn kinds(which: &Which) -> Result<Vec<(Kind, Vec<String>)>> {
    let mut found = Vec::new();
    for word in which.kinds.iter().flat_map(|words| words.split(',')) {
        let (word, name) = match word.split_once('/') {
            Some((word, name)) => (word, Some(name.to_owned())),
            None => (word, None),
        };
        let names = name.map_or_else(|| which.names.clone(), |name| vec![name]);
        if word == "all" {
            found.extend(ALL.map(|kind| (kind, names.clone())));
            continue;
        }
        match Kind::from_word(word) {
            Some(kind) => found.push((kind, names)),
            None => bail!(
                "the mesh does not have a kind {word:?}; it has those of Kubernetes and Istio that a mesh reads: \
                 pods, services, deployments, configmaps, virtualservices, destinationrules, gateways and so on"
            ),
        }
    }
    Ok(found)
}

pub(super) fn get(connection: &mut Connection, which: &Which) -> Result<i32> {
    let kinds = kinds(which)?;
    let selector = Selector::parse(which.selector.as_deref())?;
    let mut objects = Vec::new();
    let mut missing = Vec::new();
    {
        let world = connection.mesh.world();
        for (kind, names) in kinds {
            let all = values(&world, kind, which.namespace.as_deref());
            if names.is_empty() {
                objects.extend(all.into_iter().filter(|object| selector.matches(object)));
                continue;
            }
            for name in names {
                let of_name = |object: &&Value| object["metadata"]["name"] == name.as_str();
                match all.iter().find(of_name) {
                    Some(object) => objects.push(object.clone()),
                    None => {
                        let away = values(&world, kind, None);
                        let away: Vec<&Value> = away.iter().filter(of_name).collect();
                        match (which.elsewhere, away.as_slice()) {
                            (true, [_, ..]) => objects.extend(away.into_iter().cloned()),
                            _ => missing.push(not_found(&world, kind, which.namespace.as_deref(), &name)),
                        }
                    }
                }
            }
        }
    }
    connection.say(&Answer::Value(Value::Array(objects)))?;
    for line in &missing {
        connection.problem(format!("Error: {line}"))?;
    }
    Ok(i32::from(!missing.is_empty()))
}

pub(super) fn delete_texts(
    connection: &mut Connection,
    texts: &[Text],
    namespace: &str,
    ignore_missing: bool,
) -> Result<i32> {
    let mut keys = Vec::new();
    for text in texts {
        // Only names are needed, so an object that is wrong otherwise can be deleted too.
        let parsed = api::parse_in(&text.name, &text.text, namespace);
        keys.extend(parsed.objects.iter().map(AnyObject::key));
        keys.extend(parsed.findings.iter().filter_map(|finding| finding.object.clone()));
    }
    let mut seen = std::collections::BTreeSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    remove(connection, keys, ignore_missing)
}

pub(super) fn delete(
    connection: &mut Connection,
    which: &Which,
    all: bool,
    ignore_missing: bool,
) -> Result<i32> {
    let selector = Selector::parse(which.selector.as_deref())?;
    let mut keys = Vec::new();
    {
        let world = connection.mesh.world();
        for (kind, names) in kinds(which)? {
            let namespace = which.namespace.as_deref().unwrap_or("default");
            let namespace = if kind.is_namespaced() { namespace } else { "" };
            if names.is_empty() && !all && which.selector.is_none() {
                bail!("say which: a name, -l SELECTOR or --all");
            }
            if names.is_empty() {
                let found = values(&world, kind, Some(namespace));
                let found = found.iter().filter(|object| selector.matches(object));
                let names = found.filter_map(|object| object["metadata"]["name"].as_str());
                keys.extend(names.map(|name| Key::new(kind, namespace, name)));
            }
            keys.extend(names.iter().map(|name| Key::new(kind, namespace, name)));
        }
    }
    remove(connection, keys, ignore_missing)
}

fn remove(connection: &mut Connection, keys: Vec<Key>, ignore_missing: bool) -> Result<i32> {
    let mut code = 0;
    let mut lines = Vec::new();
    {
        let mut world = connection.mesh.world();
        let is_own = |key: &Key| world.objects.get(key).is_some_and(|stored| stored.own);
        if let Some(key) = keys.iter().find(|key| key.kind == Kind::Namespace && is_own(key)) {
            bail!("namespace {:?} belongs to the mesh itself; `meshctl down` ends the mesh", key.name);
        }
        for key in keys {
            let pod = (key.namespace.clone(), key.name.clone());
            let known = world.remove(&key);
            let stopped = key.kind == Kind::Pod
                && world.pods.get(&pod).map(|pod| pod.stop.send_replace(true)).is_some();
            if key.kind == Kind::Namespace {
                world.objects.retain(|other, _| other.namespace != key.name);
            }
            if known || stopped {
                lines.push((true, format!("{} \"{}\" deleted", kind_word(key.kind), key.name)));
            } else if !ignore_missing {
                code = 1;
                let namespace = Some(key.namespace.as_str());
                lines.push((false, format!("Error: {}", not_found(&world, key.kind, namespace, &key.name))));
            }
        }
    }
    remember(&connection.mesh);
    connection.mesh.wake();
    connection.mesh.tell();
    for (good, line) in lines {
        if good { connection.line(line)? } else { connection.problem(line)? }
    }
    connection.settle()?;
    Ok(code)
}

/// Changes objects that must be there; says so in one line each.
fn change(
    connection: &mut Connection,
    which: &Which,
    verb: &str,
    mut edit: impl FnMut(&mut AnyObject) -> Result<()>,
) -> Result<i32> {
    let mut lines = Vec::new();
    {
        let mut world = connection.mesh.world();
        for (kind, names) in kinds(which)? {
            let namespace = which.namespace.as_deref().unwrap_or("default");
            let namespace = if kind.is_namespaced() { namespace } else { "" };
            for name in names {
                let key = Key::new(kind, namespace, &name);
                let Some(stored) = world.objects.get(&key) else {
                    bail!(not_found(&world, kind, Some(namespace), &name));
                };
                let (mut object, manifest, own) =
                    (stored.object.clone(), stored.manifest.clone(), stored.own);
                edit(&mut object)?;
                // What was read from a file is shown from there; a changed object is shown as it is now.
                object.origin_mut().source = None;
                world.objects.remove(&key);
                world.restore(object, manifest, own);
                lines.push(format!("{} {verb}", reference(&key)));
            }
        }
    }
    remember(&connection.mesh);
    connection.mesh.wake();
    connection.mesh.tell();
    for line in lines {
        connection.line(line)?;
    }
    Ok(0)
}

pub(super) fn scale(connection: &mut Connection, which: &Which, replicas: i32) -> Result<i32> {
    change(connection, which, "scaled", |object| {
        match object {
            AnyObject::Deployment(object) => object.spec.replicas = Some(replicas),
            AnyObject::StatefulSet(object) => object.spec.replicas = Some(replicas),
            AnyObject::ReplicaSet(object) => object.spec.replicas = Some(replicas),
            other => bail!("a {} has no replicas to scale", other.kind()),
        }
        Ok(())
    })
}

pub(super) fn restart(connection: &mut Connection, which: &Which) -> Result<i32> {
    let now = Time::now().to_string();
    change(connection, which, "restarted", |object| {
        let template = match object {
            AnyObject::Deployment(object) => &mut object.spec.template,
            AnyObject::StatefulSet(object) => &mut object.spec.template,
            AnyObject::DaemonSet(object) => &mut object.spec.template,
            other => bail!("a {} cannot be restarted", other.kind()),
        };
        template.metadata.annotations.insert("kubectl.kubernetes.io/restartedAt".to_owned(), now.clone());
        Ok(())
    })
}

pub(super) fn label(
    connection: &mut Connection,
    which: &Which,
    changes: &[(String, Option<String>)],
    annotations: bool,
    overwrite: bool,
) -> Result<i32> {
    let verb = if annotations { "annotated" } else { "labeled" };
    if which.kinds.iter().any(|word| Kind::from_word(word) == Some(Kind::Pod)) {
        bail!("labels of a running pod cannot be changed here; change its Deployment");
    }
    change(connection, which, verb, |object| {
        let meta = object.meta_mut();
        let map: &mut BTreeMap<String, String> =
            if annotations { &mut meta.annotations } else { &mut meta.labels };
        for (key, value) in changes {
            match value {
                Some(value) => {
                    if let Some(old) = map.get(key).filter(|old| *old != value && !overwrite) {
                        bail!("{key} has the value {old} already, and --overwrite is not given");
                    }
                    map.insert(key.clone(), value.clone());
                }
                None => drop(map.remove(key)),
            }
        }
        Ok(())
    })
}
