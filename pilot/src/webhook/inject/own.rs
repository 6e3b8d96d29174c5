//! Containers that the user wrote under the name of an injected one: what stands there wins over the templates.
//!
//! In: the pod as it came, what the templates made, the merged pod. Out: the merged pod with the user's containers laid
//! over once more, remembered in the annotation `proxy.istio.io/overrides`, so that an injection of the injected pod
//! gives the same. Called by `run`.

use serde_json::{Value, json};

use super::PROXY;
use super::overlay::overlay;
use super::pod::{annotation, annotations, containers, containers_mut, is_named, list_mut, names};

pub(super) const STATUS: &str = "sidecar.istio.io/status";
const OVERRIDES: &str = "proxy.istio.io/overrides";
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The pod as it was before an earlier injection, as far as templates look at it.
pub(super) fn before(pod: &Value, status_port: &str) -> Value {
    let mut pod = pod.clone();
    if let Some(status) = parsed(&pod, STATUS) {
        for list in LISTS {
            let injected: Vec<&str> =
                status[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if !injected.is_empty() {
                containers_mut(&mut pod, list)
                    .retain(|item| !injected.iter().any(|name| is_named(item, name)));
            }
        }
        if annotation(&pod, "prometheus.io/port") == Some(status_port) {
            super::prometheus::clear(&mut pod);
        }
        annotations(&mut pod).shift_remove(STATUS);
    }
    if let Some(overrides) = parsed(&pod, OVERRIDES) {
        for list in LISTS {
            for own in overrides[list].as_array().into_iter().flatten() {
                let name = own["name"].as_str().unwrap_or_default();
                if !containers(&pod, list).iter().any(|item| is_named(item, name)) {
                    containers_mut(&mut pod, list).push(own.clone());
                }
            }
        }
    }
    pod
}

/// Prepares the pod for the templates: an image that is to be filled in says nothing, neither does the pull policy
/// that Kubernetes derives from it; a proxy beside the application stands where the templates have it.
pub(super) fn prepared(pod: &Value, templates: &Value) -> Value {
    let mut pod = pod.clone();
    for list in LISTS {
        if pod.pointer(&format!("/spec/{list}")).is_some_and(Value::is_array) {
            containers_mut(&mut pod, list).iter_mut().for_each(automatic);
        }
    }
    let early = containers(templates, "initContainers").iter().any(|item| is_named(item, PROXY));
    let at = containers(&pod, "containers").iter().position(|item| is_named(item, PROXY));
    if let (true, Some(at)) = (early, at) {
        let own = containers_mut(&mut pod, "containers").remove(at);
        containers_mut(&mut pod, "initContainers").push(own);
    }
    pod
}

fn automatic(container: &mut Value) {
    if container["image"] == "auto"
        && let Some(fields) = container.as_object_mut()
    {
        fields.shift_remove("image");
        if fields.get("imagePullPolicy").is_some_and(|policy| policy == "Always") {
            fields.shift_remove("imagePullPolicy");
        }
    }
}

/// Lays the user's containers over the merged pod; they are returned by list.
pub(super) fn again(original: &Value, templates: &Value, merged: &mut Value) -> Value {
    let status = parsed(original, STATUS);
    let remembered = parsed(original, OVERRIDES).unwrap_or_default();
    let mut overrides = json!({});
    for list in LISTS {
        for name in names(containers(templates, list)) {
            let injected = status.as_ref().map(|status| &status[list]);
            let earlier = injected.and_then(Value::as_array).into_iter().flatten();
            let find = |items: &[Value]| items.iter().find(|item| is_named(item, name)).cloned();
            let kept = find(remembered[list].as_array().map_or(&[], Vec::as_slice));
            let own = match kept {
                Some(own) => Some(own),
                None if earlier.clone().any(|other| other == name) => None,
                None => find(containers(original, list))
                    .or_else(|| (name == PROXY).then(|| find(containers(original, "containers"))).flatten()),
            };
            let Some(mut own) = own else { continue };
            automatic(&mut own);
            overlay(merged, &json!({"spec": {list: [&own]}}));
            list_mut(&mut overrides, list).push(own);
        }
    }
    if status.is_none() && overrides != json!({}) {
        annotations(merged).insert(OVERRIDES.to_owned(), overrides.to_string().into());
    }
    overrides
}

/// The JSON of an annotation.
fn parsed(pod: &Value, name: &str) -> Option<Value> {
    serde_json::from_str(annotation(pod, name)?).ok()
}

/// Traffic of the proxy is told from that of the application by its user: the redirection must know another one. `own` is
/// what `again` returned.
pub(super) fn user_of_redirection(own: &Value, merged: &mut Value) {
    let all = LISTS.iter().flat_map(|list| own[*list].as_array().into_iter().flatten());
    let proxy = all.into_iter().find(|item| is_named(item, PROXY));
    let Some(context) = proxy.and_then(|own| own.get("securityContext")) else { return };
    if containers(merged, "initContainers").is_empty() {
        return;
    }
    let ids: Vec<(&str, String)> = [("-u", "runAsUser"), ("-g", "runAsGroup")]
        .into_iter()
        .filter_map(|(flag, field)| Some((flag, context.get(field)?.as_i64()?.to_string())))
        .collect();
    let init = containers_mut(merged, "initContainers")
        .iter_mut()
        .find(|item| is_named(item, "istio-init") || is_named(item, "istio-validation"));
    let Some(args) = init.and_then(|init| init.get_mut("args")).and_then(Value::as_array_mut) else { return };
    // With TPROXY the proxy is root, whoever the user wishes.
    if args.iter().any(|arg| arg == "TPROXY") {
        return;
    }
    for (flag, id) in ids {
        match args.iter().position(|arg| arg == flag) {
            Some(at) if at + 1 < args.len() => args[at + 1] = id.into(),
            _ => args.extend([flag.into(), id.into()]),
        }
    }
}
