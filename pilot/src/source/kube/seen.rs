//! One object as it came from the API server, trimmed to what pilot reads, and as a typed object.
//!
//! In: JSON. Out: `api::Parsed` of the object without what changes all the time and means nothing here: versions,
//! managed fields, heartbeats of nodes, volumes and environments of pods. So 100,000 pods fit into memory, and a
//! change that pilot does not read is no change.

use std::borrow::Cow;

use api::kind::Family;
use api::{Kind, Parsed};
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An object of any kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Name, namespace and version, for the watch itself.
    meta: ObjectMeta,
    object: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Seen {
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

impl kube::Resource for Seen {
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

impl Seen {
    /// Its key; empty namespace for cluster-wide kinds.
    pub(super) fn key(&self, kind: Kind) -> api::Key {
        let text = |word: &Option<String>| word.clone().unwrap_or_default();
        api::Key::new(kind, &text(&self.meta.namespace), &text(&self.meta.name))
    }

    /// The typed object, or why it cannot be read.
    pub(super) fn parse(mut self, kind: Kind, api_version: &str) -> Parsed {
        // Objects in lists do not say what they are.
        self.object.insert("apiVersion".to_owned(), api_version.into());
        self.object.insert("kind".to_owned(), kind.name().into());
        trim(kind, &mut self.object);
        let mut parsed = api::parse::from_value(Value::Object(self.object));
        if kind.row().family == Family::Core {
            parsed.objects.iter_mut().for_each(api::AnyObject::drop_source);
        }
        parsed
    }
}

/// Leaves of built-in kinds what pilot reads.
fn trim(kind: Kind, object: &mut Map<String, Value>) {
    match kind {
        Kind::Pod => {
            keep(
                object.get_mut("spec"),
                &[
                    "containers",
                    "initContainers",
                    "serviceAccountName",
                    "nodeName",
                    "hostNetwork",
                    "hostname",
                    "subdomain",
                ],
            );
            keep(object.get_mut("status"), &["podIP", "podIPs", "phase", "conditions"]);
            for list in ["containers", "initContainers"] {
                let containers = object.get_mut("spec").and_then(|spec| spec.get_mut(list));
                for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
                    keep(Some(container), &["name", "ports", "restartPolicy"]);
                }
            }
            let conditions = object.get_mut("status").and_then(|status| status.get_mut("conditions"));
            if let Some(Value::Array(conditions)) = conditions {
                conditions.retain(|condition| condition.get("type").is_some_and(|word| word == "Ready"));
                conditions.iter_mut().for_each(|condition| keep(Some(condition), &["type", "status"]));
            }
        }
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
    use api::core::Pod;
    use serde_json::json;

    use super::*;

    fn pod(version: &str, heartbeat: &str) -> Value {
        json!({
            "metadata": {
                "name": "a", "namespace": "n", "resourceVersion": version, "labels": {"app": "a"},
                "managedFields": [{"manager": "kubelet", "time": heartbeat}],
            },
            "spec": {
                "serviceAccountName": "robot", "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}],
                    "ports": [{"name": "http", "containerPort": 80}]}],
            },
            "status": {
                "podIP": "10.0.0.1", "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": heartbeat},
                    {"type": "Initialized", "status": "True"}],
            },
        })
    }

    fn read(value: Value) -> (api::Key, api::AnyObject) {
        let seen: Seen = serde_json::from_value(value).unwrap();
        let key = seen.key(Kind::Pod);
        let parsed = seen.parse(Kind::Pod, "v1");
        assert!(parsed.findings.is_empty(), "{:?}", parsed.findings);
        (key, parsed.objects.into_iter().next().unwrap())
    }

    #[test]
    fn what_pilot_reads_stays_and_the_rest_is_no_change() {
        let (key, first) = read(pod("1", "10:00"));
        let (_, second) = read(pod("2", "10:01"));
        assert_eq!(key, api::Key::new(Kind::Pod, "n", "a"));
        assert_eq!(key, first.key());
        assert_eq!(first, second, "a heartbeat is no change");
        let typed = first.get::<Pod>().unwrap();
        assert_eq!(typed.spec.service_account_name, "robot");
        assert_eq!(typed.spec.containers[0].ports[0].container_port, 80);
        assert!(typed.spec.volumes.is_empty() && typed.spec.containers[0].env.is_empty());
        assert_eq!(typed.status.as_ref().unwrap()["podIP"], "10.0.0.1");
        assert!(typed.origin.source.is_none());

        let mut moved = pod("3", "10:02");
        moved["status"]["podIP"] = "10.0.0.2".into();
        assert_ne!(read(moved).1, first);
    }
}
