//! Which pod a user means: `[TYPE/]NAME[.NAMESPACE]`, as istioctl reads it. Pure.

use anyhow::{Result, bail};
use api::Kind;
use serde_json::Value;

/// A pod as commands need it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// Kind and name of what it belongs to, in lower case: `deployment`, `reviews-v1`.
    pub owner: (String, String),
    /// Names of its labels' values that services select by: all labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Has a proxy.
    pub meshed: bool,
    pub ready: bool,
}

impl Pod {
    /// Reads a pod object as an API server shows it.
    pub fn read(value: &Value) -> Self {
        let meta = &value["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels: std::collections::BTreeMap<String, String> = meta["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect();
        let owner = &meta["ownerReferences"][0];
        let (kind, name) = (text(&owner["kind"]).to_lowercase(), text(&owner["name"]));
        // A Deployment owns its pods through a ReplicaSet that is named after the template.
        let template = labels.get("pod-template-hash").map(|hash| format!("-{hash}"));
        let deployment = template.and_then(|suffix| name.strip_suffix(&suffix).map(str::to_owned));
        let owner = match (kind.as_str(), deployment) {
            ("replicaset", Some(name)) => ("deployment".to_owned(), name),
            _ => (kind, name),
        };
        let containers = value["spec"]["containers"].as_array().into_iter().flatten();
        let conditions = value["status"]["conditions"].as_array().into_iter().flatten();
        Self {
            namespace: text(&meta["namespace"]),
            name: text(&meta["name"]),
            owner,
            labels,
            meshed: containers.into_iter().any(|container| container["name"] == "istio-proxy"),
            ready: conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True"),
        }
    }

    /// `NAME.NAMESPACE`.
    pub fn full(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }
}

/// What the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// `Pod` where no type is written.
    pub kind: Kind,
    /// With all its dots.
    pub name: String,
}

impl std::str::FromStr for PodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (Kind::Pod, text),
            Some((word, name)) => match Kind::from_word(word) {
                Some(kind) => (kind, name),
                None => {
                    return Err(format!("{word:?} is no kind of workload; try deploy/NAME or a pod's name"));
                }
            },
        };
        if name.is_empty() {
            return Err(format!("{text:?} names no pod"));
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl PodName {
    fn fits(&self, pod: &Pod, name: &str, namespace: &str) -> bool {
        let own = match self.kind {
            Kind::Pod => pod.name == name,
            kind => pod.owner == (kind.name().to_lowercase(), name.to_owned()),
        };
        own && pod.namespace == namespace
    }
}

/// The pod that is meant, ready ones before others.
///
/// # Errors
/// There is none; the error lists those that look alike, or all.
pub fn choose(pods: &[Pod], wanted: &PodName, namespace: &str) -> Result<Pod> {
    let mut readings = vec![(wanted.name.as_str(), namespace)];
    readings.extend(wanted.name.rsplit_once('.'));
    for (name, namespace) in readings {
        let mut found: Vec<&Pod> = pods.iter().filter(|pod| wanted.fits(pod, name, namespace)).collect();
        found.sort_by_key(|pod| (!pod.ready, pod.name.clone()));
        if let Some(pod) = found.first() {
            return Ok((*pod).clone());
        }
    }
    let what = match wanted.kind {
        Kind::Pod => format!("pod {:?}", wanted.name),
        kind => format!("{} {:?} with pods", kind.name().to_lowercase(), wanted.name),
    };
    bail!("there is no {what} in namespace {namespace}; {}", candidates(pods, wanted))
}

fn candidates(pods: &[Pod], wanted: &PodName) -> String {
    let stem = wanted.name.split(['.', '-']).next().unwrap_or_default();
    let shown = |pod: &Pod| match wanted.kind {
        Kind::Pod => pod.full(),
        _ => format!("{}/{}.{}", pod.owner.0, pod.owner.1, pod.namespace),
    };
    let mut alike: Vec<String> = pods.iter().filter(|pod| pod.name.starts_with(stem)).map(shown).collect();
    if alike.is_empty() {
        alike = pods.iter().map(shown).collect();
    }
    alike.sort();
    alike.dedup();
    match alike.len() {
        0 => "the mesh has no pods".to_owned(),
        _ => format!("there are:\n  {}", alike.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, deployment: &str, namespace: &str) -> Pod {
        Pod::read(&json!({
            "metadata": {"name": name, "namespace": namespace, "labels": {"pod-template-hash": "abc"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": format!("{deployment}-abc")}]},
            "spec": {"containers": [{"name": "istio-proxy"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
    }

    #[test]
    fn names_as_people_write_them() {
        let pods = [pod("a-v1-abc-x", "a-v1", "default"), pod("gw-abc-y", "gw", "istio-system")];
        for (text, namespace, want) in [
            ("a-v1-abc-x", "default", 0),
            ("a-v1-abc-x.default", "other", 0),
            ("deploy/a-v1", "default", 0),
            ("deployment/gw.istio-system", "default", 1),
            ("pod/gw-abc-y", "istio-system", 1),
        ] {
            assert_eq!(choose(&pods, &text.parse().unwrap(), namespace).unwrap(), pods[want], "{text}");
        }
        let error = choose(&pods, &"a-v2".parse().unwrap(), "default").unwrap_err().to_string();
        assert_eq!(error, "there is no pod \"a-v2\" in namespace default; there are:\n  a-v1-abc-x.default");
        let error = choose(&pods, &"deploy/zz".parse().unwrap(), "default").unwrap_err().to_string();
        assert!(error.contains("deployment/a-v1.default\n  deployment/gw.istio-system"), "{error}");
        assert!("thing/x".parse::<PodName>().is_err());
    }
}
