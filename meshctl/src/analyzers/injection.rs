//! Which namespaces and pods get a proxy, and which do not although it looks as if they should.
//!
//! In: namespaces, pods, templates, the injector's webhooks and settings. Out: findings IST0102, 0103, 0123, 0146 to
//! 0148 and 0158. Webhooks decide where there are any; files without them follow Istio's labels.

use std::collections::{BTreeMap, BTreeSet};

use api::core::{ConfigMap, Namespace, Pod};
use api::meta::LabelSelector;
use api::{Code, Findings};
use serde_json::Value;

use super::scene::{Scene, Template, note, note_of};

type Labels = BTreeMap<String, String>;

const INJECTION: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const INJECT: &str = "sidecar.istio.io/inject";
/// Says `ambient` where a namespace has no sidecars on purpose.
const DATA_PLANE: &str = "istio.io/dataplane-mode";
const PROXY: &str = "istio-proxy";

/// The injector's webhooks.
struct Injectors(Vec<Injector>);

struct Injector {
    namespaces: LabelSelector,
    objects: LabelSelector,
}

impl Injectors {
    fn of(scene: &Scene) -> Self {
        let webhooks = scene
            .others("MutatingWebhookConfiguration")
            .flat_map(|object| object["webhooks"].as_array().into_iter().flatten())
            .filter(|one| {
                one["name"].as_str().is_some_and(|name| name.ends_with("sidecar-injector.istio.io"))
            });
        let selector = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
        let read = |one: &Value| Injector {
            namespaces: selector(&one["namespaceSelector"]),
            objects: selector(&one["objectSelector"]),
        };
        Self(webhooks.map(read).collect())
    }

    /// Whether a new pod with these labels would get a proxy.
    fn inject(&self, namespace: &Labels, pod: &Labels) -> bool {
        if !self.0.is_empty() {
            return self.0.iter().any(|one| one.namespaces.matches(namespace) && one.objects.matches(pod));
        }
        if pod.get(INJECT).is_some_and(|word| word == "false") {
            return false;
        }
        let asked = pod.get(INJECT).is_some_and(|word| word == "true") || pod.contains_key(REVISION);
        match namespace.get(INJECTION).map(String::as_str) {
            Some("enabled") => true,
            Some(_) => false,
            None => namespace.contains_key(REVISION) || asked,
        }
    }

    /// Whether pods that say nothing in namespaces that say nothing get one.
    fn by_default(&self) -> bool {
        !self.0.is_empty() && self.inject(&Labels::new(), &Labels::new())
    }
}

/// IST0102, 0103, 0123, 0148.
pub(super) fn namespaces_and_pods(scene: &Scene, out: &mut Findings) {
    if scene.always_injected {
        return;
    }
    let injectors = Injectors::of(scene);
    for object in scene.all::<Namespace>() {
        let name = object.meta.name.as_str();
        let labels = &object.meta.labels;
        if scene.is_system(name) {
            continue;
        }
        let said = labels.get(INJECTION);
        if let (Some(said), Some(revision)) = (said, labels.get(REVISION)) {
            let text = format!(
                "{INJECTION}={said} and {REVISION}={revision} are both there: the first one wins, so take one of them away"
            );
            note_of(out, object, "metadata.labels", Code::NamespaceMultipleInjectionLabels, text);
        }
        let silent = said.is_none() && !labels.contains_key(REVISION);
        if !silent || labels.get(DATA_PLANE).is_some_and(|mode| mode == "ambient") {
            continue;
        }
        if injectors.by_default() {
            let text = format!(
                "pods get a proxy, because the injector takes every namespace that says nothing; `kubectl label \
                 namespace {name} {INJECTION}=disabled` keeps them without"
            );
            note_of(out, object, "", Code::NamespaceInjectionEnabledByDefault, text);
        } else {
            let text = format!(
                "new pods get no proxy; `kubectl label namespace {name} {INJECTION}=enabled` gives them one, \
                 {INJECTION}=disabled says that this is meant"
            );
            note_of(out, object, "", Code::NamespaceNotInjected, text);
        }
    }
    for pod in scene.all::<Pod>() {
        without_proxy(scene, &injectors, pod, out);
    }
}

fn without_proxy(scene: &Scene, injectors: &Injectors, pod: &api::Object<Pod>, out: &mut Findings) {
    let meta = &pod.meta;
    let Some(namespace) = scene.namespace_labels(&meta.namespace) else { return };
    let phase = pod.status.as_ref().and_then(|status| status["phase"].as_str());
    let over = matches!(phase, Some("Succeeded" | "Failed"));
    // The old way of saying no.
    let declined =
        meta.annotation(INJECT).is_some_and(|word| word == "false" && !meta.labels.contains_key(INJECT));
    if scene.is_system(&meta.namespace)
        || over
        || declined
        || pod.spec.host_network
        || proxy(&pod.spec).is_some()
        || !injectors.inject(&namespace, &meta.labels)
    {
        return;
    }
    let text = "there is no proxy beside it, although its namespace and labels ask for one: it was made before they did, \
                or while no injector answered; make it again, for example with `kubectl rollout restart`";
    note_of(out, pod, "", Code::PodMissingProxy, text);
}

/// The proxy's container: an ordinary one, or an init container that goes on.
fn proxy(pod: &Pod) -> Option<&api::core::Container> {
    pod.containers.iter().chain(&pod.init_containers).find(|container| container.name == PROXY)
}

/// IST0146 and 0147: `image: auto` is filled in by the injector and by nobody else.
pub(super) fn auto(scene: &Scene, out: &mut Findings) {
    if scene.always_injected {
        return;
    }
    let injectors = Injectors::of(scene);
    for template in scene.templates() {
        if proxy(template.spec).is_none_or(|container| container.image != "auto") {
            continue;
        }
        // Of a namespace that is not here nobody knows its labels.
        let Some(namespace) = scene.namespace_labels(template.namespace) else { continue };
        if injectors.inject(&namespace, &template.meta.labels) {
            continue;
        }
        let code = match template.at {
            "" => Code::ImageAutoWithoutInjectionError,
            _ => Code::ImageAutoWithoutInjectionWarning,
        };
        let text = format!(
            "`image: auto` is replaced by the injector, which does not look at pods with these labels in namespace {}: they \
             will not start; give the namespace or the pod an injection label",
            template.namespace
        );
        note(out, template.owner, &place(&template), code, text);
    }
}

fn place(template: &Template<'_>) -> String {
    let at = template.spec.containers.iter().position(|container| container.name == PROXY);
    match at {
        Some(index) => template.path(&format!("spec.containers[{index}].image")),
        None => template.path("spec.initContainers"),
    }
}

/// IST0158: proxies that are not of the image that the injector would give today.
pub(super) fn images(scene: &Scene, out: &mut Findings) {
    let wanted: BTreeMap<String, String> = scene.all::<ConfigMap>().filter_map(injected_image).collect();
    let Some(usual) = wanted.get("default").or_else(|| wanted.values().next()) else { return };
    let mut old: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pod in scene.all::<Pod>() {
        let Some(container) = proxy(&pod.spec) else { continue };
        let chosen = ["sidecar.istio.io/proxyImage", "sidecar.istio.io/proxyImageType"];
        let own = chosen.iter().any(|name| pod.meta.annotations.contains_key(*name));
        // One that was never filled in has a finding of its own.
        if own || container.image == "auto" {
            continue;
        }
        let revision =
            pod.meta.annotation(REVISION).or_else(|| pod.meta.label(REVISION)).unwrap_or("default");
        if container.image != *wanted.get(revision).unwrap_or(usual) {
            old.entry(&pod.meta.namespace).or_default().insert(&pod.meta.name);
        }
    }
    for (namespace, pods) in old {
        let pods: Vec<&str> = pods.into_iter().collect();
        let text = format!(
            "the proxies of these pods are not of the image that new ones get ({usual}); restart what they belong to: {}",
            pods.join(", ")
        );
        match scene.all::<Namespace>().find(|object| object.meta.name == namespace) {
            Some(object) => note_of(out, object, "", Code::PodsIstioProxyImageMismatchInNamespace, text),
            None => out.push(api::Finding::new(Code::PodsIstioProxyImageMismatchInNamespace, text)),
        }
    }
}

/// Revision and image of an injector's settings.
fn injected_image(map: &api::Object<ConfigMap>) -> Option<(String, String)> {
    if !map.meta.name.starts_with("istio-sidecar-injector") {
        return None;
    }
    let values: Value = serde_json::from_str(map.spec.data.get("values")?).ok()?;
    let global = &values["global"];
    let image = global["proxy"]["image"].as_str().filter(|image| !image.is_empty())?;
    let revision = map.meta.label(REVISION).filter(|name| !name.is_empty()).unwrap_or("default");
    if image.contains('/') {
        return Some((revision.to_owned(), image.to_owned()));
    }
    let text =
        |value: &Value| value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|n| n.to_string()));
    let (hub, tag) = (text(&global["hub"])?, text(&global["tag"])?);
    // Another kind of image is a suffix of the tag.
    let variant = text(&global["variant"]).filter(|variant| !variant.is_empty() && variant != "default");
    let tag = variant.map_or(tag.clone(), |variant| format!("{tag}-{variant}"));
    Some((revision.to_owned(), format!("{hub}/{image}:{tag}")))
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: v1
kind: Namespace
metadata: {name: meshed, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: off, labels: {istio-injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: both, labels: {istio-injection: enabled, istio.io/rev: canary}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
";

    fn pod(name: &str, namespace: &str, rest: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}{rest}}}\n\
             spec: {{containers: [{{name: app, image: app}}]}}\n"
        )
    }

    #[test]
    fn namespaces() {
        let mut all = found(NAMESPACES, namespaces_and_pods);
        all.sort();
        assert_eq!(all, ["IST0102", "IST0123 metadata.labels"]);
        let auto = format!(
            "{NAMESPACES}---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {{name: i}}\n\
             webhooks: [{{name: auto.sidecar-injector.istio.io, namespaceSelector: {{matchExpressions: [{{key: istio-injection, \
             operator: DoesNotExist}}]}}}}]\n"
        );
        assert!(found(&auto, namespaces_and_pods).contains(&"IST0148".to_owned()));
    }

    #[test]
    fn pods() {
        let text = |rest: &str, namespace: &str| format!("{NAMESPACES}{}", pod("p", namespace, rest));
        let missing = |rest: &str, namespace: &str| {
            found(&text(rest, namespace), namespaces_and_pods).contains(&"IST0103".to_owned())
        };
        assert!(missing("", "meshed"));
        assert!(
            !missing("", "off")
                && !missing("", "plain")
                && !missing("", "kube-system")
                && !missing("", "unknown")
        );
        assert!(!missing(", labels: {sidecar.istio.io/inject: 'false'}", "meshed"));
        assert!(!missing(", annotations: {sidecar.istio.io/inject: 'false'}", "meshed"));
        assert!(missing(", labels: {sidecar.istio.io/inject: 'true'}", "plain"));
    }

    #[test]
    fn image_auto() {
        let text = |namespace: &str| {
            format!(
                "{NAMESPACES}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: gw, namespace: {namespace}}}\n\
                 spec: {{template: {{spec: {{containers: [{{name: istio-proxy, image: auto}}]}}}}}}\n---\napiVersion: v1\nkind: Pod\n\
                 metadata: {{name: gw, namespace: {namespace}}}\nspec: {{containers: [{{name: istio-proxy, image: auto}}]}}\n"
            )
        };
        let wrong = [
            "IST0146 spec.template.spec.containers[0].image".to_owned(),
            "IST0147 spec.containers[0].image".to_owned(),
        ];
        assert_eq!(found(&text("plain"), auto), wrong);
        assert!(found(&text("meshed"), auto).is_empty());
    }

    #[test]
    fn old_images() {
        let map = "
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data: {values: '{\"global\": {\"hub\": \"docker.io/istio\", \"tag\": \"2\", \"proxy\": {\"image\": \"proxyv2\"}}}'}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: meshed}
spec: {containers: [{name: istio-proxy, image: 'docker.io/istio/proxyv2:1'}]}
";
        let text = format!("{NAMESPACES}{map}");
        assert_eq!(found(&text, images), ["IST0158"]);
        assert!(found(&text.replace("proxyv2:1", "proxyv2:2"), images).is_empty());
    }
}
