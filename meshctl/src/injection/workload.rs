//! One object: where it has its pod, and the pod with a proxy. Pure.
//!
//! In: an object and the settings. Out: the object with its pod injected, or why it has none to inject. Called by
//! `documents`.

use pilot::webhook::inject::{self, NEVER, Owner, required};
use serde_json::{Value, json};

use super::settings::Settings;

/// The annotation of pods that were injected.
const STATUS: &str = "sidecar.istio.io/status";

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Injected(Value),
    /// It stays as it is, and that needs no words: it makes no pods.
    NoWorkload,
    /// It stays as it is, because.
    Left(&'static str),
}

/// Where kinds have the pod that they make.
fn pod_of(object: &Value) -> Option<&'static str> {
    let group = object["apiVersion"].as_str()?.rsplit_once('/').map_or("", |(group, _)| group);
    match (group, object["kind"].as_str()?) {
        ("", "Pod") => Some(""),
        ("", "ReplicationController") | ("batch", "Job") => Some("/spec/template"),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => Some("/spec/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Injects. The object is in `namespace` unless it says another.
///
/// # Errors
/// An annotation of the pod has a value that means nothing, or the settings make no pod of it.
pub(super) fn inject(object: &Value, namespace: &str, settings: &Settings) -> Result<Outcome, String> {
    let Some(pointer) = pod_of(object) else { return Ok(Outcome::NoWorkload) };
    let Some(pod) = object.pointer(pointer).filter(|pod| pod["spec"].is_object()) else {
        return Ok(Outcome::Left("it has no pod to inject"));
    };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = Some(text("/metadata/namespace")).filter(|name| !name.is_empty()).unwrap_or(namespace);
    if let Some(why) = left(pod, namespace, settings) {
        return Ok(Outcome::Left(why));
    }
    // Pods say themselves who owns them.
    let name = Some(text("/metadata/name")).filter(|name| !name.is_empty());
    let owner = (!pointer.is_empty()).then(|| Owner {
        name: name.unwrap_or(text("/metadata/generateName").trim_end_matches('-')).to_owned(),
        namespace: namespace.to_owned(),
        kind: text("/kind").to_owned(),
        api_version: text("/apiVersion").to_owned(),
    });
    let labels = settings.labels(namespace);
    let mut made = object.clone();
    if let Some(place) = made.pointer_mut(pointer) {
        let mut injected = inject::inject(pod, namespace, owner.as_ref(), &settings.facts(&labels))?;
        if !pointer.is_empty() {
            // Read from above, whatever order they were written or made in.
            injected = json!({"metadata": injected["metadata"].take(), "spec": injected["spec"].take()});
        }
        *place = injected;
    }
    Ok(Outcome::Injected(made))
}

/// Why a pod stays as it is.
fn left(pod: &Value, namespace: &str, settings: &Settings) -> Option<&'static str> {
    if pod["spec"]["hostNetwork"] == true {
        return Some("its network is the node's (hostNetwork), where nothing may be redirected");
    }
    if NEVER.contains(&namespace) {
        return Some("nothing is injected in this namespace");
    }
    if pod["metadata"]["annotations"].get(STATUS).is_some() {
        return Some("it has a proxy already; inject the manifest that it was made from");
    }
    (!required(pod, namespace, &settings.injector)).then_some(
        "its label or annotation sidecar.istio.io/inject, or the injector's neverInjectSelector, says so",
    )
}
