//! The closed list of kinds, one row each; everything that must know all kinds is made from this list.
//!
//! `Kind` names a row. Group, versions, plural, short names and scope are what `kubectl` and the CRDs use; the
//! family says how strictly a text of that kind is read.

use std::fmt;

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// Whose kind it is, which says how its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `*.istio.io`: strict, protobuf's JSON form.
    Mesh,
    /// Gateway API: strict.
    Gateway,
    /// Kubernetes' own: fields that are not modelled are accepted.
    Core,
}

/// Where a kind keeps its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Under `spec`.
    Spec,
    /// Beside `metadata`.
    Flat,
}

/// What there is to know about a kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: Kind,
    pub group: &'static str,
    /// Served versions, the preferred one first.
    pub versions: &'static [&'static str],
    pub name: &'static str,
    pub plural: &'static str,
    pub short: &'static [&'static str],
    pub scope: Scope,
    pub family: Family,
    pub shape: Shape,
}

/// Calls a macro with every row: variant, type, group, versions, kind, plural, short names, scope, family, shape.
macro_rules! for_each_kind {
    ($callback:ident) => {
        $callback! {
            VirtualService networking::VirtualService, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "VirtualService" "virtualservices" ["vs"] Namespaced Mesh Spec;
            DestinationRule networking::DestinationRule, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "DestinationRule" "destinationrules" ["dr"] Namespaced Mesh Spec;
            Gateway networking::Gateway, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "Gateway" "gateways" ["gw"] Namespaced Mesh Spec;
            ServiceEntry networking::ServiceEntry, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "ServiceEntry" "serviceentries" ["se"] Namespaced Mesh Spec;
            Sidecar networking::Sidecar, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "Sidecar" "sidecars" [] Namespaced Mesh Spec;
            WorkloadEntry networking::WorkloadEntry, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "WorkloadEntry" "workloadentries" ["we"] Namespaced Mesh Spec;
            WorkloadGroup networking::WorkloadGroup, "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "WorkloadGroup" "workloadgroups" ["wg"] Namespaced Mesh Spec;
            EnvoyFilter networking::EnvoyFilter, "networking.istio.io" ["v1alpha3"] "EnvoyFilter" "envoyfilters" [] Namespaced Mesh Spec;
            ProxyConfig networking::ProxyConfig, "networking.istio.io" ["v1beta1"] "ProxyConfig" "proxyconfigs" [] Namespaced Mesh Spec;
            PeerAuthentication security::PeerAuthentication, "security.istio.io" ["v1", "v1beta1"] "PeerAuthentication" "peerauthentications" ["pa"] Namespaced Mesh Spec;
            AuthorizationPolicy security::AuthorizationPolicy, "security.istio.io" ["v1", "v1beta1"] "AuthorizationPolicy" "authorizationpolicies" ["ap"] Namespaced Mesh Spec;
            RequestAuthentication security::RequestAuthentication, "security.istio.io" ["v1", "v1beta1"] "RequestAuthentication" "requestauthentications" ["ra"] Namespaced Mesh Spec;
            Telemetry telemetry::Telemetry, "telemetry.istio.io" ["v1", "v1alpha1"] "Telemetry" "telemetries" ["telemetry"] Namespaced Mesh Spec;
            WasmPlugin extensions::WasmPlugin, "extensions.istio.io" ["v1alpha1"] "WasmPlugin" "wasmplugins" [] Namespaced Mesh Spec;
            TrafficExtension extensions::TrafficExtension, "extensions.istio.io" ["v1alpha1"] "TrafficExtension" "trafficextensions" [] Namespaced Mesh Spec;
            KubeGateway gateway::Gateway, "gateway.networking.k8s.io" ["v1", "v1beta1"] "Gateway" "gateways" ["gtw"] Namespaced Gateway Spec;
            GatewayClass gateway::GatewayClass, "gateway.networking.k8s.io" ["v1", "v1beta1"] "GatewayClass" "gatewayclasses" ["gc"] Cluster Gateway Spec;
            HttpRoute gateway::HttpRoute, "gateway.networking.k8s.io" ["v1", "v1beta1"] "HTTPRoute" "httproutes" [] Namespaced Gateway Spec;
            GrpcRoute gateway::GrpcRoute, "gateway.networking.k8s.io" ["v1"] "GRPCRoute" "grpcroutes" [] Namespaced Gateway Spec;
            TcpRoute gateway::TcpRoute, "gateway.networking.k8s.io" ["v1", "v1alpha2"] "TCPRoute" "tcproutes" [] Namespaced Gateway Spec;
            TlsRoute gateway::TlsRoute, "gateway.networking.k8s.io" ["v1", "v1alpha3", "v1alpha2"] "TLSRoute" "tlsroutes" [] Namespaced Gateway Spec;
            UdpRoute gateway::UdpRoute, "gateway.networking.k8s.io" ["v1", "v1alpha2"] "UDPRoute" "udproutes" [] Namespaced Gateway Spec;
            ReferenceGrant gateway::ReferenceGrant, "gateway.networking.k8s.io" ["v1", "v1beta1"] "ReferenceGrant" "referencegrants" ["refgrant"] Namespaced Gateway Spec;
            BackendTlsPolicy gateway::BackendTlsPolicy, "gateway.networking.k8s.io" ["v1", "v1alpha3"] "BackendTLSPolicy" "backendtlspolicies" ["btlspolicy"] Namespaced Gateway Spec;
            ListenerSet gateway::ListenerSet, "gateway.networking.k8s.io" ["v1"] "ListenerSet" "listenersets" ["lset"] Namespaced Gateway Spec;
            XListenerSet gateway::XListenerSet, "gateway.networking.x-k8s.io" ["v1alpha1"] "XListenerSet" "xlistenersets" ["xlset"] Namespaced Gateway Spec;
            XBackendTrafficPolicy gateway::XBackendTrafficPolicy, "gateway.networking.x-k8s.io" ["v1alpha1"] "XBackendTrafficPolicy" "xbackendtrafficpolicies" ["xbtrafficpolicy"] Namespaced Gateway Spec;
            XBackend gateway::XBackend, "gateway.networking.x-k8s.io" ["v1alpha1"] "XBackend" "xbackends" ["xbackend"] Namespaced Gateway Spec;
            XMesh gateway::XMesh, "gateway.networking.x-k8s.io" ["v1alpha1"] "XMesh" "xmeshes" ["mesh"] Cluster Gateway Spec;
            Service core::Service, "" ["v1"] "Service" "services" ["svc"] Namespaced Core Spec;
            Endpoints core::Endpoints, "" ["v1"] "Endpoints" "endpoints" ["ep"] Namespaced Core Flat;
            EndpointSlice core::EndpointSlice, "discovery.k8s.io" ["v1"] "EndpointSlice" "endpointslices" [] Namespaced Core Flat;
            Pod core::Pod, "" ["v1"] "Pod" "pods" ["po"] Namespaced Core Spec;
            Deployment core::Deployment, "apps" ["v1"] "Deployment" "deployments" ["deploy"] Namespaced Core Spec;
            ReplicaSet core::ReplicaSet, "apps" ["v1"] "ReplicaSet" "replicasets" ["rs"] Namespaced Core Spec;
            StatefulSet core::StatefulSet, "apps" ["v1"] "StatefulSet" "statefulsets" ["sts"] Namespaced Core Spec;
            DaemonSet core::DaemonSet, "apps" ["v1"] "DaemonSet" "daemonsets" ["ds"] Namespaced Core Spec;
            Job core::Job, "batch" ["v1"] "Job" "jobs" [] Namespaced Core Spec;
            CronJob core::CronJob, "batch" ["v1"] "CronJob" "cronjobs" ["cj"] Namespaced Core Spec;
            ServiceAccount core::ServiceAccount, "" ["v1"] "ServiceAccount" "serviceaccounts" ["sa"] Namespaced Core Flat;
            ConfigMap core::ConfigMap, "" ["v1"] "ConfigMap" "configmaps" ["cm"] Namespaced Core Flat;
            Secret core::Secret, "" ["v1"] "Secret" "secrets" [] Namespaced Core Flat;
            Namespace core::Namespace, "" ["v1"] "Namespace" "namespaces" ["ns"] Cluster Core Spec;
            Node core::Node, "" ["v1"] "Node" "nodes" ["no"] Cluster Core Spec;
            Ingress core::Ingress, "networking.k8s.io" ["v1"] "Ingress" "ingresses" ["ing"] Namespaced Core Spec;
            IngressClass core::IngressClass, "networking.k8s.io" ["v1"] "IngressClass" "ingressclasses" [] Cluster Core Spec;
        }
    };
}
pub(crate) use for_each_kind;

macro_rules! kinds {
    ($( $variant:ident $module:ident :: $type:ident, $group:literal [$($version:literal),*] $name:literal $plural:literal
        [$($short:literal),*] $scope:ident $family:ident $shape:ident; )*) => {
        /// A kind that is known here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $( #[doc = concat!("`", $name, "` of `", $group, "`.")] $variant, )*
            /// Anything else; kept as it was written.
            Unknown,
        }

        impl Kind {
            /// Every known kind, in the order of the list.
            pub const ALL: &[Kind] = &[$( Kind::$variant ),*];
        }

        static ROWS: &[Row] = &[
            $( Row {
                kind: Kind::$variant,
                group: $group,
                versions: &[$($version),*],
                name: $name,
                plural: $plural,
                short: &[$($short),*],
                scope: Scope::$scope,
                family: Family::$family,
                shape: Shape::$shape,
            }, )*
            Row {
                kind: Kind::Unknown,
                group: "",
                versions: &[],
                name: "Unknown",
                plural: "unknown",
                short: &[],
                scope: Scope::Namespaced,
                family: Family::Core,
                shape: Shape::Flat,
            },
        ];
    };
}

for_each_kind!(kinds);

impl Kind {
    /// The row of this kind.
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The word after `kind:`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn group(self) -> &'static str {
        self.row().group
    }

    /// What stands after `apiVersion:` for the preferred version.
    pub fn api_version(self) -> String {
        let row = self.row();
        let version = row.versions.first().copied().unwrap_or_default();
        if row.group.is_empty() { version.to_owned() } else { format!("{}/{version}", row.group) }
    }

    pub fn is_namespaced(self) -> bool {
        self.row().scope == Scope::Namespaced
    }

    /// The kind of a group; the version does not matter.
    pub fn find(group: &str, name: &str) -> Option<Kind> {
        ROWS.iter()
            .find(|row| row.group == group && row.name == name && !row.versions.is_empty())
            .map(|row| row.kind)
    }

    /// What a user calls it: kind, plural, singular or short name, with or without group (`gateways.networking.istio.io`),
    /// in any case. Where two groups share a name, the mesh's own comes first.
    pub fn from_word(word: &str) -> Option<Kind> {
        let word = word.to_lowercase();
        let (name, group) =
            word.split_once('.').map_or((word.as_str(), None), |(name, group)| (name, Some(group)));
        ROWS.iter()
            .filter(|row| {
                !row.versions.is_empty() && group.is_none_or(|g| g == row.group || row.group.ends_with(g))
            })
            .find(|row| row.plural == name || row.name.to_lowercase() == name || row.short.contains(&name))
            .map(|row| row.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_enum() {
        for kind in Kind::ALL {
            assert_eq!(kind.row().kind, *kind);
        }
        assert_eq!(Kind::Unknown.row().kind, Kind::Unknown);
    }

    #[test]
    fn found_by_what_people_say() {
        for (word, kind) in [
            ("vs", Kind::VirtualService),
            ("virtualservice", Kind::VirtualService),
            ("VirtualServices", Kind::VirtualService),
            ("gw", Kind::Gateway),
            ("gateways.networking.istio.io", Kind::Gateway),
            ("gateways.gateway.networking.k8s.io", Kind::KubeGateway),
            ("gtw", Kind::KubeGateway),
            ("svc", Kind::Service),
            ("deploy", Kind::Deployment),
        ] {
            assert_eq!(Kind::from_word(word), Some(kind), "{word}");
        }
        assert_eq!(Kind::from_word("unknown"), None);
        assert_eq!(Kind::find("networking.istio.io", "Gateway"), Some(Kind::Gateway));
        assert_eq!(Kind::find("", "Gateway"), None);
    }
}
