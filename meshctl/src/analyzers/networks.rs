//! Networks of several clusters, and the version of the Gateway API.
//!
//! In: the mesh's ConfigMap, Secrets of other clusters, CRDs. Out: findings IST0126 and 0176.

use std::collections::BTreeSet;

use api::core::{ConfigMap, Secret};
use api::{Code, Findings};
use serde_json::Value;

use super::scene::{Scene, note_of, note_other};

/// The name of the cluster that a control plane runs in, where nobody says another.
const OWN_CLUSTER: &str = "Kubernetes";
/// Label of the Secrets that lead to other clusters; each of their keys is a cluster.
const REMOTE: &str = "istio/multiCluster";
const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
const BUNDLE: &str = "gateway.networking.k8s.io/bundle-version";
/// The first version with all kinds that are read, in their v1 form.
const MINIMUM: (u64, u64) = (1, 5);

/// IST0126.
pub(super) fn registries(scene: &Scene, out: &mut Findings) {
    let Some(map) = scene.get::<ConfigMap>(&scene.system, "istio") else { return };
    let Some(text) = map.spec.data.get("meshNetworks") else { return };
    let Ok(networks) = serde_saphyr::from_str::<Value>(text) else { return };
    let mut known: BTreeSet<&str> = BTreeSet::from([OWN_CLUSTER]);
    for secret in scene.all::<Secret>().filter(|one| one.meta.label(REMOTE) == Some("true")) {
        known.extend(secret.spec.data.keys().chain(secret.spec.string_data.keys()).map(String::as_str));
    }
    let mesh = map
        .spec
        .data
        .get("mesh")
        .and_then(|text| serde_saphyr::from_str::<Value>(text).ok())
        .unwrap_or_default();
    known.extend(mesh["defaultConfig"]["proxyMetadata"]["ISTIO_META_CLUSTER_ID"].as_str());
    for (network, settings) in networks["networks"].as_object().into_iter().flatten() {
        for endpoints in settings["endpoints"].as_array().into_iter().flatten() {
            let Some(registry) = endpoints["fromRegistry"].as_str().filter(|name| !known.contains(name))
            else {
                continue;
            };
            let text = format!(
                "network {network} is said to be that of cluster {registry}, which nobody knows; there are {}",
                known.iter().copied().collect::<Vec<_>>().join(", ")
            );
            note_of(out, map, "data.meshNetworks", Code::UnknownMeshNetworksServiceRegistry, text);
        }
    }
}

/// IST0176.
pub(super) fn gateway_api(scene: &Scene, out: &mut Findings) {
    for crd in scene.others("CustomResourceDefinition").filter(|crd| crd["spec"]["group"] == GATEWAY_GROUP) {
        let Some(installed) = crd["metadata"]["annotations"][BUNDLE].as_str() else { continue };
        let mut parts =
            installed.trim_start_matches('v').split('.').map(|part| part.parse::<u64>().unwrap_or_default());
        let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if version < MINIMUM {
            let text = format!(
                "it is of Gateway API {installed}, and at least v{}.{}.0 is needed; apply a newer one",
                MINIMUM.0, MINIMUM.1
            );
            note_other(out, crd, "", Code::GatewayAPICRDVersionBelowMinimum, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    #[test]
    fn unknown_clusters() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                   data: {meshNetworks: 'networks: {a: {endpoints: [{fromRegistry: Kubernetes}, {fromRegistry: far}]}}'}\n";
        assert_eq!(found(map, registries), ["IST0126 data.meshNetworks"]);
        let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: istio-system, labels: {istio/multiCluster: 'true'}}\nstringData: {far: x}\n";
        assert!(found(&format!("{map}{secret}"), registries).is_empty());
    }

    #[test]
    fn old_gateway_api() {
        let crd = |version: &str| {
            format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: gateways.gateway.networking.k8s.io, \
                 annotations: {{gateway.networking.k8s.io/bundle-version: {version}}}}}\nspec: {{group: gateway.networking.k8s.io}}\n"
            )
        };
        assert_eq!(found(&crd("v1.0.0"), gateway_api), ["IST0176"]);
        assert!(found(&crd("v1.6.3"), gateway_api).is_empty());
    }
}
