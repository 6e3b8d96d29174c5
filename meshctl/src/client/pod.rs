//! Which pod a user means: `[TYPE/]NAME[.NAMESPACE]`, as istioctl reads it. Pure.
//!
//! In: pods and Services as an API server shows them, and what was written. Out: one pod. A name without a type may
//! also be that of a workload, and without `-n` a name that is not in the usual namespace may be anywhere else, if only
//! once.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use api::Kind;
use serde_json::Value;

/// Name of the proxy's container.
const PROXY: &str = "istio-proxy";

/// A pod as commands need it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// Kind and name of what it belongs to, in lower case: `deployment`, `reviews-v1`.
    pub owner: (String, String),
    /// Names of its labels' values that services select by: all labels.
    pub labels: BTreeMap<String, String>,
    /// Has a proxy.
    pub meshed: bool,
    pub ready: bool,
    /// Is being ended.
    pub ending: bool,
}

/// The pods of a mesh, and what stands in front of them.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    pub list: Vec<Pod>,
    services: Vec<Service>,
}

/// A Service that selects pods.
#[derive(Clone, Debug)]
struct Service {
    namespace: String,
    name: String,
    selector: BTreeMap<String, String>,
}

impl Service {
    fn selects(&self, pod: &Pod) -> bool {
        !self.selector.is_empty()
            && self.namespace == pod.namespace
            && self.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    }
}

/// A mapping of texts.
fn texts(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

impl Pod {
    /// Reads a pod object as an API server shows it.
    pub fn read(value: &Value) -> Self {
        let meta = &value["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = texts(&meta["labels"]);
        let owner = &meta["ownerReferences"][0];
        let (kind, name) = (text(&owner["kind"]).to_lowercase(), text(&owner["name"]));
        // A Deployment owns its pods through a ReplicaSet that is named after the template.
        let template = labels.get("pod-template-hash").map(|hash| format!("-{hash}"));
        let deployment = template.and_then(|suffix| name.strip_suffix(&suffix).map(str::to_owned));
        let owner = match (kind.as_str(), deployment) {
            ("replicaset", Some(name)) => ("deployment".to_owned(), name),
            _ => (kind, name),
        };
        // A native sidecar is an init container that goes on.
        let lists = ["containers", "initContainers"].into_iter();
        let mut containers = lists.flat_map(|list| value["spec"][list].as_array().into_iter().flatten());
        let conditions = value["status"]["conditions"].as_array().into_iter().flatten();
        Self {
            namespace: text(&meta["namespace"]),
            name: text(&meta["name"]),
            owner,
            labels,
            meshed: containers.any(|container| container["name"] == PROXY),
            ready: conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True"),
            ending: !meta["deletionTimestamp"].is_null(),
        }
    }

    /// Whether it is one of the control plane.
    pub fn is_pilot(&self) -> bool {
        self.labels.get("app").is_some_and(|name| name == "istiod")
    }

    /// The revision of the control plane that it belongs to.
    pub fn revision(&self) -> &str {
        self.labels.get("istio.io/rev").map_or("default", String::as_str)
    }

    /// Whether it has all of these labels.
    pub fn has(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
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

impl Pods {
    /// Sorts out pods and Services among objects.
    pub fn read(objects: &[Value]) -> Self {
        let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
        let service = |object: &Value| Service {
            namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            selector: texts(&object["spec"]["selector"]),
        };
        Self { list: of("Pod").map(Pod::read).collect(), services: of("Service").map(service).collect() }
    }

    /// The same without pods that have no proxy.
    #[must_use]
    pub fn meshed(&self) -> Self {
        let list = self.list.iter().filter(|pod| pod.meshed).cloned().collect();
        Self { list, services: self.services.clone() }
    }

    /// All pods of the workload or Service that a pod was found by; that pod alone where its own name was written.
    pub fn beside(&self, wanted: &PodName, found: &Pod) -> Vec<Pod> {
        let own = wanted.kind == Kind::Pod && (wanted.name == found.name || wanted.name == found.full());
        let mut all: Vec<Pod> = self
            .list
            .iter()
            .filter(|pod| pod.namespace == found.namespace && !own)
            .filter(|pod| match wanted.kind {
                Kind::Service => self.services.iter().any(|one| one.selects(found) && one.selects(pod)),
                _ => pod.owner == found.owner && !pod.owner.1.is_empty(),
            })
            .cloned()
            .collect();
        if all.is_empty() {
            all.push(found.clone());
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The pod that is meant, ready ones before others. `said`: somebody named the namespace.
    ///
    /// # Errors
    /// There is none; the error lists those that look alike, or all.
    pub fn choose(&self, wanted: &PodName, own: &str, said: bool) -> Result<Pod> {
        let mut readings = vec![(wanted.name.as_str(), own)];
        readings.extend(wanted.name.rsplit_once('.'));
        for (name, namespace) in readings {
            if let Some(pod) = best(self.fitting(wanted, name).filter(|pod| pod.namespace == namespace)) {
                return Ok(pod.clone());
            }
        }
        if !said
            && let Some(pod) = best(self.fitting(wanted, &wanted.name))
            && self.fitting(wanted, &wanted.name).all(|other| other.namespace == pod.namespace)
        {
            return Ok(pod.clone());
        }
        let what = match wanted.kind {
            Kind::Pod => format!("pod {:?}", wanted.name),
            kind => format!("{} {:?} with pods", kind.name().to_lowercase(), wanted.name),
        };
        bail!("there is no {what} in namespace {own}; {}", candidates(&self.list, wanted))
    }

    /// Pods that a name means in whatever namespace. Without a type, a pod's own name goes before its workload's.
    fn fitting<'a>(&'a self, wanted: &PodName, name: &str) -> impl Iterator<Item = &'a Pod> {
        let is_pod = wanted.kind == Kind::Pod && self.list.iter().any(|pod| pod.name == name);
        let (name, kind) = (name.to_owned(), wanted.kind);
        self.list.iter().filter(move |pod| match kind {
            Kind::Pod if is_pod => pod.name == name,
            Kind::Pod => pod.owner.1 == name,
            Kind::Service => self.services.iter().any(|service| service.name == name && service.selects(pod)),
            kind => pod.owner == (kind.name().to_lowercase(), name.clone()),
        })
    }
}

fn best<'a>(pods: impl Iterator<Item = &'a Pod>) -> Option<&'a Pod> {
    pods.min_by_key(|pod| (pod.ending, !pod.ready, &pod.name))
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
        let list = vec![pod("a-v1-abc-x", "a-v1", "default"), pod("gw-abc-y", "gw", "istio-system")];
        let mut pods = Pods { list: list.clone(), services: Vec::new() };
        for (text, namespace, want) in [
            ("a-v1-abc-x", Some("default"), 0),
            ("a-v1-abc-x.default", Some("other"), 0),
            ("a-v1", None, 0),
            ("deploy/a-v1", None, 0),
            ("deployment/gw.istio-system", Some("default"), 1),
            ("pod/gw-abc-y", Some("istio-system"), 1),
            ("gw-abc-y", None, 1),
            ("gw", None, 1),
            ("deploy/gw", None, 1),
        ] {
            assert_eq!(
                pods.choose(&text.parse().unwrap(), namespace.unwrap_or("default"), namespace.is_some())
                    .unwrap(),
                list[want],
                "{text}"
            );
        }
        let error = |pods: &Pods, text: &str, namespace: Option<&str>| {
            let own = namespace.unwrap_or("default");
            pods.choose(&text.parse().unwrap(), own, namespace.is_some()).unwrap_err().to_string()
        };
        assert_eq!(
            error(&pods, "a-v2", None),
            "there is no pod \"a-v2\" in namespace default; there are:\n  a-v1-abc-x.default"
        );
        let text = error(&pods, "deploy/zz", None);
        assert!(text.contains("deployment/a-v1.default\n  deployment/gw.istio-system"), "{text}");
        assert!(error(&pods, "gw", Some("default")).contains("there is no pod \"gw\" in namespace default"));
        assert!("thing/x".parse::<PodName>().is_err());
        // Two namespaces have it: nobody can know which is meant.
        pods.list.push(pod("gw-abc-z", "gw", "edge"));
        assert!(error(&pods, "gw", None).contains("gw-abc-z.edge"));
    }

    #[test]
    fn a_service_means_a_pod_that_it_selects() {
        let mut one = pod("a-v1-abc-x", "a-v1", "default");
        one.labels.insert("app".into(), "a".into());
        let mut away = one.clone();
        (away.name, away.ending) = ("a-v1-abc-a".into(), true);
        let mut pods =
            Pods::read(&[json!({"kind": "Service", "metadata": {"name": "a", "namespace": "default"},
            "spec": {"selector": {"app": "a"}}})]);
        pods.list = vec![pod("b-abc-x", "b", "default"), away, one];
        assert_eq!(pods.choose(&"svc/a".parse().unwrap(), "default", false).unwrap().name, "a-v1-abc-x");
        assert!(pods.choose(&"svc/b".parse().unwrap(), "default", false).is_err());
        let names = |text: &str, at: usize| -> Vec<String> {
            let all = pods.beside(&text.parse().unwrap(), &pods.list[at]);
            all.into_iter().map(|pod| pod.name).collect()
        };
        assert_eq!(names("svc/a", 2), ["a-v1-abc-a", "a-v1-abc-x"]);
        assert_eq!(names("deploy/a-v1", 2), ["a-v1-abc-a", "a-v1-abc-x"]);
        assert_eq!(names("a-v1-abc-x", 2), ["a-v1-abc-x"]);
        assert_eq!(names("a-v1-abc-x.default", 2), ["a-v1-abc-x"]);
    }
}
