//! What is watched: kinds that pilot reads, each once, and of each only the part that can matter.
//!
//! In: where the mesh's settings are. Out: one `Plan` per kind; `watch` opens one watch for each. Kinds of the Gateway API are
//! not read by pilot yet and therefore not watched.

use std::borrow::Cow;

use api::Kind;
use api::kind::Family;

/// One kind to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Only this namespace; all of them where absent.
    pub(super) namespace: Option<String>,
    /// Field selector, in the API server's words; empty for all objects.
    pub(super) fields: Cow<'static, str>,
}

/// Secrets that cannot hold a gateway's credential, by their type: Helm's releases and tokens are large and many.
const CREDENTIALS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
                           type!=kubernetes.io/dockercfg,type!=kubernetes.io/dockerconfigjson,\
                           type!=bootstrap.kubernetes.io/token";

/// Everything that pilot reads. The mesh's settings are in one ConfigMap.
pub(super) fn plans(namespace: &str, config_map: &str) -> Vec<Plan> {
    let everywhere = |kind, fields: &'static str| Plan { kind, namespace: None, fields: fields.into() };
    let mut plans = vec![
        everywhere(Kind::Namespace, ""),
        everywhere(Kind::Node, ""),
        everywhere(Kind::Service, ""),
        everywhere(Kind::EndpointSlice, ""),
        everywhere(Kind::Pod, "status.phase!=Succeeded,status.phase!=Failed"),
        everywhere(Kind::Secret, CREDENTIALS),
        Plan {
            kind: Kind::ConfigMap,
            namespace: Some(namespace.to_owned()),
            fields: format!("metadata.name={config_map}").into(),
        },
    ];
    plans.extend(
        Kind::ALL.iter().filter(|kind| kind.row().family == Family::Mesh).map(|kind| everywhere(*kind, "")),
    );
    plans
}

impl Plan {
    /// Whether the kind comes with every API server; others come with a CustomResourceDefinition.
    pub(super) fn is_built_in(&self) -> bool {
        self.kind.row().family == Family::Core
    }

    /// Name of the CustomResourceDefinition.
    pub(super) fn definition(&self) -> String {
        format!("{}.{}", self.kind.row().plural, self.kind.row().group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_watched_once() {
        let plans = plans("istio-system", "istio");
        let mut kinds: Vec<Kind> = plans.iter().map(|plan| plan.kind).collect();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), plans.len());
        assert!(kinds.contains(&Kind::VirtualService) && kinds.contains(&Kind::WasmPlugin));
        let of = |kind| plans.iter().find(|plan| plan.kind == kind).unwrap();
        assert_eq!(of(Kind::VirtualService).definition(), "virtualservices.networking.istio.io");
        assert!(!of(Kind::VirtualService).is_built_in() && of(Kind::Pod).is_built_in());
    }
}
