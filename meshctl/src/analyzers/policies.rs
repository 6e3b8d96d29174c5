//! Policies that apply to nothing, and objects whose status says no.
//!
//! In: policies, pods, namespaces, status. Out: findings IST0101, 0127, 0157, 0166 and 0171.

use std::collections::BTreeMap;

use api::core::{ConfigMap, Namespace};
use api::gateway::Gateway as KubeGateway;
use api::kind::Family;
use api::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use api::selector::{TargetRef, WorkloadSelector};
use api::telemetry::Telemetry;
use api::{AnyObject, Code, Findings, Spec};
use serde_json::Value;

use super::scene::{Scene, note, note_of};

/// A label that the pods of a Gateway of the Gateway API have.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Conditions for which False is the good news.
const GOOD_WHEN_FALSE: [&str; 5] =
    ["Conflicted", "PartiallyInvalid", "OverlappingTLSConfig", "Stalled", "istio.io/WaypointMissing"];

/// What a policy is about.
struct About<'a> {
    object: &'a AnyObject,
    selector: Option<&'a WorkloadSelector>,
    targets: Vec<&'a TargetRef>,
}

fn policies(scene: &Scene) -> Vec<About<'_>> {
    fn targets<'a>(one: &'a Option<TargetRef>, list: &'a [TargetRef]) -> Vec<&'a TargetRef> {
        one.iter().chain(list).collect()
    }
    let mut all = Vec::new();
    for object in scene.objects() {
        let (selector, targets) = if let Some(one) = AuthorizationPolicy::of(object) {
            (&one.spec.selector, targets(&one.spec.target_ref, &one.spec.target_refs))
        } else if let Some(one) = RequestAuthentication::of(object) {
            (&one.spec.selector, targets(&one.spec.target_ref, &one.spec.target_refs))
        } else if let Some(one) = Telemetry::of(object) {
            (&one.spec.selector, targets(&one.spec.target_ref, &one.spec.target_refs))
        } else if let Some(one) = PeerAuthentication::of(object) {
            (&one.spec.selector, Vec::new())
        } else {
            continue;
        };
        all.push(About { object, selector: selector.as_ref(), targets });
    }
    all
}

/// IST0127, and IST0101 for namespaces that sources name.
pub(super) fn selectors(scene: &Scene, out: &mut Findings) {
    let pods = scene.has_pods();
    for policy in policies(scene).iter().filter(|_| pods) {
        let Some(selector) = policy.selector.filter(|one| !one.match_labels.is_empty()) else { continue };
        let namespace = policy.object.meta().namespace.as_str();
        let within = Some(namespace).filter(|name| *name != scene.system);
        if !scene.selected(within, &selector.match_labels) {
            let labels: Vec<String> =
                selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let text = format!("no pod has the labels {}: the policy applies to nothing", labels.join(", "));
            note(out, policy.object, "spec.selector", Code::NoMatchingWorkloadsFound, text);
        }
    }
    let known: Vec<&str> = scene.all::<Namespace>().map(|one| one.meta.name.as_str()).collect();
    // Files alone do not say which namespaces there are.
    if known.is_empty() {
        return;
    }
    for policy in scene.all::<AuthorizationPolicy>() {
        for (rule, one) in policy.spec.rules.iter().enumerate() {
            for (from, source) in one.from.iter().enumerate() {
                let named = source
                    .source
                    .iter()
                    .flat_map(|source| source.namespaces.iter().chain(&source.not_namespaces));
                for name in named.filter(|name| !name.contains('*') && !known.contains(&name.as_str())) {
                    let text = format!("there is no namespace {name}");
                    let path = format!("spec.rules[{rule}].from[{from}].source");
                    note_of(out, policy, &path, Code::ReferencedResourceNotFound, text);
                }
            }
        }
    }
}

/// IST0166: pods of a Gateway of the Gateway API, chosen by labels.
pub(super) fn kube_gateways(scene: &Scene, out: &mut Findings) {
    for policy in policies(scene).iter().filter(|policy| policy.targets.is_empty()) {
        let Some(selector) = policy.selector.filter(|one| !one.match_labels.is_empty()) else { continue };
        let namespace = &policy.object.meta().namespace;
        let meant = scene.all::<KubeGateway>().filter(|gateway| gateway.meta.namespace == *namespace).find(
            |gateway| {
                let labels = BTreeMap::from([(GATEWAY_NAME.to_owned(), gateway.meta.name.clone())]);
                api::meta::labels_match(&selector.match_labels, &labels)
            },
        );
        if let Some(gateway) = meant {
            let name = &gateway.meta.name;
            let text = format!(
                "these labels are those of the pods of Gateway {name}, which may not have them tomorrow; name it in spec.targetRefs"
            );
            note(out, policy.object, "spec.selector", Code::IneffectiveSelector, text);
        }
    }
}

/// IST0157: neither the object nor the mesh names a provider.
pub(super) fn telemetries(scene: &Scene, out: &mut Findings) {
    let defaults = default_providers(scene);
    let has = |part: &str| {
        defaults.as_ref().is_some_and(|all| all[part].as_array().is_some_and(|list| !list.is_empty()))
    };
    for telemetry in scene.all::<Telemetry>() {
        let spec = &telemetry.spec;
        let parts = [
            (
                "tracing",
                spec.tracing
                    .iter()
                    .any(|one| one.providers.is_empty() && one.disable_span_reporting != Some(true)),
            ),
            (
                "accessLogging",
                spec.access_logging.iter().any(|one| one.providers.is_empty() && one.disabled != Some(true)),
            ),
        ];
        for (part, _) in parts.iter().filter(|(part, without)| *without && !has(part)) {
            let text = format!(
                "it names no provider, and the mesh has none in defaultProviders.{part}: nothing is {}",
                if *part == "tracing" { "traced" } else { "logged" }
            );
            note_of(out, telemetry, &format!("spec.{part}"), Code::InvalidTelemetryProvider, text);
        }
    }
}

/// `defaultProviders` of the mesh config, which says nothing where it cannot be read.
fn default_providers(scene: &Scene) -> Option<Value> {
    let map = scene.get::<ConfigMap>(&scene.system, "istio")?;
    let mesh: Value = serde_saphyr::from_str(map.spec.data.get("mesh")?).ok()?;
    Some(mesh["defaultProviders"].clone())
}

/// IST0171.
pub(super) fn conditions(scene: &Scene, out: &mut Findings) {
    for object in scene.objects().iter().filter(|object| object.kind().row().family != Family::Core) {
        let value = object.to_value();
        let status = &value["status"];
        let mut lists = vec![("status", &status["conditions"])];
        for (path, list) in [("status.listeners", "listeners"), ("status.parents", "parents")] {
            lists.extend(status[list].as_array().into_iter().flatten().map(|one| (path, &one["conditions"])));
        }
        for (path, list) in lists {
            for condition in list.as_array().into_iter().flatten().filter(|one| one["status"] == "False") {
                let text = |key: &str| condition[key].as_str().unwrap_or_default();
                if !GOOD_WHEN_FALSE.contains(&text("type")) {
                    let message =
                        format!("{} is False: {} ({})", text("type"), text("message"), text("reason"));
                    note(out, object, path, Code::NegativeConditionStatus, message);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n, labels: {app: p}}\nspec: {containers: [{name: p, image: p}]}\n---\n";

    fn policy(spec: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a, namespace: n}}\nspec: {{{spec}}}\n"
        )
    }

    #[test]
    fn selectors_and_namespaces() {
        let by =
            |app: &str| format!("{POD}{}", policy(&format!("selector: {{matchLabels: {{app: {app}}}}}")));
        assert!(found(&by("p"), selectors).is_empty());
        assert_eq!(found(&by("q"), selectors), ["IST0127 spec.selector"]);
        let from = policy("rules: [{from: [{source: {namespaces: [n, gone, 'x*']}}]}]");
        assert!(found(&from, selectors).is_empty());
        let with = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: n}}\n---\n{from}");
        assert_eq!(found(&with, selectors), ["IST0101 spec.rules[0].from[0].source"]);
    }

    #[test]
    fn labels_of_a_gateway() {
        let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: n}\nspec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}]}\n---\n";
        let text = format!(
            "{gateway}{}",
            policy("selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: gw}}")
        );
        assert_eq!(found(&text, kube_gateways), ["IST0166 spec.selector"]);
    }

    #[test]
    fn providers() {
        let telemetry = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: n}\nspec: {tracing: [{randomSamplingPercentage: 1}]}\n";
        assert_eq!(found(telemetry, telemetries), ["IST0157 spec.tracing"]);
        let mesh = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'defaultProviders: {tracing: [zipkin]}'}\n";
        assert!(found(&format!("{telemetry}{mesh}"), telemetries).is_empty());
    }

    #[test]
    fn status() {
        let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: n}\nspec: {hosts: [a.example]}\n\
                    status: {conditions: [{type: Reconciled, status: 'False', reason: R, message: m}, {type: Conflicted, status: 'False'}]}\n";
        assert_eq!(found(text, conditions), ["IST0171 status"]);
    }
}
