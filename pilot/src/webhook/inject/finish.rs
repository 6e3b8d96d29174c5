//! What follows the templates: cluster and network, metrics, probes, status, order of containers.
//!
//! In: the merged pod and what the templates made. Out: the pod as it is admitted. Called by `run`.

use serde_json::{Value, json};

use super::own::STATUS;
use super::pod::{
    annotation, annotations, containers, containers_mut, is_named, label, list_mut, map, names, truth,
};
use super::run::Facts;
use super::{PROXY, order, probes, prometheus};

/// Node metadata of the cluster's network, and the label of pods that says it.
pub(super) const NETWORK: &str = "ISTIO_META_NETWORK";
pub(super) const NETWORK_LABEL: &str = "topology.istio.io/network";

/// Finishes a pod. `hold`: the application waits for the proxy; `status_port` as the pod's annotations say.
pub(super) fn finish(pod: &mut Value, templates: &Value, facts: &Facts<'_>, hold: bool, status_port: u16) {
    let network = variables(pod, facts);
    // Both are served at the proxy's status port.
    let served = status_port != 0 && super::pod::proxy(pod).is_some();
    if served {
        let merge = facts.mesh.enable_prometheus_merge.unwrap_or(true);
        prometheus::merge(pod, merge, &status_port.to_string());
    }
    let rewrite = annotation(pod, "sidecar.istio.io/rewriteAppHTTPProbers").and_then(truth);
    let usual = facts.injector.values.pointer("/sidecarInjectorWebhook/rewriteAppHTTPProbe");
    if served && rewrite.unwrap_or(usual.and_then(Value::as_bool).unwrap_or_default()) {
        probes::rewrite(pod, status_port);
    }
    if let Some(network) = network {
        map(&mut pod["metadata"], "labels").insert(NETWORK_LABEL.to_owned(), network.into());
    }
    let status = status(templates, facts.revision).to_string();
    let annotations = annotations(pod);
    annotations.insert(STATUS.to_owned(), status.into());
    for (name, value) in &facts.injector.annotations {
        annotations.insert(name.clone(), value.as_str().into());
    }
    order::order(pod, hold);
}

/// Variables that the webhook's path gives, and the network: of the path, the pod or its namespace.
fn variables(pod: &mut Value, facts: &Facts<'_>) -> Option<String> {
    let mut all = facts.environment.clone();
    let network =
        label(pod, NETWORK_LABEL).or_else(|| facts.namespace_labels.get(NETWORK_LABEL).map(String::as_str));
    if let Some(network) = network.map(str::to_owned) {
        all.entry(NETWORK.to_owned()).or_insert(network);
    }
    for list in ["containers", "initContainers"] {
        if !containers(pod, list).iter().any(|item| is_named(item, PROXY)) {
            continue;
        }
        for container in containers_mut(pod, list).iter_mut().filter(|item| is_named(item, PROXY)) {
            let env = list_mut(container, "env");
            env.retain(|variable| variable["name"].as_str().is_none_or(|name| !all.contains_key(name)));
            env.extend(all.iter().map(|(name, value)| json!({"name": name, "value": value})));
        }
    }
    all.remove(NETWORK)
}

/// What was injected, in Istio's form: lists that are empty are null.
fn status(templates: &Value, revision: &str) -> Value {
    let list = |name: &str| match names(containers(templates, name)) {
        names if names.is_empty() => Value::Null,
        names => json!(names),
    };
    json!({
        "initContainers": list("initContainers"),
        "containers": list("containers"),
        "volumes": list("volumes"),
        "imagePullSecrets": list("imagePullSecrets"),
        "revision": revision,
    })
}
