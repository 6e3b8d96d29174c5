//! Injection webhooks of a cluster, as far as people ask about them: whom each selects, and by which label. Pure.
//!
//! In: MutatingWebhookConfigurations as an API server shows them, labels of a namespace and of a pod. Out: whether a webhook
//! asks for the pod, and why or why not, in istioctl's words. Called by `x injector` and `x check-inject`.

use std::collections::BTreeMap;

use api::meta::{LabelRequirement, LabelSelector};
use serde_json::Value;

/// Labels of a namespace or a pod.
pub type Labels = BTreeMap<String, String>;

const REVISION: &str = "istio.io/rev";
/// What an injector that was replaced by a tag selects.
const NEVER: &str = "istio.io/deactivated";

/// A configuration with injection webhooks.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    pub name: String,
    pub revision: String,
    /// Selectors of namespaces and of pods, webhook by webhook.
    selectors: Vec<(LabelSelector, LabelSelector)>,
}

impl Hook {
    /// Those of the mesh among configurations, by name.
    pub fn all(configurations: &[Value]) -> Vec<Hook> {
        let mut all: Vec<Hook> = configurations.iter().filter_map(Hook::read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn read(object: &Value) -> Option<Hook> {
        let ours = |one: &&Value| {
            one["name"].as_str().is_some_and(|name| name.ends_with("sidecar-injector.istio.io"))
        };
        let selector = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
        let webhooks = object["webhooks"].as_array().into_iter().flatten().filter(ours);
        let selectors: Vec<_> = webhooks
            .map(|one| (selector(&one["namespaceSelector"]), selector(&one["objectSelector"])))
            .collect();
        let meta = &object["metadata"];
        let revision = meta["labels"][REVISION].as_str().filter(|name| !name.is_empty());
        (!selectors.is_empty()).then(|| Hook {
            name: meta["name"].as_str().unwrap_or_default().to_owned(),
            revision: revision.unwrap_or("default").to_owned(),
            selectors,
        })
    }

    /// Whether it asks for a pod with these labels in a namespace with those, and why.
    pub fn decide(&self, namespace: &Labels, pod: &Labels) -> (bool, String) {
        for (of_namespace, of_pod) in &self.selectors {
            if of_namespace.matches(namespace) && of_pod.matches(pod) {
                return (true, matched(&said(of_namespace, namespace), &said(of_pod, pod)));
            }
        }
        if self.selectors.iter().any(|(one, _)| one.match_labels.contains_key(NEVER)) {
            return (false, "Automatic injection is deactivated".to_owned());
        }
        (false, self.unmatched(namespace, pod))
    }

    /// Whether it asks for pods that say nothing themselves.
    pub fn takes(&self, namespace: &Labels) -> bool {
        self.decide(namespace, &Labels::new()).0
    }

    /// What a label says that stands against it, or which labels are missing.
    fn unmatched(&self, namespace: &Labels, pod: &Labels) -> String {
        let against = |selector: &LabelSelector, labels: &Labels| {
            selector.match_expressions.iter().find_map(|one| {
                let value = labels.get(&one.key)?;
                (one.operator == "NotIn" && one.values.contains(value))
                    .then(|| format!("{}={value}", one.key))
            })
        };
        for (of_namespace, of_pod) in &self.selectors {
            if let Some(label) = against(of_namespace, namespace) {
                return format!("Namespace label {label} disables injection");
            }
            if let Some(label) = against(of_pod, pod) {
                return format!("Pod label {label} disables injection");
            }
        }
        let (of_namespaces, of_pods) =
            self.selectors.iter().fold((Vec::new(), Vec::new()), |mut all, one| {
                all.0.extend(asked(&one.0));
                all.1.extend(asked(&one.1));
                all
            });
        let list = |mut labels: Vec<String>| {
            labels.sort();
            labels.dedup();
            labels.join(", ")
        };
        format!("No matching namespace labels ({}) or pod labels ({})", list(of_namespaces), list(of_pods))
    }
}

/// Labels that a selector wants to see.
fn asked(selector: &LabelSelector) -> Vec<String> {
    let wanted = |one: &&LabelRequirement| one.operator == "In";
    let values = |one: &LabelRequirement| -> Vec<String> {
        one.values.iter().map(|value| format!("{}={value}", one.key)).collect()
    };
    let fixed = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    fixed.chain(selector.match_expressions.iter().filter(wanted).flat_map(values)).collect()
}

/// Labels that a selector wants to see and that are there.
fn said(selector: &LabelSelector, labels: &Labels) -> Vec<String> {
    let there = |label: &String| {
        label.split_once('=').is_some_and(|(key, value)| labels.get(key).is_some_and(|own| own == value))
    };
    asked(selector).into_iter().filter(there).collect()
}

fn matched(namespace: &[String], pod: &[String]) -> String {
    match (namespace.join(", "), pod.join(", ")) {
        (namespace, pod) if !namespace.is_empty() && !pod.is_empty() => {
            format!("Namespace label {namespace} matches, and pod label {pod} matches")
        }
        (namespace, _) if !namespace.is_empty() => format!("Namespace label {namespace} matches"),
        (_, pod) if !pod.is_empty() => format!("Pod label {pod} matches"),
        _ => "Neither namespace nor pod says anything, and the webhook takes those, too".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook() -> Hook {
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        let configuration = json!({
            "metadata": {"name": "istio-sidecar-injector", "labels": {"istio.io/rev": "default"}},
            "webhooks": [
                {"name": "namespace.sidecar-injector.istio.io",
                 "namespaceSelector": {"matchExpressions": [expression("istio-injection", "In", &["enabled"])]},
                 "objectSelector": {"matchExpressions": [expression("sidecar.istio.io/inject", "NotIn", &["false"])]}},
                {"name": "object.sidecar-injector.istio.io",
                 "namespaceSelector": {"matchExpressions": [expression("istio-injection", "DoesNotExist", &[])]},
                 "objectSelector": {"matchExpressions": [expression("sidecar.istio.io/inject", "In", &["true"])]}},
                {"name": "somebody.else", "namespaceSelector": {}, "objectSelector": {}},
            ],
        });
        Hook::all(&[configuration, json!({"metadata": {"name": "x"}, "webhooks": []})]).remove(0)
    }

    #[test]
    fn who_is_asked_about_and_why() {
        let labels = |text: &str| -> Labels {
            let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let decide = |namespace: &str, pod: &str| hook().decide(&labels(namespace), &labels(pod));
        let (on, off) = ("istio-injection=enabled", "istio-injection=disabled");
        assert_eq!(decide(on, ""), (true, format!("Namespace label {on} matches")));
        assert_eq!(
            decide(on, "sidecar.istio.io/inject=false"),
            (false, "Pod label sidecar.istio.io/inject=false disables injection".to_owned())
        );
        assert_eq!(
            decide("", "sidecar.istio.io/inject=true").1,
            "Pod label sidecar.istio.io/inject=true matches"
        );
        let none =
            format!("No matching namespace labels ({on}) or pod labels (sidecar.istio.io/inject=true)");
        assert_eq!(decide("", ""), (false, none.clone()));
        assert_eq!(decide(off, "sidecar.istio.io/inject=true"), (false, none));
        assert!(hook().takes(&labels(on)) && !hook().takes(&labels("")));
        let silent = Hook::all(&[
            json!({"metadata": {"name": "a"}, "webhooks": [{"name": "a.sidecar-injector.istio.io",
            "namespaceSelector": {"matchLabels": {NEVER: "never-match"}}}]}),
        ]);
        assert_eq!(silent[0].decide(&Labels::new(), &Labels::new()).1, "Automatic injection is deactivated");
    }
}
