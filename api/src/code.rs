//! The closed list of finding codes, one row each: stable identifier, usual severity, one-line meaning.
//!
//! `ISTnnnn` are the analyzer codes that users of Istio know; `MESHnnnn` are ours. A code never changes its
//! meaning and is never reused. `docs` prints this list.

use std::fmt;

use crate::finding::Severity;

macro_rules! codes {
    ($( $name:ident $id:literal $severity:ident $meaning:literal )*) => {
        /// Stable identifier of a kind of mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $( #[doc = $meaning] $name, )*
        }

        impl Code {
            /// Every code there is, in the order of the list.
            pub const ALL: &[Code] = &[$( Code::$name ),*];

            /// The identifier as printed: `MESH0005`, `IST0101`.
            pub fn id(self) -> &'static str {
                match self { $( Code::$name => $id ),* }
            }

            /// The severity that a finding with this code usually has.
            pub fn severity(self) -> Severity {
                match self { $( Code::$name => Severity::$severity ),* }
            }

            /// One line that says what the code is about.
            pub fn meaning(self) -> &'static str {
                match self { $( Code::$name => $meaning ),* }
            }

            /// The name as listed, which for `ISTnnnn` is the analyzer message's name.
            pub fn name(self) -> &'static str {
                match self { $( Code::$name => stringify!($name) ),* }
            }
        }
    };
}

codes! {
    Syntax "MESH0001" Error "the text is not YAML or JSON"
    NotAnObject "MESH0002" Error "a document is not a Kubernetes object: no apiVersion, kind or name"
    UnknownKind "MESH0003" Warning "a kind that nothing here reads"
    UnknownVersion "MESH0004" Error "a known kind in a version that is not served"
    UnknownField "MESH0005" Error "a field that the kind does not have"
    WrongType "MESH0006" Error "a value of the wrong type, or not one of the allowed words"
    DuplicateField "MESH0007" Error "the same key twice in one mapping"
    DuplicateObject "MESH0008" Error "the same kind, namespace and name twice"
    BadName "MESH0010" Error "a name or namespace that Kubernetes would refuse"
    BadLabel "MESH0011" Error "a label key or value that Kubernetes would refuse"
    Required "MESH0101" Error "a field that must be set is missing or empty"
    OutOfRange "MESH0102" Error "a number outside its range"
    BadHost "MESH0103" Error "not a host name, or a wildcard where none may be"
    BadRegex "MESH0104" Error "a regular expression that does not compile"
    BadDuration "MESH0105" Error "a duration that is negative or too short"
    Exclusive "MESH0106" Error "fields that exclude each other are set together"
    BadPort "MESH0107" Error "not a port number, or a port used twice"
    Duplicate "MESH0108" Error "an entry of a list that must be unique appears twice"
    BadAddress "MESH0109" Error "not an IP address, network range or socket path"
    BadValue "MESH0110" Error "a value that has no meaning here"
    NoEffect "MESH0111" Warning "a field that is set but has no effect as written"
    BadWeight "MESH0112" Error "weights that cannot be used"
    BadReference "MESH0113" Error "a reference to another object that is not well formed"
    BadHeader "MESH0114" Error "a header name or value that may not be set"
    NotHonoured "MESH0201" Warning "accepted but not honoured yet"

    InternalError "IST0001" Error "bug in analyzer"
    Deprecated "IST0002" Warning "deprecated feature"
    ReferencedResourceNotFound "IST0101" Error "missing gateway, host, subset, secret, provider"
    NamespaceNotInjected "IST0102" Info "namespace without injection label"
    PodMissingProxy "IST0103" Warning "pod has no proxy"
    SchemaValidationError "IST0106" Error "schema error"
    MisplacedAnnotation "IST0107" Warning "annotation on wrong kind"
    UnknownAnnotation "IST0108" Warning "unknown istio annotation"
    ConflictingMeshGatewayVirtualServiceHosts "IST0109" Error "two mesh VirtualServices same host"
    ConflictingSidecarWorkloadSelectors "IST0110" Error "Sidecars overlap on pod"
    MultipleSidecarsWithoutWorkloadSelectors "IST0111" Error "several namespace Sidecars"
    VirtualServiceDestinationPortSelectorRequired "IST0112" Error "destination port needed"
    DeploymentAssociatedToMultipleServices "IST0116" Warning "pod in services with different protocols"
    PortNameIsNotUnderNamingConvention "IST0118" Info "port name not by convention"
    NamespaceMultipleInjectionLabels "IST0123" Warning "both injection labels"
    InvalidAnnotation "IST0125" Warning "bad annotation value"
    UnknownMeshNetworksServiceRegistry "IST0126" Error "unknown registry in meshNetworks"
    NoMatchingWorkloadsFound "IST0127" Warning "selector matches nothing"
    NoServerCertificateVerificationDestinationLevel "IST0128" Warning "TLS without CA (host)"
    NoServerCertificateVerificationPortLevel "IST0129" Warning "TLS without CA (port)"
    VirtualServiceUnreachableRule "IST0130" Warning "rule never reached"
    VirtualServiceIneffectiveMatch "IST0131" Info "match duplicates earlier"
    VirtualServiceHostNotFoundInGateway "IST0132" Warning "VS host not in Gateway"
    SchemaWarning "IST0133" Warning "schema warning"
    ServiceEntryAddressesRequired "IST0134" Warning "TCP ServiceEntry without addresses"
    DeprecatedAnnotation "IST0135" Info "deprecated annotation"
    AlphaAnnotation "IST0136" Info "alpha annotation"
    DeploymentConflictingPorts "IST0137" Warning "targetPort clash"
    GatewayDuplicateCertificate "IST0138" Warning "same cert in gateways"
    InvalidWebhook "IST0139" Error "webhook invalid"
    IngressRouteRulesNotAffected "IST0140" Warning "subset unused at ingress"
    InsufficientPermissions "IST0141" Error "no rights to install"
    UnsupportedKubernetesVersion "IST0142" Error "Kubernetes too old"
    LocalhostListener "IST0143" Error "app listens on localhost"
    InvalidApplicationUID "IST0144" Warning "UID 1337"
    ConflictingGateways "IST0145" Error "gateway conflict"
    ImageAutoWithoutInjectionWarning "IST0146" Warning "image auto, namespace"
    ImageAutoWithoutInjectionError "IST0147" Error "image auto, pod"
    NamespaceInjectionEnabledByDefault "IST0148" Info "injected by default"
    JwtClaimBasedRoutingWithoutRequestAuthN "IST0149" Error "claim routing without RA"
    ExternalNameServiceTypeInvalidPortName "IST0150" Warning "ExternalName port name"
    EnvoyFilterUsesRelativeOperation "IST0151" Warning "relative patch without priority"
    EnvoyFilterUsesReplaceOperationIncorrectly "IST0152" Error "REPLACE misuse"
    EnvoyFilterUsesAddOperationIncorrectly "IST0153" Error "ADD misuse"
    EnvoyFilterUsesRemoveOperationIncorrectly "IST0154" Error "REMOVE misuse"
    EnvoyFilterUsesRelativeOperationWithProxyVersion "IST0155" Warning "relative patch + proxyVersion"
    UnsupportedGatewayAPIVersion "IST0156" Error "Gateway API too old"
    InvalidTelemetryProvider "IST0157" Warning "empty provider"
    PodsIstioProxyImageMismatchInNamespace "IST0158" Warning "old proxy image"
    ConflictingTelemetryWorkloadSelectors "IST0159" Error "Telemetry overlap"
    MultipleTelemetriesWithoutWorkloadSelectors "IST0160" Error "several ns Telemetry"
    InvalidGatewayCredential "IST0161" Error "bad gateway secret"
    GatewayPortNotDefinedOnService "IST0162" Warning "port not in Service"
    InvalidExternalControlPlaneConfig "IST0163" Warning "external istiod host"
    ExternalControlPlaneAddressIsNotAHostname "IST0164" Info "IP instead of host"
    ReferencedInternalGateway "IST0165" Warning "VS refers to generated gateway"
    IneffectiveSelector "IST0166" Warning "selector on K8s Gateway"
    IneffectivePolicy "IST0167" Warning "policy without effect"
    UnknownUpgradeCompatibility "IST0168" Warning "unknown upgrade change"
    UpdateIncompatibility "IST0169" Warning "upgrade change"
    MultiClusterInconsistentService "IST0170" Warning "multi-cluster service differs"
    NegativeConditionStatus "IST0171" Warning "negative condition"
    FutureUnsupportedGatewayAPIVersion "IST0172" Warning "Gateway API soon too old"
    DestinationRuleSubsetNotSelectPods "IST0173" Error "subset empty"
    UnknownDestinationRuleHost "IST0174" Warning "DR host unknown"
    JwksUriFetchUnrestricted "IST0175" Warning "JWKS not restricted"
    GatewayAPICRDVersionBelowMinimum "IST0176" Warning "CRD version below minimum"
    ConflictingServiceEntryProtocol "IST0177" Warning "ServiceEntry protocol clash"
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = Code::ALL.iter().map(|c| c.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Code::ALL.len());
    }
}
