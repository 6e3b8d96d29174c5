//! What is analysed, and how analyzers look at it.
//!
//! In: objects that were read without errors, and objects of kinds that `api` has no type for (webhooks, CRDs). Out:
//! iterators by kind, what makes pods, labels of namespaces, and findings with a place. Used by every analyzer.

use std::collections::BTreeMap;

use api::core::{CronJob, DaemonSet, Deployment, Job, Namespace, Pod, Service, StatefulSet};
use api::meta::Meta;
use api::{AnyObject, Code, FieldPath, Finding, Findings, Key, Kind, Object, Spec};
use serde_json::Value;

type Labels = BTreeMap<String, String>;

/// Namespaces of Kubernetes itself, which nobody injects.
const SYSTEM: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// All objects.
pub struct Scene {
    objects: Vec<AnyObject>,
    others: Vec<Value>,
    /// Services of other clusters, by what those are called.
    pub remotes: Vec<(String, Vec<Object<Service>>)>,
    /// Namespace of the control plane.
    pub system: String,
    /// A mesh whose pods get a proxy whatever their namespace says: that of a laptop.
    pub always_injected: bool,
}

/// A pod, or the template from which pods are made.
pub(super) struct Template<'a> {
    pub(super) owner: &'a AnyObject,
    pub(super) namespace: &'a str,
    /// Of the pod.
    pub(super) meta: &'a Meta,
    pub(super) spec: &'a Pod,
    /// Where in the owner's text the pod's own `metadata` and `spec` stand: empty, or `spec.template`.
    pub(super) at: &'static str,
}

impl Scene {
    /// These objects and others, seen from a control plane in a namespace.
    pub fn new(objects: Vec<AnyObject>, others: Vec<Value>, system: &str) -> Self {
        Self { objects, others, remotes: Vec::new(), system: system.to_owned(), always_injected: false }
    }

    pub(super) fn objects(&self) -> &[AnyObject] {
        &self.objects
    }

    pub(super) fn all<T: Spec>(&self) -> impl Iterator<Item = &Object<T>> {
        self.objects.iter().filter_map(T::of)
    }

    pub(super) fn get<T: Spec>(&self, namespace: &str, name: &str) -> Option<&Object<T>> {
        self.all::<T>().find(|object| object.meta.namespace == namespace && object.meta.name == name)
    }

    /// Objects without a type, of one kind.
    pub(super) fn others(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.others.iter().filter(move |object| object["kind"] == kind)
    }

    pub(super) fn is_system(&self, namespace: &str) -> bool {
        SYSTEM.contains(&namespace) || namespace == self.system
    }

    /// Labels of a namespace that is there; every one has its name as a label in a cluster.
    pub(super) fn namespace_labels(&self, name: &str) -> Option<Labels> {
        let object = self.all::<Namespace>().find(|object| object.meta.name == name)?;
        let mut labels = object.meta.labels.clone();
        labels.entry("kubernetes.io/metadata.name".to_owned()).or_insert_with(|| name.to_owned());
        Some(labels)
    }

    /// Everything that pods are made from: templates, and pods that nothing here has made.
    pub(super) fn templates(&self) -> impl Iterator<Item = Template<'_>> {
        self.objects.iter().filter_map(|owner| {
            let (meta, spec, at) = match owner {
                AnyObject::Pod(pod) if pod.meta.owner_references.is_empty() => (&pod.meta, &pod.spec, ""),
                AnyObject::Pod(_) => return None,
                _ => {
                    let template = None
                        .or_else(|| Deployment::of(owner).map(|one| &one.spec.template))
                        .or_else(|| StatefulSet::of(owner).map(|one| &one.spec.template))
                        .or_else(|| DaemonSet::of(owner).map(|one| &one.spec.template))
                        .or_else(|| {
                            Job::of(owner)
                                .filter(|one| one.meta.owner_references.is_empty())
                                .map(|one| &one.spec.template)
                        })
                        .or_else(|| CronJob::of(owner).map(|one| &one.spec.job_template.spec.template))?;
                    let at = match owner.kind() {
                        Kind::CronJob => "spec.jobTemplate.spec.template",
                        _ => "spec.template",
                    };
                    (&template.metadata, &template.spec, at)
                }
            };
            Some(Template { owner, namespace: owner.meta().namespace.as_str(), meta, spec, at })
        })
    }

    /// What a pod of these labels is made from or is itself, in words: the names of pods that are selected.
    pub(super) fn selected(&self, namespace: Option<&str>, wanted: &Labels) -> bool {
        let within = |own: &str| namespace.is_none_or(|namespace| namespace == own);
        let fits = |labels: &Labels| api::meta::labels_match(wanted, labels);
        self.templates().any(|one| within(one.namespace) && fits(&one.meta.labels))
            || self.all::<Pod>().any(|pod| within(&pod.meta.namespace) && fits(&pod.meta.labels))
    }

    /// Whether there are any pods to select from.
    pub(super) fn has_pods(&self) -> bool {
        self.templates().next().is_some() || self.all::<Pod>().next().is_some()
    }
}

impl Template<'_> {
    /// The path of a field of the pod in its owner's text.
    pub(super) fn path(&self, field: &str) -> String {
        if self.at.is_empty() { field.to_owned() } else { format!("{}.{field}", self.at) }
    }
}

/// Adds a finding about a field of an object, with file and line.
pub(super) fn note(
    out: &mut Findings,
    object: &AnyObject,
    path: &str,
    code: Code,
    message: impl Into<String>,
) {
    out.push(object.origin().finding(object.key(), path, code, message));
}

/// The same for an object of a known kind.
pub(super) fn note_of<T: Spec>(
    out: &mut Findings,
    object: &Object<T>,
    path: &str,
    code: Code,
    message: impl Into<String>,
) {
    out.push(object.origin.finding(object.key(), path, code, message));
}

/// The same for an object without a type; its kind is part of its name.
pub(super) fn note_other(
    out: &mut Findings,
    object: &Value,
    path: &str,
    code: Code,
    message: impl Into<String>,
) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
    let key = Key::new(Kind::Unknown, &text(&object["metadata"]["namespace"]), &name);
    out.push(Finding::new(code, message).about(key).field(FieldPath::parse(path)));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A scene of one text.
    pub(in crate::analyzers) fn scene(text: &str) -> Scene {
        let parsed = api::parse("test.yaml", text);
        let (unknown, known): (Vec<_>, Vec<_>) =
            parsed.objects.into_iter().partition(|object| object.kind() == Kind::Unknown);
        Scene::new(known, unknown.iter().map(AnyObject::to_value).collect(), "istio-system")
    }

    /// `CODE field` of everything that an analyzer finds in it.
    pub(in crate::analyzers) fn found(text: &str, run: fn(&Scene, &mut Findings)) -> Vec<String> {
        let mut findings = Findings::new();
        run(&scene(text), &mut findings);
        findings.iter().map(|one| format!("{} {}", one.code.id(), one.path).trim_end().to_owned()).collect()
    }

    #[test]
    fn what_makes_pods() {
        let scene = scene(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: n}\n\
             spec: {template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: n, ownerReferences: [{kind: X, name: x, apiVersion: v1, uid: u}]}\n\
             spec: {containers: [{name: b, image: b}]}\n",
        );
        let paths: Vec<String> = scene.templates().map(|one| one.path("spec")).collect();
        assert_eq!(paths, ["spec.template.spec"]);
        let labels = |value: &str| Labels::from([("app".to_owned(), value.to_owned())]);
        assert!(scene.selected(Some("n"), &labels("a")) && !scene.selected(Some("m"), &labels("a")));
    }
}
