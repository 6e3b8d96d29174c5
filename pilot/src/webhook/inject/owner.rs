//! Who made a pod: the Deployment behind its ReplicaSet, the CronJob behind its Job, or itself.
//!
//! In: a pod. Out: [`Owner`], the name and kind that telemetry and templates use. Called per pod; nothing is looked up.

use serde_json::Value;

use super::pod::{label, text};

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    pub namespace: String,
    pub kind: String,
    pub api_version: String,
}

impl Owner {
    /// Of a pod in this namespace.
    #[must_use]
    pub fn of(pod: &Value, namespace: &str) -> Self {
        let own = |name: &str, kind: &str, api_version: &str| Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
        };
        let prefix = text(pod, "/metadata/generateName");
        if prefix.is_empty() {
            return own(text(pod, "/metadata/name"), "Pod", "v1");
        }
        let references = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let controller = references.into_iter().flatten().find(|reference| reference["controller"] == true);
        let Some(controller) = controller else {
            // As the name of what is to come begins.
            return own(prefix.trim_end_matches('-'), "Pod", "v1");
        };
        let (name, kind) = (text(controller, "/name"), text(controller, "/kind"));
        let version = text(controller, "/apiVersion");
        let hash = label(pod, "pod-template-hash").map(|hash| format!("-{hash}"));
        match kind {
            "ReplicaSet" => match hash.and_then(|hash| name.strip_suffix(hash.as_str())) {
                // Rollouts of Argo own ReplicaSets of the same form.
                Some(base) if label(pod, "rollouts-pod-template-hash").is_none() => {
                    own(base, "Deployment", version)
                }
                _ => own(name, kind, version),
            },
            "ReplicationController" => match label(pod, "deploymentconfig") {
                Some(config) => own(config, "DeploymentConfig", "apps.openshift.io/v1"),
                None => own(name, kind, version),
            },
            "Job" => match scheduled(name) {
                Some(base) => own(base, "CronJob", version),
                None => own(name, kind, version),
            },
            _ => own(name, kind, version),
        }
    }
}

/// The CronJob of a Job, whose name ends with the minute or second that it was made for.
fn scheduled(job: &str) -> Option<&str> {
    let (base, time) = job.rsplit_once('-')?;
    ((8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit()) && !base.is_empty())
        .then_some(base)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn behind_the_controller() {
        let of = |kind: &str, name: &str, labels: Value| {
            let pod = json!({"metadata": {"generateName": format!("{name}-"), "labels": labels,
                "ownerReferences": [{"kind": kind, "name": name, "apiVersion": "x/v1", "controller": true}]}});
            let owner = Owner::of(&pod, "n");
            (owner.kind, owner.name)
        };
        let is = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        assert_eq!(of("ReplicaSet", "web-5d9", json!({"pod-template-hash": "5d9"})), is("Deployment", "web"));
        assert_eq!(of("ReplicaSet", "web-5d9", json!({})), is("ReplicaSet", "web-5d9"));
        assert_eq!(of("Job", "backup-28391820", json!({})), is("CronJob", "backup"));
        assert_eq!(of("Job", "backup-1", json!({})), is("Job", "backup-1"));
        assert_eq!(of("StatefulSet", "db", json!({})), is("StatefulSet", "db"));
        let alone = Owner::of(&json!({"metadata": {"name": "p"}}), "n");
        assert_eq!((alone.kind.as_str(), alone.name.as_str()), ("Pod", "p"));
    }
}
