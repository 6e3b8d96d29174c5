//! Every analyzer by istioctl's name, what it looks for, and which code is whose.
//!
//! In: a scene. Out: all findings of the analyzers that work on scenes; those of the others come from reading objects
//! (`api`) and from understanding them (`pilot`). `analyze -L` prints the list, `--analyzer` chooses by the codes.

use api::{Code, Findings};

use super::scene::Scene;
use super::{
    annotations, clusters, envoy_filters, gateways, injection, networks, policies, webhooks, workloads,
};

/// A part of the analysis.
pub struct Analyzer {
    /// istioctl's name of it.
    pub name: &'static str,
    pub about: &'static str,
    /// What it finds.
    pub codes: &'static [Code],
    /// None: found where objects are read or understood.
    run: Option<fn(&Scene, &mut Findings)>,
}

const fn here(
    name: &'static str,
    about: &'static str,
    codes: &'static [Code],
    run: fn(&Scene, &mut Findings),
) -> Analyzer {
    Analyzer { name, about, codes, run: Some(run) }
}

const fn elsewhere(name: &'static str, about: &'static str, codes: &'static [Code]) -> Analyzer {
    Analyzer { name, about, codes, run: None }
}

/// All of them.
pub const ANALYZERS: &[Analyzer] = &[
    here(
        "annotations.AlphaAnalyzer",
        "annotations that may still change",
        &[Code::AlphaAnnotation],
        annotations::alpha,
    ),
    here(
        "annotations.K8sAnalyzer",
        "annotations of the mesh that are unknown, misplaced, wrong or out of date",
        &[
            Code::UnknownAnnotation,
            Code::MisplacedAnnotation,
            Code::InvalidAnnotation,
            Code::DeprecatedAnnotation,
        ],
        annotations::known,
    ),
    here(
        "applicationUID.Analyzer",
        "applications that run as the proxy's user",
        &[Code::InvalidApplicationUID],
        workloads::user,
    ),
    here(
        "auth.AuthorizationPoliciesAnalyzer",
        "policies that select nothing, or name namespaces that are not there",
        &[Code::NoMatchingWorkloadsFound, Code::ReferencedResourceNotFound],
        policies::selectors,
    ),
    here(
        "conditions.ConditionAnalyzer",
        "objects whose status says no",
        &[Code::NegativeConditionStatus],
        policies::conditions,
    ),
    here(
        "deployment.MultiServiceAnalyzer",
        "workloads behind several Services that disagree",
        &[Code::DeploymentConflictingPorts, Code::DeploymentAssociatedToMultipleServices],
        workloads::ports,
    ),
    elsewhere("deprecation.DeprecationAnalyzer", "fields that go away", &[Code::Deprecated]),
    elsewhere(
        "destinationrule.CaCertificateAnalyzer",
        "TLS to others without roots to check them with",
        &[
            Code::NoServerCertificateVerificationDestinationLevel,
            Code::NoServerCertificateVerificationPortLevel,
        ],
    ),
    elsewhere(
        "destinationrule.SubsetSelectPodAnalyzer",
        "subsets without pods",
        &[Code::DestinationRuleSubsetNotSelectPods],
    ),
    here(
        "envoyfilter.EnvoyPatchAnalyzer",
        "patches that depend on order, or cannot work",
        &[
            Code::EnvoyFilterUsesRelativeOperation,
            Code::EnvoyFilterUsesReplaceOperationIncorrectly,
            Code::EnvoyFilterUsesAddOperationIncorrectly,
            Code::EnvoyFilterUsesRemoveOperationIncorrectly,
            Code::EnvoyFilterUsesRelativeOperationWithProxyVersion,
        ],
        envoy_filters::patches,
    ),
    here(
        "externalcontrolplane.ExternalControlPlaneAnalyzer",
        "addresses of a control plane outside the cluster",
        &[Code::InvalidExternalControlPlaneConfig, Code::ExternalControlPlaneAddressIsNotAHostname],
        webhooks::outside,
    ),
    here(
        "gateway.CertificateAnalyzer",
        "one certificate on several Gateways",
        &[Code::GatewayDuplicateCertificate],
        gateways::certificates,
    ),
    elsewhere(
        "gateway.ConflictingGatewayAnalyzer",
        "Gateways that claim the same",
        &[Code::ConflictingGateways],
    ),
    elsewhere(
        "gateway.IngressGatewayPortAnalyzer",
        "ports that no Service leads to",
        &[Code::GatewayPortNotDefinedOnService],
    ),
    elsewhere(
        "gateway.SecretAnalyzer",
        "credentials that are missing or broken",
        &[Code::InvalidGatewayCredential, Code::ReferencedResourceNotFound],
    ),
    here(
        "injection.Analyzer",
        "namespaces and pods without a proxy",
        &[
            Code::NamespaceNotInjected,
            Code::PodMissingProxy,
            Code::NamespaceMultipleInjectionLabels,
            Code::NamespaceInjectionEnabledByDefault,
        ],
        injection::namespaces_and_pods,
    ),
    here(
        "injection.ImageAnalyzer",
        "proxies of another version",
        &[Code::PodsIstioProxyImageMismatchInNamespace],
        injection::images,
    ),
    here(
        "injection.ImageAutoAnalyzer",
        "image: auto where nothing fills it in",
        &[Code::ImageAutoWithoutInjectionError, Code::ImageAutoWithoutInjectionWarning],
        injection::auto,
    ),
    here(
        "k8sgateway.CRDVersionAnalyzer",
        "Gateway API of an old version",
        &[
            Code::GatewayAPICRDVersionBelowMinimum,
            Code::UnsupportedGatewayAPIVersion,
            Code::FutureUnsupportedGatewayAPIVersion,
        ],
        networks::gateway_api,
    ),
    here(
        "k8sgateway.SelectorAnalyzer",
        "selectors where a Gateway is to be named",
        &[Code::IneffectiveSelector],
        policies::kube_gateways,
    ),
    here(
        "meshnetworks.MeshNetworksAnalyzer",
        "networks of clusters that nobody knows",
        &[Code::UnknownMeshNetworksServiceRegistry],
        networks::registries,
    ),
    elsewhere(
        "schema.ValidationAnalyzer",
        "what one object alone has wrong",
        &[
            Code::SchemaValidationError,
            Code::SchemaWarning,
            Code::Syntax,
            Code::NotAnObject,
            Code::UnknownKind,
            Code::UnknownVersion,
            Code::UnknownField,
            Code::WrongType,
            Code::DuplicateField,
            Code::DuplicateObject,
            Code::BadName,
            Code::BadLabel,
            Code::Required,
            Code::OutOfRange,
            Code::BadHost,
            Code::BadRegex,
            Code::BadDuration,
            Code::Exclusive,
            Code::BadPort,
            Code::Duplicate,
            Code::BadAddress,
            Code::BadValue,
            Code::NoEffect,
            Code::BadWeight,
            Code::BadReference,
            Code::BadHeader,
            Code::NotHonoured,
        ],
    ),
    here(
        "service.PortNameAnalyzer",
        "ports without a protocol in their name",
        &[Code::PortNameIsNotUnderNamingConvention, Code::ExternalNameServiceTypeInvalidPortName],
        workloads::external_names,
    ),
    here(
        "services.MultiClusterServiceAnalyzer",
        "Services that differ between clusters (--remote-contexts)",
        &[Code::MultiClusterInconsistentService],
        clusters::services,
    ),
    elsewhere("serviceentry.Analyzer", "TCP hosts without addresses", &[Code::ServiceEntryAddressesRequired]),
    elsewhere(
        "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
        "one port of a host with two protocols",
        &[Code::ConflictingServiceEntryProtocol],
    ),
    elsewhere(
        "sidecar.SelectorAnalyzer",
        "Sidecars that select the same pods, or none",
        &[
            Code::ConflictingSidecarWorkloadSelectors,
            Code::MultipleSidecarsWithoutWorkloadSelectors,
            Code::NoMatchingWorkloadsFound,
        ],
    ),
    elsewhere(
        "telemetry.SelectorAnalyzer",
        "Telemetries about the same pods or namespace",
        &[Code::ConflictingTelemetryWorkloadSelectors, Code::MultipleTelemetriesWithoutWorkloadSelectors],
    ),
    here(
        "telemetry.ProviderAnalyzer",
        "Telemetries without a provider",
        &[Code::InvalidTelemetryProvider],
        policies::telemetries,
    ),
    elsewhere(
        "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
        "one host in two VirtualServices",
        &[Code::ConflictingMeshGatewayVirtualServiceHosts],
    ),
    elsewhere(
        "virtualservice.DestinationHostAnalyzer",
        "destinations that are not there",
        &[Code::ReferencedResourceNotFound, Code::VirtualServiceDestinationPortSelectorRequired],
    ),
    elsewhere(
        "virtualservice.DestinationRuleAnalyzer",
        "subsets and rules of unknown hosts",
        &[Code::ReferencedResourceNotFound, Code::UnknownDestinationRuleHost],
    ),
    here(
        "virtualservice.GatewayAnalyzer",
        "VirtualServices and the Gateways that they name",
        &[
            Code::ReferencedResourceNotFound,
            Code::VirtualServiceHostNotFoundInGateway,
            Code::ReferencedInternalGateway,
            Code::IngressRouteRulesNotAffected,
        ],
        gateways::routes,
    ),
    here(
        "virtualservice.JWTClaimRouteAnalyzer",
        "routing by claims that nobody checks",
        &[Code::JwtClaimBasedRoutingWithoutRequestAuthN],
        gateways::claims,
    ),
    elsewhere(
        "virtualservice.MatchesAnalyzer",
        "rules and matches that never decide",
        &[Code::VirtualServiceUnreachableRule, Code::VirtualServiceIneffectiveMatch],
    ),
    here(
        "webhook.Analyzer",
        "webhooks that lead nowhere, or ask twice",
        &[Code::InvalidWebhook],
        webhooks::services,
    ),
];

/// Runs all analyzers that work on scenes.
pub fn run(scene: &Scene) -> Findings {
    let mut out = Findings::new();
    for run in ANALYZERS.iter().filter_map(|analyzer| analyzer.run) {
        run(scene, &mut out);
    }
    out
}

/// The codes of an analyzer; a kind behind the name of the schema's analyzer is left out.
pub fn codes(name: &str) -> Option<&'static [Code]> {
    let fits = |analyzer: &&Analyzer| {
        name.eq_ignore_ascii_case(analyzer.name)
            || (analyzer.name == "schema.ValidationAnalyzer"
                && name.starts_with("schema.ValidationAnalyzer."))
    };
    ANALYZERS.iter().find(fits).map(|analyzer| analyzer.codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<&str> = ANALYZERS.iter().map(|analyzer| analyzer.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ANALYZERS.len());
        assert_eq!(codes("Webhook.Analyzer"), Some(&[Code::InvalidWebhook][..]));
        assert!(codes("schema.ValidationAnalyzer.Gateway").is_some() && codes("x").is_none());
    }
}
