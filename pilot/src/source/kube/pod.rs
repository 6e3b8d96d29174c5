//! A pod as it came from the API server, read straight into the record that the World keeps.
//!
//! In: JSON of which most is skipped as it is read: volumes, environments, managed fields, states of containers. Out:
//! `Read`. A pod is 5 to 8 KB as text, some 50 KB as a tree of values, and some hundred bytes as a record.

use std::collections::BTreeMap;

use api::Key;
use api::core::PodStatus;
use api::meta::OwnerReference;
use kube::api::ObjectMeta;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::seen::{Read, Seen, Trimmed};
use crate::world::{Facts, Pod};

#[derive(Deserialize)]
struct Sent {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
    resource_version: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    containers: Vec<Container>,
    service_account_name: String,
    host_network: bool,
    node_name: String,
    hostname: String,
    subdomain: String,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    #[serde(default)]
    name: String,
    container_port: u16,
}

impl<'de> Deserialize<'de> for Seen<Pod> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent { metadata, spec, status } = Sent::deserialize(deserializer)?;
        let account = spec.service_account_name.as_str();
        let ports = spec.containers.into_iter().flat_map(|c| c.ports).filter(|p| !p.name.is_empty());
        let facts = Facts {
            name: &metadata.name,
            namespace: &metadata.namespace,
            labels: &metadata.labels,
            makers: &metadata.owner_references,
            ending: metadata.deletion_timestamp.is_some(),
            account: if account.is_empty() { "default" } else { account },
            ports: ports.map(|p| (p.name, p.container_port)).collect(),
            host_network: spec.host_network,
            node: &spec.node_name,
            hostname: &spec.hostname,
            subdomain: &spec.subdomain,
            status: &status,
        };
        let object = facts.record();
        let meta = ObjectMeta {
            name: Some(metadata.name),
            namespace: Some(metadata.namespace),
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Seen { meta, object })
    }
}

impl Trimmed for Pod {
    fn read(self, _: Key, _: &str) -> Read {
        Read::pod(self)
    }
}

#[cfg(test)]
mod tests {
    use api::Kind;
    use serde_json::{Value, json};

    use super::*;
    use crate::source::Change;

    fn pod(version: &str, heartbeat: &str) -> Value {
        json!({
            "metadata": {
                "name": "a-5d9-x", "namespace": "n", "resourceVersion": version,
                "labels": {"app": "a", "pod-template-hash": "5d9", "security.istio.io/tlsMode": "istio"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a-5d9", "controller": true}],
                "managedFields": [{"manager": "kubelet", "time": heartbeat}],
            },
            "spec": {
                "serviceAccountName": "robot", "volumes": [{"name": "v", "emptyDir": {}}], "nodeName": "n1",
                "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}],
                    "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]}],
            },
            "status": {
                "podIP": "10.0.0.1", "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": heartbeat},
                    {"type": "Initialized", "status": "True"}],
            },
        })
    }

    fn read(value: &Value) -> Pod {
        let seen: Seen<Pod> = serde_json::from_str(&value.to_string()).unwrap();
        let read = seen.read(Kind::Pod, "v1");
        assert_eq!(read.key, Key::new(Kind::Pod, "n", "a-5d9-x"));
        match read.change {
            Some(Change::Pod(pod)) => (*pod).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_pilot_reads_stays_and_the_rest_is_no_change() {
        let first = read(&pod("1", "10:00"));
        assert_eq!(first, read(&pod("2", "10:01")), "a heartbeat is no change");
        assert_eq!((&*first.account, &*first.owner, &*first.node), ("robot", "a", "n1"));
        assert_eq!((first.ports["http"], first.ports.len()), (80, 1));
        assert_eq!(first.addresses[0].to_string(), "10.0.0.1");
        assert!(first.ready && first.proxied && !first.host_network);

        let mut changed = pod("3", "10:02");
        changed["status"]["podIP"] = "10.0.0.2".into();
        assert_ne!(read(&changed), first);
        changed["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert!(!read(&changed).ready, "on its way out");
    }

    #[test]
    fn a_record_is_that_of_the_same_object_in_a_file() {
        let mut value = pod("1", "10:00");
        value["apiVersion"] = "v1".into();
        value["kind"] = "Pod".into();
        let parsed = api::parse::from_value(value.clone());
        let object = parsed.objects[0].get::<api::core::Pod>().unwrap();
        assert_eq!(Pod::of(object), read(&value));
    }
}
