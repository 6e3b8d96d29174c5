//! The mesh's webhooks: where they lead, and whether two of them would answer for the same pod.
//!
//! In: MutatingWebhookConfigurations and ValidatingWebhookConfigurations of the mesh, Services. Out: findings IST0139,
//! 0163 and 0164. Webhooks of others are none of our business.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::core::Service;
use api::meta::LabelSelector;
use api::{Code, Findings};
use serde_json::Value;

use super::scene::{Scene, note_other};

type Labels = BTreeMap<String, String>;

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

/// Each webhook of the mesh with its object and its place in it.
fn ours(scene: &Scene) -> impl Iterator<Item = (&Value, usize, &Value)> {
    scene.others(MUTATING).chain(scene.others(VALIDATING)).flat_map(|object| {
        let list = object["webhooks"].as_array().into_iter().flatten().enumerate();
        list.filter(|(_, one)| one["name"].as_str().is_some_and(|name| name.ends_with(".istio.io")))
            .map(move |(index, one)| (object, index, one))
    })
}

/// IST0139.
pub(super) fn services(scene: &Scene, out: &mut Findings) {
    // A scene of webhooks alone does not say which Services there are.
    let some = scene.all::<Service>().next().is_some();
    for (object, index, webhook) in ours(scene).filter(|_| some) {
        let service = &webhook["clientConfig"]["service"];
        let (Some(namespace), Some(name)) = (service["namespace"].as_str(), service["name"].as_str()) else {
            continue;
        };
        if scene.get::<Service>(namespace, name).is_none() {
            let text = format!(
                "{} asks Service {namespace}/{name}, which is not there: {}; delete the webhook, or install its control plane again",
                webhook["name"].as_str().unwrap_or_default(),
                if webhook["failurePolicy"] == "Ignore" {
                    "it is left out"
                } else {
                    "what it is asked about is refused"
                }
            );
            note_other(out, object, &format!("webhooks[{index}].clientConfig"), Code::InvalidWebhook, text);
        }
    }
    overlaps(scene, out);
}

/// An injection webhook.
struct Injector<'a> {
    object: &'a Value,
    index: usize,
    name: &'a str,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

fn overlaps(scene: &Scene, out: &mut Findings) {
    let selector = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
    let injectors: Vec<Injector<'_>> = ours(scene)
        .filter(|(object, ..)| object["kind"] == MUTATING)
        .map(|(object, index, one)| Injector {
            object,
            index,
            name: one["name"].as_str().unwrap_or_default(),
            namespaces: selector(&one["namespaceSelector"]),
            objects: selector(&one["objectSelector"]),
        })
        .collect();
    let samples = samples(&injectors);
    let both = |a: &Injector<'_>, b: &Injector<'_>| {
        samples.iter().any(|(namespace, pod)| {
            let asks = |one: &Injector<'_>| one.namespaces.matches(namespace) && one.objects.matches(pod);
            asks(a) && asks(b)
        })
    };
    for (at, later) in injectors.iter().enumerate() {
        if let Some(earlier) = injectors[..at].iter().find(|earlier| both(earlier, later)) {
            let name = |one: &Injector<'_>| {
                format!("{} of {}", one.name, one.object["metadata"]["name"].as_str().unwrap_or_default())
            };
            let text = format!(
                "{} selects pods that {} selects, too: they would get two proxies",
                name(later),
                name(earlier)
            );
            let path = format!("webhooks[{}]", later.index);
            note_other(out, later.object, &path, Code::InvalidWebhook, text);
        }
    }
}

/// Labels of namespaces and pods in every combination that selectors of injectors tell apart.
fn samples(injectors: &[Injector<'_>]) -> Vec<(Labels, Labels)> {
    let mut revisions: Vec<&str> = vec!["default"];
    for one in injectors {
        let conditions = one.namespaces.match_expressions.iter().chain(&one.objects.match_expressions);
        let named = conditions.filter(|one| one.key == "istio.io/rev").flat_map(|one| &one.values);
        revisions.extend(named.map(String::as_str));
    }
    let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    let by_revision = || revisions.iter().map(|name| label("istio.io/rev", name));
    let on_off =
        |key: &'static str, words: [&'static str; 2]| words.into_iter().map(move |word| label(key, word));
    let namespaces: Vec<Labels> = std::iter::once(Labels::new())
        .chain(on_off("istio-injection", ["enabled", "disabled"]))
        .chain(by_revision())
        .collect();
    let pods: Vec<Labels> = std::iter::once(Labels::new())
        .chain(on_off("sidecar.istio.io/inject", ["true", "false"]))
        .chain(by_revision())
        .collect();
    namespaces
        .iter()
        .flat_map(|namespace| pods.iter().map(move |pod| (namespace.clone(), pod.clone())))
        .collect()
}

/// IST0163 and 0164: a control plane outside the cluster.
pub(super) fn outside(scene: &Scene, out: &mut Findings) {
    for (object, index, webhook) in ours(scene) {
        let Some(url) = webhook["clientConfig"]["url"].as_str() else { continue };
        let path = format!("webhooks[{index}].clientConfig.url");
        let host =
            url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default();
        let bare = host.trim_matches(['[', ']']);
        let code = Code::InvalidExternalControlPlaneConfig;
        if url.is_empty() || host.is_empty() {
            note_other(
                out,
                object,
                &path,
                code,
                format!("{url:?} names no host: the API server can ask nobody"),
            );
        } else if !url.starts_with("https://") {
            note_other(out, object, &path, code, format!("{url:?} is not https: API servers refuse it"));
        } else if bare.parse::<IpAddr>().is_ok() {
            let text = format!(
                "{host} is an address: a certificate for a name is easier to move than one for an address"
            );
            note_other(out, object, &path, Code::ExternalControlPlaneAddressIsNotAHostname, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    const SERVICE: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: istiod, namespace: istio-system}\nspec: {ports: [{port: 443}]}\n";

    fn webhook(name: &str, config: &str, label: &str) -> String {
        format!(
            "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {{name: {name}}}\n\
             webhooks: [{{name: namespace.sidecar-injector.istio.io, clientConfig: {{{config}}}, \
             namespaceSelector: {{matchLabels: {{{label}}}}}}}]\n"
        )
    }

    #[test]
    fn somebody_is_asked() {
        let at = |name: &str| {
            webhook(
                "a",
                &format!("service: {{name: {name}, namespace: istio-system}}"),
                "istio-injection: enabled",
            )
        };
        assert!(found(&format!("{SERVICE}{}", at("istiod")), services).is_empty());
        assert_eq!(
            found(&format!("{SERVICE}{}", at("gone")), services),
            ["IST0139 webhooks[0].clientConfig"]
        );
    }

    #[test]
    fn nobody_twice() {
        let two = |label: &str| {
            format!("{}{}", webhook("a", "", "istio-injection: enabled"), webhook("b", "", label))
        };
        assert_eq!(found(&two("istio-injection: enabled"), services), ["IST0139 webhooks[0]"]);
        assert!(found(&two("istio.io/rev: canary"), services).is_empty());
    }

    #[test]
    fn outside_addresses() {
        let at = |url: &str| found(&webhook("a", &format!("url: '{url}'"), "a: b"), outside);
        assert!(at("https://istiod.example:15017/inject").is_empty());
        assert_eq!(at("https://10.0.0.1:15017/inject"), ["IST0164 webhooks[0].clientConfig.url"]);
        assert_eq!(at("inject"), ["IST0163 webhooks[0].clientConfig.url"]);
        assert_eq!(at("http://istiod.example/inject"), ["IST0163 webhooks[0].clientConfig.url"]);
    }
}
