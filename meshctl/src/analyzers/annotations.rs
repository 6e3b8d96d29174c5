//! Annotations of the mesh: where each may stand, what it may say, and how long it will be there.
//!
//! In: every object, and what pods are made from. Out: findings IST0107, 0108, 0125, 0135 and 0136. The table is that of
//! Istio's API; an annotation that ends in `istio.io` before its slash and is not in it is unknown.

use api::meta::Meta;
use api::{AnyObject, Code, Findings, Kind};

use super::scene::{Scene, note};

/// How firm an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Alpha,
    Beta,
    Stable,
    /// Alpha, and going away.
    Deprecated(&'static str),
}

/// What its value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Any,
    Bool,
    Number,
    Duration,
    /// `*`, or numbers up to 65535.
    Ports,
    /// `*`, or networks.
    Networks,
    OneOf(&'static [&'static str]),
    Json,
}

use Status::{Alpha, Beta, Deprecated, Stable};

const POD: &[Kind] = &[Kind::Pod];
const SERVICE: &[Kind] = &[Kind::Service];
const GATEWAY: &[Kind] = &[Kind::KubeGateway];
const ENTRY: &[Kind] = &[Kind::WorkloadEntry];
const TRAFFIC: &[Kind] = &[Kind::Namespace, Kind::Service, Kind::ServiceEntry];
/// Stands anywhere.
const ANY: &[Kind] = &[];

/// Name, where it may stand, how firm it is, what it may say. Pod: also what pods are made from.
const KNOWN: &[(&str, &[Kind], Status, Value)] = &[
    ("alpha.istio.io/canonical-serviceaccounts", SERVICE, Deprecated(""), Value::Any),
    ("alpha.istio.io/kubernetes-serviceaccounts", SERVICE, Deprecated(""), Value::Any),
    ("ambient.istio.io/bypass-inbound-capture", POD, Alpha, Value::Bool),
    ("ambient.istio.io/dns-capture", POD, Alpha, Value::Bool),
    ("ambient.istio.io/redirection", POD, Beta, Value::Any),
    (
        "ambient.istio.io/waypoint-inbound-binding",
        &[Kind::GatewayClass, Kind::KubeGateway],
        Alpha,
        Value::Any,
    ),
    ("galley.istio.io/analyze-suppress", ANY, Alpha, Value::Any),
    ("gateway.istio.io/controller-version", ANY, Alpha, Value::Any),
    ("gateway.istio.io/name-override", GATEWAY, Alpha, Value::Any),
    ("gateway.istio.io/service-account", GATEWAY, Alpha, Value::Any),
    ("inject.istio.io/templates", POD, Alpha, Value::Any),
    ("istio.io/autoRegistrationGroup", ENTRY, Alpha, Value::Any),
    ("istio.io/connectedAt", ENTRY, Alpha, Value::Any),
    ("istio.io/disconnectedAt", ENTRY, Alpha, Value::Any),
    ("istio.io/dry-run", &[Kind::AuthorizationPolicy], Alpha, Value::Bool),
    ("istio.io/reroute-virtual-interfaces", POD, Alpha, Value::Any),
    ("istio.io/rev", POD, Alpha, Value::Any),
    ("istio.io/use-waypoint-canary-weight", TRAFFIC, Alpha, Value::Number),
    ("istio.io/workloadController", ENTRY, Alpha, Value::Any),
    ("kubernetes.io/ingress.class", &[Kind::Ingress], Stable, Value::Any),
    ("networking.istio.io/exportTo", SERVICE, Alpha, Value::Any),
    (
        "networking.istio.io/service-type",
        GATEWAY,
        Alpha,
        Value::OneOf(&["ClusterIP", "NodePort", "LoadBalancer"]),
    ),
    ("networking.istio.io/traffic-distribution", TRAFFIC, Alpha, Value::Any),
    ("prometheus.istio.io/merge-metrics", POD, Alpha, Value::Bool),
    ("proxy.istio.io/config", POD, Beta, Value::Any),
    ("proxy.istio.io/overrides", POD, Alpha, Value::Json),
    ("readiness.status.sidecar.istio.io/applicationPorts", POD, Alpha, Value::Ports),
    ("readiness.status.sidecar.istio.io/failureThreshold", POD, Alpha, Value::Number),
    ("readiness.status.sidecar.istio.io/initialDelaySeconds", POD, Alpha, Value::Number),
    ("readiness.status.sidecar.istio.io/periodSeconds", POD, Alpha, Value::Number),
    ("sidecar.istio.io/agentLogLevel", POD, Alpha, Value::Any),
    ("sidecar.istio.io/bootstrapOverride", POD, Alpha, Value::Any),
    ("sidecar.istio.io/componentLogLevel", POD, Alpha, Value::Any),
    (
        "sidecar.istio.io/discoveryAddress",
        POD,
        Deprecated("discoveryAddress in proxy.istio.io/config"),
        Value::Any,
    ),
    ("sidecar.istio.io/extraStatTags", POD, Deprecated("extraStatTags in proxy.istio.io/config"), Value::Any),
    ("sidecar.istio.io/inject", POD, Deprecated("the label of the same name"), Value::Bool),
    ("sidecar.istio.io/interceptionMode", POD, Alpha, Value::OneOf(&["REDIRECT", "TPROXY", "NONE"])),
    (
        "sidecar.istio.io/logLevel",
        POD,
        Alpha,
        Value::OneOf(&["trace", "debug", "info", "warning", "warn", "error", "critical", "off"]),
    ),
    ("sidecar.istio.io/nativeSidecar", POD, Alpha, Value::Bool),
    ("sidecar.istio.io/proxyCPU", POD, Alpha, Value::Any),
    ("sidecar.istio.io/proxyCPULimit", POD, Alpha, Value::Any),
    ("sidecar.istio.io/proxyImage", POD, Alpha, Value::Any),
    ("sidecar.istio.io/proxyImageType", POD, Alpha, Value::Any),
    ("sidecar.istio.io/proxyMemory", POD, Alpha, Value::Any),
    ("sidecar.istio.io/proxyMemoryLimit", POD, Alpha, Value::Any),
    ("sidecar.istio.io/rewriteAppHTTPProbers", POD, Alpha, Value::Bool),
    ("sidecar.istio.io/statsCompression", POD, Deprecated(""), Value::Any),
    ("sidecar.istio.io/statsEvictionInterval", POD, Alpha, Value::Duration),
    ("sidecar.istio.io/statsFlushInterval", POD, Alpha, Value::Duration),
    ("sidecar.istio.io/statsHistogramBins", POD, Alpha, Value::Any),
    ("sidecar.istio.io/statsHistogramBuckets", POD, Alpha, Value::Json),
    (
        "sidecar.istio.io/statsInclusionPrefixes",
        POD,
        Deprecated("proxyStatsMatcher in proxy.istio.io/config"),
        Value::Any,
    ),
    (
        "sidecar.istio.io/statsInclusionRegexps",
        POD,
        Deprecated("proxyStatsMatcher in proxy.istio.io/config"),
        Value::Any,
    ),
    (
        "sidecar.istio.io/statsInclusionSuffixes",
        POD,
        Deprecated("proxyStatsMatcher in proxy.istio.io/config"),
        Value::Any,
    ),
    ("sidecar.istio.io/status", POD, Alpha, Value::Any),
    ("sidecar.istio.io/userVolume", POD, Alpha, Value::Json),
    ("sidecar.istio.io/userVolumeMount", POD, Alpha, Value::Json),
    ("status.sidecar.istio.io/port", POD, Alpha, Value::Number),
    ("topology.istio.io/controlPlaneClusters", &[Kind::Namespace], Alpha, Value::Any),
    ("traffic.istio.io/nodeSelector", SERVICE, Stable, Value::Json),
    ("traffic.sidecar.istio.io/excludeInboundPorts", POD, Alpha, Value::Ports),
    ("traffic.sidecar.istio.io/excludeInterfaces", POD, Alpha, Value::Any),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", POD, Alpha, Value::Networks),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", POD, Alpha, Value::Ports),
    ("traffic.sidecar.istio.io/includeInboundPorts", POD, Alpha, Value::Ports),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", POD, Alpha, Value::Networks),
    ("traffic.sidecar.istio.io/includeOutboundPorts", POD, Alpha, Value::Ports),
    (
        "traffic.sidecar.istio.io/kubevirtInterfaces",
        POD,
        Deprecated("istio.io/reroute-virtual-interfaces"),
        Value::Any,
    ),
];

/// Written by controllers, or for this very analysis: their firmness is nobody's business.
const OURS: [&str; 5] = [
    "galley.istio.io/analyze-suppress",
    "gateway.istio.io/controller-version",
    "istio.io/rev",
    "proxy.istio.io/overrides",
    "sidecar.istio.io/status",
];

/// One annotation somewhere.
struct Seen<'a> {
    object: &'a AnyObject,
    /// The kind that it stands on: `Pod` for a template.
    kind: Kind,
    path: String,
    name: &'a str,
    value: &'a str,
}

fn all(scene: &Scene) -> Vec<Seen<'_>> {
    let mut seen = Vec::new();
    for object in scene.objects() {
        // Pods that something has made repeat what their template says.
        if object.kind() == Kind::Pod && !object.meta().owner_references.is_empty() {
            continue;
        }
        seen.extend(of(object, object.kind(), "metadata", object.meta()));
    }
    for template in scene.templates().filter(|template| !template.at.is_empty()) {
        let at = template.path("metadata");
        seen.extend(of(template.owner, Kind::Pod, &at, template.meta));
    }
    seen
}

fn of<'a>(object: &'a AnyObject, kind: Kind, at: &str, meta: &'a Meta) -> Vec<Seen<'a>> {
    let one = |(name, value): (&'a String, &'a String)| Seen {
        object,
        kind,
        path: format!("{at}.annotations[{name}]"),
        name,
        value,
    };
    meta.annotations.iter().map(one).collect()
}

fn row(name: &str) -> Option<&'static (&'static str, &'static [Kind], Status, Value)> {
    KNOWN.iter().find(|(known, ..)| *known == name)
}

/// IST0107, 0108, 0125, 0135.
pub(super) fn known(scene: &Scene, out: &mut Findings) {
    for seen in all(scene) {
        let Some((name, kinds, status, value)) = row(seen.name) else {
            let ours = seen
                .name
                .split_once('/')
                .is_some_and(|(domain, _)| domain == "istio.io" || domain.ends_with(".istio.io"));
            // The installer's marks have no list.
            if ours
                && !seen.name.starts_with("operator.istio.io/")
                && !seen.name.starts_with("install.operator.istio.io/")
            {
                let text = format!("no annotation is called {}{}", seen.name, like(seen.name));
                note(out, seen.object, &seen.path, Code::UnknownAnnotation, text);
            }
            continue;
        };
        if !kinds.is_empty() && !kinds.contains(&seen.kind) {
            let places: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let hint =
                if kinds.contains(&Kind::Pod) && seen.path.starts_with("metadata") && makes_pods(seen.kind) {
                    "; put it under the metadata of the pod template"
                } else {
                    ""
                };
            let text =
                format!("{name} has no effect on a {}, only on {}{hint}", seen.kind, places.join(", "));
            note(out, seen.object, &seen.path, Code::MisplacedAnnotation, text);
            continue;
        }
        if let Err(why) = value.check(seen.value) {
            note(out, seen.object, &seen.path, Code::InvalidAnnotation, format!("{:?} {why}", seen.value));
        }
        if let Deprecated(instead) = status {
            let instead = if instead.is_empty() { String::new() } else { format!("; use {instead}") };
            note(
                out,
                seen.object,
                &seen.path,
                Code::DeprecatedAnnotation,
                format!("{name} is out of date{instead}"),
            );
        }
    }
}

/// IST0136.
pub(super) fn alpha(scene: &Scene, out: &mut Findings) {
    for seen in all(scene) {
        let Some((name, kinds, Alpha, _)) = row(seen.name) else { continue };
        let placed = kinds.is_empty() || kinds.contains(&seen.kind);
        if placed && !OURS.contains(name) {
            let text = format!("{name} is alpha: another release may change it or take it away");
            note(out, seen.object, &seen.path, Code::AlphaAnnotation, text);
        }
    }
}

fn makes_pods(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ReplicaSet | Kind::Job | Kind::CronJob
    )
}

/// Another one that may be meant: the same after the slash, or the same but for case.
fn like(name: &str) -> String {
    let tail = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    let fits = |known: &&(&str, &[Kind], Status, Value)| tail(known.0) == tail(name);
    KNOWN.iter().find(fits).map(|(known, ..)| format!("; {known} may be meant")).unwrap_or_default()
}

impl Value {
    fn check(self, text: &str) -> Result<(), String> {
        let all = |fits: &dyn Fn(&str) -> bool| {
            text == "*" || text.split(',').map(str::trim).filter(|word| !word.is_empty()).all(fits)
        };
        let (good, want) = match self {
            Value::Any => (true, String::new()),
            Value::Bool => (matches!(text, "true" | "false"), "true or false".to_owned()),
            Value::Number => (text.parse::<u32>().is_ok(), "a number".to_owned()),
            Value::Duration => (api::Duration::parse(text).is_ok(), "a duration, such as 5s".to_owned()),
            Value::Ports => (all(&|word| word.parse::<u16>().is_ok()), "a list of ports, or *".to_owned()),
            Value::Networks => (all(&network), "a list of networks such as 10.0.0.0/8, or *".to_owned()),
            Value::OneOf(words) => (words.contains(&text), format!("one of {}", words.join(", "))),
            Value::Json => (serde_json::from_str::<serde_json::Value>(text).is_ok(), "JSON".to_owned()),
        };
        if good { Ok(()) } else { Err(format!("is not {want}")) }
    }
}

fn network(word: &str) -> bool {
    let (address, bits) = word.split_once('/').unwrap_or((word, "0"));
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => bits.parse::<u8>().is_ok_and(|bits| bits <= if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    fn pod(annotation: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: n, annotations: {{{annotation}}}}}\n\
             spec: {{containers: [{{name: p, image: p}}]}}\n"
        )
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn each_mistake() {
        let at = |code: &str, name: &str| vec![format!("{code} metadata.annotations[{name}]")];
        let case = |name: &str, value: &str| found(&pod(&format!("{name}: '{value}'")), known);
        assert_eq!(case("sidecar.istio.io/Inject", "true"), at("IST0108", "sidecar.istio.io/Inject"));
        assert_eq!(case("networking.istio.io/exportTo", "."), at("IST0107", "networking.istio.io/exportTo"));
        let ports = "traffic.sidecar.istio.io/excludeInboundPorts";
        assert_eq!(case(ports, "http"), at("IST0125", ports));
        assert!(
            case(ports, "80, 443").is_empty()
                && case(ports, "").is_empty()
                && case("example.com/x", "y").is_empty()
        );
        assert_eq!(case("sidecar.istio.io/inject", "false"), at("IST0135", "sidecar.istio.io/inject"));
        let ranges = "traffic.sidecar.istio.io/includeOutboundIPRanges";
        assert!(case(ranges, "*").is_empty() && case(ranges, "10.0.0.0/8,fd00::/8").is_empty());
        assert_eq!(case(ranges, "10.0.0.0/33"), at("IST0125", ranges));
        assert_eq!(
            found(&pod("sidecar.istio.io/proxyCPU: 10m"), alpha),
            at("IST0136", "sidecar.istio.io/proxyCPU")
        );
        assert!(found(&pod("sidecar.istio.io/status: '{}'"), alpha).is_empty());
    }

    #[test]
    fn templates_are_pods() {
        let text = |at: &str| {
            let (own, inner) = if at == "own" { ("a: b", "a: b") } else { ("c: d", "a: b") };
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: n, annotations: {{{own}}}}}\n\
                 spec: {{template: {{metadata: {{annotations: {{{inner}}}}}, spec: {{containers: [{{name: p, image: p}}]}}}}}}\n"
            )
            .replace("a: b", "sidecar.istio.io/rewriteAppHTTPProbers: 'true'")
        };
        assert_eq!(
            found(&text("own"), known),
            ["IST0107 metadata.annotations[sidecar.istio.io/rewriteAppHTTPProbers]"]
        );
        assert!(found(&text("inner"), known).is_empty());
    }
}
