//! What is watched: kinds that pilot reads, each once, and of each only the part that can matter.
//!
//! In: the root namespace. Out: one `Plan` per kind; `watch` opens one watch for each. Kinds of the Gateway API are
//! not read by pilot yet and therefore not watched.

use api::Kind;
use api::kind::Family;

/// One kind to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Only this namespace; all of them where absent.
    pub(super) namespace: Option<String>,
    /// Field selector, in the API server's words; empty for all objects.
    pub(super) fields: &'static str,
}

/// Secrets that cannot hold a gateway's credential, by their type: Helm's releases and tokens are large and many.
const CREDENTIALS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,\
                           type!=kubernetes.io/dockercfg,type!=kubernetes.io/dockerconfigjson,\
                           type!=bootstrap.kubernetes.io/token";

/// Everything that pilot reads.
pub(super) fn plans(root_namespace: &str) -> Vec<Plan> {
    let everywhere = |kind, fields| Plan { kind, namespace: None, fields };
    let mut plans = vec![
        everywhere(Kind::Namespace, ""),
        everywhere(Kind::Node, ""),
        everywhere(Kind::Service, ""),
        everywhere(Kind::EndpointSlice, ""),
        everywhere(Kind::Pod, "status.phase!=Succeeded,status.phase!=Failed"),
        everywhere(Kind::Secret, CREDENTIALS),
        // The mesh's settings.
        Plan {
            kind: Kind::ConfigMap,
            namespace: Some(root_namespace.to_owned()),
            fields: "metadata.name=istio",
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
        let plans = plans("istio-system");
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
