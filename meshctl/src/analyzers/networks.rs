//! Networks of several clusters, and the version of the Gateway API.
//!
//! In: the mesh's ConfigMap, Secrets of other clusters, CRDs. Out: findings IST0126, 0156,
//! 0172 and 0176.

use std::collections::BTreeSet;

use api::core::{ConfigMap, Secret};
use api::{Code, Findings, Kind};
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

/// IST0176, 0156 and 0172.
pub(super) fn gateway_api(scene: &Scene, out: &mut Findings) {
    for crd in scene.others("CustomResourceDefinition").filter(|crd| crd["spec"]["group"] == GATEWAY_GROUP) {
        if let Some((code, text)) = served(crd) {
            note_other(out, crd, "spec.versions", code, text);
        }
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

/// IST0156 and 0172: what is wrong with the versions in which a kind of the Gateway API is served. `precheck` asks, too.
pub fn served(crd: &Value) -> Option<(Code, String)> {
    let name = crd["spec"]["names"]["kind"].as_str()?;
    if crd["spec"]["group"] != GATEWAY_GROUP {
        return None;
    }
    let kind = Kind::ALL.iter().find(|kind| kind.row().group == GATEWAY_GROUP && kind.name() == name)?;
    let versions = crd["spec"]["versions"].as_array()?.iter().filter(|one| one["served"] == true);
    let served: Vec<&str> = versions.filter_map(|one| one["name"].as_str()).collect();
    let readable = kind.row().versions;
    let (wanted, oldest) = (readable.first()?, readable.last()?);
    let list = if served.is_empty() { "no version".to_owned() } else { served.join(", ") };
    if !readable.iter().any(|version| served.contains(version)) {
        let text =
            format!("{name} is served as {list}, and {oldest} or newer is needed: apply a newer Gateway API");
        return Some((Code::UnsupportedGatewayAPIVersion, text));
    }
    (!served.contains(wanted)).then(|| {
        let text = format!(
            "{name} is served as {list}, and a later version will need {wanted}: apply a newer Gateway API"
        );
        (Code::FutureUnsupportedGatewayAPIVersion, text)
    })
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

    #[test]
    fn versions_that_are_served() {
        let crd = |kind: &str, versions: &str| {
            format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: x}}\n\
                 spec: {{group: gateway.networking.k8s.io, names: {{kind: {kind}}}, versions: [{versions}]}}\n"
            )
        };
        let found = |kind: &str, versions: &str| found(&crd(kind, versions), gateway_api);
        let (alpha, beta) = ("{name: v1alpha2, served: true}", "{name: v1beta1, served: true}");
        assert_eq!(found("HTTPRoute", alpha), ["IST0156 spec.versions"]);
        assert_eq!(
            found("HTTPRoute", &format!("{beta}, {{name: v1, served: false}}")),
            ["IST0172 spec.versions"]
        );
        assert!(found("HTTPRoute", &format!("{beta}, {{name: v1, served: true}}")).is_empty());
        assert!(found("TCPRoute", alpha) == ["IST0172 spec.versions"] && found("Unheard", alpha).is_empty());
    }
}
