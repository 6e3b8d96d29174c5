//! Whether a pod gets a proxy. Which pods the API server asks about is decided before, by the webhooks' selectors.
//!
//! In: a pod with its namespace, the injector's settings. Out: yes or no. The label wins over the annotation; who says
//! neither is decided about by `neverInjectSelector`, then `alwaysInjectSelector`, then the policy.

use std::collections::BTreeMap;

use api::meta::LabelSelector;
use serde_json::Value;

use super::config::Injector;
use super::pod::{annotation, label, strings};

/// Namespaces whose pods never get a proxy.
pub const NEVER: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

const INJECT: &str = "sidecar.istio.io/inject";

/// Decides.
#[must_use]
pub fn required(pod: &Value, namespace: &str, injector: &Injector) -> bool {
    // Its network is the node's: nothing in it may be redirected.
    if pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true)) || NEVER.contains(&namespace) {
        return false;
    }
    let said = label(pod, INJECT).or_else(|| annotation(pod, INJECT)).unwrap_or_default();
    let decided = match said.to_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "" => selected(pod, injector),
        _ => Some(false),
    };
    match injector.policy.as_str() {
        "enabled" => decided.unwrap_or(true),
        "disabled" => decided.unwrap_or(false),
        _ => false,
    }
}

fn selected(pod: &Value, injector: &Injector) -> Option<bool> {
    let labels: BTreeMap<String, String> =
        strings(pod, "labels").map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    for (selectors, decision) in [(&injector.never, false), (&injector.always, true)] {
        if selectors.iter().any(|selector| !is_empty(selector) && selector.matches(&labels)) {
            return Some(decision);
        }
    }
    None
}

/// One that says nothing selects nothing here.
fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.is_empty() && selector.match_expressions.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_who_decides() {
        let injector = |policy: &str| {
            let config = format!(
                "policy: {policy}\nneverInjectSelector: [{{matchLabels: {{never: 'yes'}}}}]\n\
                 alwaysInjectSelector: [{{matchLabels: {{always: 'yes'}}}}, {{}}]"
            );
            Injector::read(&config, "", &BTreeMap::new()).unwrap()
        };
        let (on, off) = (injector("enabled"), injector("disabled"));
        let pod = |labels: Value, annotations: Value| json!({"metadata": {"labels": labels, "annotations": annotations}});
        for (labels, annotations, with_on, with_off) in [
            (json!({}), json!({}), true, false),
            (json!({INJECT: "true"}), json!({INJECT: "false"}), true, true),
            (json!({INJECT: "false"}), json!({INJECT: "true"}), false, false),
            (json!({}), json!({INJECT: "true"}), true, true),
            (json!({"never": "yes"}), json!({INJECT: "true"}), true, true),
            (json!({"never": "yes", "always": "yes"}), json!({}), false, false),
            (json!({"always": "yes"}), json!({}), true, true),
            (json!({INJECT: "perhaps"}), json!({}), false, false),
        ] {
            let pod = pod(labels, annotations);
            let decided = (required(&pod, "default", &on), required(&pod, "default", &off));
            assert_eq!(decided, (with_on, with_off), "{pod}");
        }
        let plain = pod(json!({}), json!({}));
        assert!(!required(&plain, "kube-system", &on));
        assert!(!required(&plain, "default", &injector("'off'")));
        assert!(!required(&json!({"spec": {"hostNetwork": true}}), "default", &on));
    }
}
