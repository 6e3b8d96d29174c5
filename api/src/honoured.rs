//! The one list of what is accepted but not honoured yet. It shrinks with time: delete a line when it becomes true.
//!
//! Everything that reads objects shows these warnings, so that nobody is left to believe that a field works. A test of
//! the whole workspace sets every field of every kind alone and demands that either the proxy's configuration changes
//! or this list (or a rule of `valid`) names the field.
//!
//! Patterns start at the spec: `a.b[].c` is a field, `a.*` and `a.@*` go through any key of a map and any that starts
//! with `@`, `a=X` is one value of a field, and an empty pattern is the whole kind. A pattern covers everything below it.

use serde::Serialize;
use serde_json::Value;

use crate::finding::{Code, Finding, Findings};
use crate::kind::{Kind, Shape, for_each_kind};
use crate::mesh::{MeshConfig, default_mesh_config};
use crate::object::AnyObject;
use crate::path::{FieldPath, Step};

/// Parts of a traffic policy, which stands in several places of a DestinationRule.
const TRAFFIC_POLICY: &[&str] = &[
    "loadBalancer.zoneAwareLbSetting",
    "loadBalancer.backendUtilization",
    "outlierDetection.outlierDetectionHttpErrorCodes",
    "tls.caCrl",
];

/// Those that ports do not have.
const DESTINATION_POLICY: &[&str] = &["tunnel", "proxyProtocol", "retryBudget.budgetInterval"];

/// Where a DestinationRule has traffic policies.
const TRAFFIC_POLICY_AT: &[&str] = &[
    "trafficPolicy",
    "trafficPolicy.portLevelSettings[]",
    "subsets[].trafficPolicy",
    "subsets[].trafficPolicy.portLevelSettings[]",
];

const NOT_YET: &[(Kind, &[&str])] = &[
    (
        Kind::VirtualService,
        &["http[].match[].headers.@*", "http[].match[].withoutHeaders.@*", "tcp[].match[].sourceSubnet"],
    ),
    (
        Kind::Gateway,
        &[
            "servers[].bind",
            "servers[].defaultEndpoint",
            "servers[].tls.mode=AUTO_PASSTHROUGH",
            "servers[].tls.caCrl",
            "servers[].tls.tlsCertificates[].caCertificates",
            "servers[].tls.ecdhCurves",
        ],
    ),
    (Kind::ServiceEntry, &["resolution=DYNAMIC_DNS", "endpoints[].network"]),
    (Kind::WorkloadEntry, &["network"]),
    (
        Kind::Sidecar,
        &[
            "egress[].bind",
            "egress[].captureMode",
            "ingress[].bind",
            "ingress[].captureMode",
            "ingress[].tls",
            "ingress[].connectionPool.http.h2UpgradePolicy",
            "inboundConnectionPool.http.h2UpgradePolicy",
        ],
    ),
    (Kind::WorkloadGroup, &[""]),
    (Kind::EnvoyFilter, &[""]),
    (Kind::AuthorizationPolicy, &[""]),
    (Kind::RequestAuthentication, &[""]),
    (
        Kind::Telemetry,
        &[
            "targetRef",
            "targetRefs",
            "tracing[].customTags.*.environment",
            "tracing[].customTags.*.formatter",
            "tracing[].useRequestIdForTraceSampling",
            "tracing[].enableIstioTags",
            "tracing[].disableContextPropagation",
            "metrics",
            "accessLogging[].filter",
        ],
    ),
    (Kind::WasmPlugin, &[""]),
    (Kind::TrafficExtension, &[""]),
    (Kind::KubeGateway, &[""]),
    (Kind::GatewayClass, &[""]),
    (Kind::HttpRoute, &[""]),
    (Kind::GrpcRoute, &[""]),
    (Kind::TcpRoute, &[""]),
    (Kind::TlsRoute, &[""]),
    (Kind::UdpRoute, &[""]),
    (Kind::ReferenceGrant, &[""]),
    (Kind::BackendTlsPolicy, &[""]),
    (Kind::ListenerSet, &[""]),
    (Kind::XListenerSet, &[""]),
    (Kind::XBackendTrafficPolicy, &[""]),
    (Kind::XBackend, &[""]),
    (Kind::XMesh, &[""]),
    (Kind::Ingress, &[""]),
];

/// The mesh settings that are honoured; all others are named when they are not at their default.
const MESH_HONOURED: &[&str] = &[
    "accessLogEncoding",
    "accessLogFile",
    "accessLogFormat",
    "connectTimeout",
    "defaultConfig.concurrency",
    "defaultConfig.discoveryAddress",
    "defaultConfig.proxyMetadata",
    "defaultConfig.terminationDrainDuration",
    "defaultConfig.tracing.maxPathTagLength",
    "defaultConfig.tracing.sampling",
    "defaultConfig.tracing.zipkin",
    "defaultDestinationRuleExportTo",
    "defaultHttpRetryPolicy",
    "defaultProviders.accessLogging",
    "defaultProviders.tracing",
    "defaultServiceExportTo",
    "defaultTrafficPolicy",
    "defaultVirtualServiceExportTo",
    "discoverySelectors",
    "dnsRefreshRate",
    "enableAutoMtls",
    "enableTracing",
    "extensionProviders[].envoyFileAccessLog",
    "extensionProviders[].name",
    "extensionProviders[].prometheus",
    "extensionProviders[].zipkin",
    "h2UpgradePolicy",
    "localityLbSetting",
    "outboundTrafficPolicy.mode",
    "pathNormalization",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "rootNamespace",
    "tcpKeepalive",
    "trustDomain",
    "trustDomainAliases",
];

/// Everything that is worth telling whoever wrote an object: what is wrong with it, and what of it is not honoured.
pub fn told(object: &AnyObject) -> Findings {
    let mut findings = object.findings();
    findings.extend(unhonoured(object));
    findings
}

/// Warnings for everything in the object that is set and not honoured.
pub fn unhonoured(object: &AnyObject) -> Findings {
    let kind = object.kind();
    let mut found = Vec::new();
    let spec = spec_of(object);
    for pattern in patterns(kind) {
        let pattern = Pattern::parse(&pattern);
        match pattern.steps.is_empty() && pattern.value.is_none() {
            true => found.push(FieldPath::default()),
            false => pattern.find(&spec, &mut FieldPath::default(), 0, &mut found),
        }
    }
    found.sort();
    found.dedup();
    let origin = object.origin();
    let root = if kind.row().shape == Shape::Spec { FieldPath::parse("spec") } else { FieldPath::default() };
    let tell = |path: FieldPath| {
        let whole = path.is_empty();
        let path = if whole { path } else { FieldPath([root.0.clone(), path.0].concat()) };
        let message = match whole {
            true => format!("{kind} is accepted but not honoured yet"),
            false => "accepted but not honoured yet".to_owned(),
        };
        let finding = Finding::new(Code::NotHonoured, message).about(object.key());
        finding.at(&origin.file, origin.line_of(&path)).field(path)
    };
    found.into_iter().map(tell).collect()
}

/// Warnings for the mesh settings that are not at their default and not honoured.
pub fn unhonoured_mesh(config: &MeshConfig, file: &str) -> Findings {
    let mut found = Vec::new();
    differences(&to_value(config), &to_value(&default_mesh_config()), &mut FieldPath::default(), &mut found);
    let honoured: Vec<_> = MESH_HONOURED.iter().map(|pattern| Pattern::parse(pattern)).collect();
    found.retain(|path| !honoured.iter().any(|pattern| pattern.covers(path)));
    let tell =
        |path| Finding::new(Code::NotHonoured, "accepted but not honoured yet").at(file, 0).field(path);
    found.into_iter().map(tell).collect()
}

/// The list of a kind, with traffic policies expanded. For reports.
pub fn patterns(kind: Kind) -> Vec<String> {
    let listed = NOT_YET.iter().filter(|(k, _)| *k == kind).flat_map(|(_, patterns)| patterns.iter());
    let mut all: Vec<String> = listed.map(|pattern| (*pattern).to_owned()).collect();
    if kind == Kind::DestinationRule {
        for place in TRAFFIC_POLICY_AT {
            let port = place.ends_with("[]");
            let more = if port { &[] } else { DESTINATION_POLICY };
            all.extend(TRAFFIC_POLICY.iter().chain(more).map(|field| format!("{place}.{field}")));
        }
    }
    all
}

fn to_value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("kinds have string keys only")
}

macro_rules! spec_values {
    ($( $variant:ident $module:ident :: $type:ident, $group:literal [$($version:literal),*] $name:literal $plural:literal
        [$($short:literal),*] $scope:ident $family:ident $shape:ident; )*) => {
        /// The spec with its own spelling of keys, without what is at its default.
        fn spec_of(object: &AnyObject) -> Value {
            match object {
                $( AnyObject::$variant(object) => to_value(&object.spec), )*
                AnyObject::Unknown(_) => Value::Null,
            }
        }
    };
}

for_each_kind!(spec_values);

/// Fields below which two values differ.
fn differences(value: &Value, other: &Value, path: &mut FieldPath, found: &mut Vec<FieldPath>) {
    match (value, other) {
        // A setting at the zero of its type is left out, also where that is not its default.
        (Value::Object(map), Value::Object(other)) => {
            for key in map.keys().chain(other.keys().filter(|key| !map.contains_key(*key))) {
                path.0.push(Step::Key(key.clone()));
                let [value, other] = [map, other].map(|map| map.get(key).unwrap_or(&Value::Null));
                differences(value, other, path, found);
                path.0.pop();
            }
        }
        (Value::Object(map), other) if !map.is_empty() => {
            for (key, value) in map {
                path.0.push(Step::Key(key.clone()));
                differences(value, other.get(key).unwrap_or(&Value::Null), path, found);
                path.0.pop();
            }
        }
        (Value::Array(items), other) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                path.0.push(Step::Index(index));
                differences(value, other.get(index).unwrap_or(&Value::Null), path, found);
                path.0.pop();
            }
        }
        (value, other) if value != other => found.push(path.clone()),
        _ => {}
    }
}

struct Pattern<'a> {
    steps: Vec<Part<'a>>,
    value: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Part<'a> {
    Key(&'a str),
    /// Any that starts so.
    Keys(&'a str),
    AnyIndex,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Self {
        let (path, value) = text.split_once('=').map_or((text, None), |(path, value)| (path, Some(value)));
        let mut steps = Vec::new();
        for word in path.split('.').filter(|word| !word.is_empty()) {
            let (word, index) = word.strip_suffix("[]").map_or((word, false), |word| (word, true));
            steps.push(word.strip_suffix('*').map_or(Part::Key(word), Part::Keys));
            if index {
                steps.push(Part::AnyIndex);
            }
        }
        Pattern { steps, value }
    }

    /// Adds the paths in `value` that the pattern names.
    fn find(&self, value: &Value, path: &mut FieldPath, depth: usize, found: &mut Vec<FieldPath>) {
        let Some(part) = self.steps.get(depth) else {
            if self.value.is_none_or(|wanted| value.as_str() == Some(wanted)) {
                found.push(path.clone());
            }
            return;
        };
        let mut down = |step: Step, value: &Value| {
            path.0.push(step);
            self.find(value, path, depth + 1, found);
            path.0.pop();
        };
        match (part, value) {
            (Part::Key(key), Value::Object(map)) => {
                if let Some(value) = map.get(*key) {
                    down(Step::Key((*key).to_owned()), value);
                }
            }
            (Part::Keys(start), Value::Object(map)) => {
                let keys = map.iter().filter(|(key, _)| key.starts_with(start));
                keys.for_each(|(key, value)| down(Step::Key(key.clone()), value));
            }
            (Part::AnyIndex, Value::Array(items)) => {
                items.iter().enumerate().for_each(|(index, value)| down(Step::Index(index), value));
            }
            _ => {}
        }
    }

    /// Whether the path is the pattern or below it.
    fn covers(&self, path: &FieldPath) -> bool {
        self.steps.len() <= path.0.len()
            && self.steps.iter().zip(&path.0).all(|(part, step)| match (part, step) {
                (Part::Key(key), Step::Key(step)) => key == step,
                (Part::Keys(start), Step::Key(key)) => key.starts_with(start),
                (Part::AnyIndex, Step::Index(_)) => true,
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let parsed = crate::parse("f.yaml", text);
        assert!(parsed.findings.is_empty(), "{}", parsed.findings);
        unhonoured(&parsed.objects[0]).iter().map(|f| format!("{}:{}", f.line, f.path)).collect()
    }

    #[test]
    fn fields_values_and_whole_kinds() {
        let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: x\n  \
                    subsets:\n  - name: v1\n    trafficPolicy:\n      retryBudget: {budgetInterval: 9s}\n      tls: {mode: SIMPLE}\n";
        assert_eq!(paths(rule), ["9:spec.subsets[0].trafficPolicy.retryBudget.budgetInterval"]);
        let claims = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  http:\n  - match:\n    \
                      - headers: {'@request.auth.claims.sub': {exact: a}, x: {exact: b}}\n";
        assert_eq!(paths(claims), ["7:spec.http[0].match[0].headers[@request.auth.claims.sub]"]);
        let gateway = |mode: &str| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: a}}\nspec:\n  servers:\n  - tls: {{mode: {mode}}}\n"
            )
        };
        assert_eq!(paths(&gateway("AUTO_PASSTHROUGH")), ["6:spec.servers[0].tls.mode"]);
        assert_eq!(paths(&gateway("SIMPLE")), [] as [String; 0]);
        let filter =
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a}\nspec: {}\n";
        assert_eq!(paths(filter), ["1:"]);
    }

    #[test]
    fn mesh_settings() {
        assert!(unhonoured_mesh(&default_mesh_config(), "").is_empty());
        let mut findings = Findings::new();
        let text = "trustDomain: x\nenablePrometheusMerge: false\ndefaultConfig: {concurrency: 2, statNameLength: 3}\n";
        let config = crate::mesh::mesh_config("m", text, &mut findings);
        let found: Vec<_> = unhonoured_mesh(&config, "m").iter().map(|f| f.path.to_string()).collect();
        assert_eq!(found, ["defaultConfig.statNameLength", "enablePrometheusMerge"]);
    }

    #[test]
    fn every_pattern_names_a_field() {
        for kind in Kind::ALL {
            let fields = crate::fields::leaves(*kind);
            for pattern in patterns(*kind) {
                let bare = pattern.split('=').next().unwrap().replace("@*", "*");
                let known = |field: &str| {
                    field == bare
                        || field
                            .strip_prefix(bare.as_str())
                            .is_some_and(|rest| bare.is_empty() || rest.starts_with(['.', '[']))
                };
                assert!(fields.iter().any(|leaf| known(&leaf.path)), "{kind} has no field {bare}");
            }
        }
    }
}
