//! One object as it came from the API server, trimmed to what pilot reads, and what it changes.
//!
//! In: JSON. Out: `Read`, an object without what changes all the time and means nothing here: versions, managed fields,
//! heartbeats of nodes. Pods are read by `pod` into records, so that a list of 100,000 never becomes objects; a change that
//! pilot does not read is no change.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use api::kind::Family;
use api::{Findings, Key, Kind, Parsed};
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::Digest;
use crate::source::Change;
use crate::world::{Pod, Slice};

/// An object as it is read from the API server.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen<T> {
    /// Name, namespace and version, for the watch itself.
    pub(super) meta: ObjectMeta,
    pub(super) object: T,
}

/// What is read of an object.
pub(super) trait Trimmed: Clone + Debug + Send + 'static {
    /// What it changes, or why it cannot be read.
    fn read(self, key: Key, api_version: &str) -> Read;
}

/// An object of any kind as it was sent.
pub(super) type Sent = Map<String, Value>;

/// What was read of one object.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) key: Key,
    /// None: it has errors.
    pub(super) change: Option<Change>,
    /// The same for the same content; 0 where it is not known.
    pub(super) print: u64,
    pub(super) findings: Findings,
}

impl Read {
    /// Of an object that may have errors.
    pub(super) fn of(key: Key, parsed: Parsed) -> Self {
        let change = parsed.objects.into_iter().next().map(|object| match &object {
            api::AnyObject::EndpointSlice(slice) => Change::Slice(Arc::new(Slice::of(slice))),
            _ => Change::Apply(Arc::new(object)),
        });
        let print = match &change {
            Some(Change::Slice(slice)) => print(slice),
            _ => 0,
        };
        Read { key, change, print, findings: parsed.findings }
    }

    /// Of a pod.
    pub(super) fn pod(pod: Pod) -> Self {
        Read {
            key: Key::new(Kind::Pod, &pod.namespace, &pod.name),
            print: print(&pod),
            change: Some(Change::Pod(Arc::new(pod))),
            findings: Findings::new(),
        }
    }
}

/// 64 bits are enough: it is held against the one before it of the same object.
fn print(value: &impl std::hash::Hash) -> u64 {
    Digest::of(value).0 as u64 | 1
}

impl<'de> Deserialize<'de> for Seen<Sent> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Map::deserialize(deserializer)?;
        let Some(Value::Object(meta)) = object.get_mut("metadata") else {
            return Ok(Seen { object, ..Seen::default() });
        };
        let word = |key: &str| meta.get(key).and_then(Value::as_str).map(str::to_owned);
        let own = ObjectMeta {
            name: word("name"),
            namespace: word("namespace"),
            resource_version: word("resourceVersion"),
            ..ObjectMeta::default()
        };
        for key in ["managedFields", "resourceVersion", "selfLink"] {
            meta.remove(key);
        }
        if let Some(Value::Object(annotations)) = meta.get_mut("annotations") {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        Ok(Seen { meta: own, object })
    }
}

impl<T> kube::Resource for Seen<T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        dt.kind.as_str().into()
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        dt.group.as_str().into()
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        dt.version.as_str().into()
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        dt.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl<T: Trimmed> Seen<T> {
    /// Its key; empty namespace for cluster-wide kinds.
    pub(super) fn key(&self, kind: Kind) -> Key {
        let text = |word: &Option<String>| word.clone().unwrap_or_default();
        Key::new(kind, &text(&self.meta.namespace), &text(&self.meta.name))
    }

    /// What it changes, or why it cannot be read.
    pub(super) fn read(self, kind: Kind, api_version: &str) -> Read {
        let key = self.key(kind);
        self.object.read(key, api_version)
    }
}

impl Trimmed for Sent {
    fn read(mut self, key: Key, api_version: &str) -> Read {
        let kind = key.kind;
        // Objects in lists do not say what they are.
        self.insert("apiVersion".to_owned(), api_version.into());
        self.insert("kind".to_owned(), kind.name().into());
        trim(kind, &mut self);
        let mut parsed = api::parse::from_value(Value::Object(self));
        if kind.row().family == Family::Core {
            parsed.objects.iter_mut().for_each(api::AnyObject::drop_source);
        }
        Read::of(key, parsed)
    }
}

/// Leaves of built-in kinds what pilot reads.
fn trim(kind: Kind, object: &mut Map<String, Value>) {
    match kind {
        Kind::Node => {
            keep(object.get_mut("spec"), &[]);
            keep(object.get_mut("status"), &["addresses", "nodeInfo"]);
            let facts = object.get_mut("status").and_then(|status| status.get_mut("nodeInfo"));
            keep(facts, &["kubeletVersion"]);
        }
        Kind::Namespace => {
            object.remove("status");
        }
        _ => {}
    }
}

/// Removes every other key of a mapping.
fn keep(value: Option<&mut Value>, keys: &[&str]) {
    if let Some(Value::Object(map)) = value {
        map.retain(|key, _| keys.contains(&key.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_all_the_time_is_no_change() {
        let node = |version: &str, time: &str| {
            let value = json!({
                "metadata": {"name": "n", "resourceVersion": version, "labels": {"zone": "z"},
                    "managedFields": [{"manager": "kubelet", "time": time}]},
                "spec": {"podCIDR": "10.0.0.0/24"},
                "status": {"nodeInfo": {"kubeletVersion": "v1.34.1"}, "images": [{"names": ["a"]}],
                    "conditions": [{"type": "Ready", "lastHeartbeatTime": time}]},
            });
            let seen: Seen<Sent> = serde_json::from_value(value).unwrap();
            let read = seen.read(Kind::Node, "v1");
            assert!(read.findings.is_empty() && read.key == Key::new(Kind::Node, "", "n"), "{read:?}");
            match read.change {
                Some(Change::Apply(object)) => object,
                other => panic!("{other:?}"),
            }
        };
        let first = node("1", "10:00");
        assert_eq!(first, node("2", "10:01"), "a heartbeat is no change");
        assert_eq!(first.meta().label("zone"), Some("z"));
        assert_eq!(first.status().unwrap()["nodeInfo"]["kubeletVersion"], "v1.34.1");
        assert!(first.origin().source.is_none());
    }

    #[test]
    fn a_slice_is_a_record() {
        let value = json!({
            "metadata": {"name": "s-1", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "p"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}],
        });
        let seen: Seen<Sent> = serde_json::from_value(value).unwrap();
        let read = seen.read(Kind::EndpointSlice, "discovery.k8s.io/v1");
        let Some(Change::Slice(slice)) = read.change else { panic!("{read:?}") };
        assert_eq!((&*slice.service, &slice.ports[..]), ("s", &[("http".into(), 8080)][..]));
        let ends: Vec<(&str, bool)> = slice.ends.iter().map(|end| (&*end.pod, end.ready)).collect();
        assert_eq!(ends, [("p", true), ("", false)]);
    }
}
