//! The limits, kind by kind. `limits.rs` says what they mean.
//!
//! Parts that stand in several kinds have a table of their own, and a list of where they stand.
//!
//! An API server estimates what all rules of a definition may cost and refuses too dear a definition. Lists and loops
//! in rules are dear, `has` is cheap; whoever adds rules tries the file against an API server.

use super::limits::Limit::{
    Alias, AnyDuration, AtLeast, Items, KeyedBy, Keys, Length, OneOf, Pattern, Range, Required, Rule,
};
use super::limits::{Limit, Row};
use crate::kind::Kind;

/// The tables of a kind, each with the place from which its rows count.
pub(super) fn tables(kind: Kind) -> impl Iterator<Item = (&'static str, &'static [Row])> {
    let own = OWN.iter().filter(move |(of, _)| *of == kind).map(|(_, rows)| ("", *rows));
    let parts = PARTS.iter().filter(move |(of, _, _)| *of == kind).map(|(_, place, rows)| (*place, *rows));
    own.chain(parts).chain([("", EVERYWHERE)])
}

const PORT: Limit = Rule("self >= 1 && self <= 65535", "a port is a number from 1 to 65535");
const ONE_ATTACHMENT: Limit = Rule(
    "has(self.selector) ? !has(self.targetRef) && !has(self.targetRefs) : !(has(self.targetRef) && has(self.targetRefs))",
    "set only one of selector, targetRef and targetRefs",
);

const EVERYWHERE: &[Row] = &[
    (
        "**.matchLabels",
        &[
            Keys(0, 4096),
            Rule("self.all(key, key != '' && !key.contains('*'))", "a label's key is not empty and has no *"),
        ],
    ),
    ("**.matchLabels.*", &[Length(0, 63), Rule("!self.contains('*')", "a label's value has no *")]),
    ("**.workloadSelector.labels", &[Keys(0, 256)]),
    (
        "**.workloadSelector.labels.*",
        &[Length(0, 63), Rule("!self.contains('*')", "a label's value has no *")],
    ),
    ("**.targetRefs", &[Items(0, 16)]),
    ("**.targetRefs[]", &[Required(&["kind", "name"])]),
    ("**.targetRef", &[Required(&["kind", "name"])]),
    ("**.targetRefs[].group", GROUP),
    ("**.targetRef.group", GROUP),
    ("**.targetRefs[].kind", KIND),
    ("**.targetRef.kind", KIND),
    ("**.targetRefs[].name", &[Length(1, 253)]),
    ("**.targetRef.name", &[Length(1, 253)]),
    ("**.targetRefs[].namespace", &[OWN_NAMESPACE]),
    ("**.targetRef.namespace", &[OWN_NAMESPACE]),
    ("**.match[].ports", &[KeyedBy("number")]),
    ("**.match[].ports[]", &[Required(&["number"])]),
    ("**.match[].ports[].number", &[Range(1, 65535)]),
];

const GROUP: &[Limit] =
    &[Length(0, 253), Pattern("^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")];
const KIND: &[Limit] = &[Length(1, 63), Pattern("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")];
const OWN_NAMESPACE: Limit =
    Rule("self == ''", "a policy is attached in its own namespace only; leave this out");

/// Parts of several kinds: kind, place, rows.
const PARTS: &[(Kind, &str, &[Row])] = &[
    (Kind::DestinationRule, "trafficPolicy", POLICY),
    (Kind::DestinationRule, "trafficPolicy.portLevelSettings[]", POLICY),
    (Kind::DestinationRule, "subsets[].trafficPolicy", POLICY),
    (Kind::DestinationRule, "subsets[].trafficPolicy.portLevelSettings[]", POLICY),
    (Kind::DestinationRule, "trafficPolicy", TOP_POLICY),
    (Kind::DestinationRule, "subsets[].trafficPolicy", TOP_POLICY),
    (Kind::Sidecar, "inboundConnectionPool", POOL),
    (Kind::Sidecar, "ingress[].connectionPool", POOL),
    (Kind::Gateway, "servers[].tls", SERVER_TLS),
    (Kind::Sidecar, "ingress[].tls", SERVER_TLS),
    (Kind::WorkloadEntry, "", ENTRY),
    (Kind::WorkloadEntry, "", &[("", &[ENTRY_ADDRESS])]),
    (Kind::ServiceEntry, "endpoints[]", ENTRY),
    (Kind::ServiceEntry, "endpoints[]", &[("", &[ENTRY_ADDRESS])]),
    (Kind::WorkloadGroup, "template", ENTRY),
    (Kind::WasmPlugin, "", WASM),
    (Kind::TrafficExtension, "wasm", WASM),
    (Kind::VirtualService, "tls[].route[]", ROUTE),
    (Kind::VirtualService, "tcp[].route[]", ROUTE),
    (Kind::VirtualService, "http[].route[]", ROUTE),
    (Kind::VirtualService, "http[].mirrors[]", ROUTE),
];

const ROUTE: &[Row] = &[("", &[Required(&["destination"])]), ("destination", &[Required(&["host"])])];

const POOL: &[Row] = &[("tcp.idleTimeout", &[AnyDuration])];

const POLICY: &[Row] = &[
    ("connectionPool.tcp.idleTimeout", &[AnyDuration]),
    ("loadBalancer", &[OneOf(&["simple", "consistentHash"])]),
    (
        "loadBalancer.consistentHash",
        &[
            OneOf(&["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"]),
            OneOf(&["ringHash", "maglev"]),
        ],
    ),
    ("loadBalancer.consistentHash.httpCookie", &[Required(&["name"])]),
    ("loadBalancer.consistentHash.httpCookie.ttl", &[AnyDuration]),
    ("loadBalancer.consistentHash.httpCookie.attributes[]", &[Required(&["name"])]),
    // The many places of a traffic policy leave no budget for rules on these.
    ("loadBalancer.backendUtilization.weightExpirationPeriod", &[AnyDuration]),
    ("loadBalancer.backendUtilization.weightStabilizationPeriod", &[AnyDuration]),
    ("loadBalancer.backendUtilization.weightUpdatePeriod", &[AnyDuration]),
    ("loadBalancer.warmup", &[Required(&["duration"])]),
    ("loadBalancer.warmup.aggression", &[AtLeast(0)]),
    ("loadBalancer.warmup.minimumPercent", &[Range(0, 100)]),
    ("loadBalancer.zoneAwareLbSetting.minClusterSize", &[Range(1, u32::MAX as i64)]),
    ("outlierDetection.outlierDetectionHttpErrorCodes[]", &[Range(100, 599)]),
];

/// What ports do not have.
const TOP_POLICY: &[Row] = &[
    ("portLevelSettings", &[Items(0, 4096)]),
    ("retryBudget.percent", &[Range(0, 100)]),
    ("retryBudget.budgetInterval", &[AnyDuration]),
    ("tunnel", &[Required(&["targetHost", "targetPort"])]),
];

const SERVER_TLS: &[Row] = &[
    (
        "",
        &[Rule(
            "has(self.credentialName) ? !has(self.credentialNames) && !has(self.tlsCertificates) : !(has(self.credentialNames) && has(self.tlsCertificates))",
            "set only one of credentialName, credentialNames and tlsCertificates",
        )],
    ),
    ("credentialNames", &[Items(1, 2)]),
    ("tlsCertificates", &[Items(1, 2)]),
];

const ENTRY_ADDRESS: Limit =
    Rule("has(self.address) || has(self.network)", "address is required where network is not set");

const ENTRY: &[Row] = &[
    (
        "",
        &[Rule(
            "!has(self.address) || !has(self.ports) || !self.address.startsWith('unix://')",
            "a socket path has no ports",
        )],
    ),
    (
        "address",
        &[
            Length(0, 256),
            Rule(
                "!self.startsWith('unix://') || self.startsWith('unix:///') || self.startsWith('unix://@')",
                "after unix:// stands an absolute path or @ and a name",
            ),
            Rule("!self.startsWith('unix://') || !self.endsWith('/')", "a socket path does not end in /"),
        ],
    ),
    ("labels", &[Keys(0, 256)]),
    ("locality", &[Length(0, 2048)]),
    ("network", &[Length(0, 2048)]),
    ("serviceAccount", &[Length(0, 253)]),
    (
        "ports",
        &[
            Keys(0, 128),
            Rule(
                "self.all(name, name.size() < 63 && name.matches('^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$'))",
                "a port's name has letters, digits and - between them, fewer than 63",
            ),
        ],
    ),
    ("ports.*", &[PORT]),
];

const WASM: &[Row] = &[
    ("", &[Required(&["url"])]),
    ("imagePullSecret", &[Length(1, 253)]),
    ("pluginName", &[Length(1, 256)]),
    ("sha256", &[Pattern("^$|^[0-9a-f]{64}$")]),
    (
        "url",
        &[
            Length(1, 0),
            Rule(
                "!self.contains('://') || ['http://', 'https://', 'file://', 'oci://'].exists(scheme, self.startsWith(scheme))",
                "a url starts with oci://, http://, https:// or file://",
            ),
        ],
    ),
    ("vmConfig.env", &[Items(0, 256), KeyedBy("name")]),
    (
        "vmConfig.env[]",
        &[
            Required(&["name"]),
            Rule(
                "!has(self.value) || !has(self.valueFrom) || self.valueFrom != 'HOST'",
                "a value is for INLINE only",
            ),
        ],
    ),
    ("vmConfig.env[].name", &[Length(1, 256)]),
    ("vmConfig.env[].value", &[Length(0, 2048)]),
];

const STRING_MATCH: &[Limit] = &[OneOf(&["exact", "prefix", "regex"])];

const OWN: &[(Kind, &[Row])] = &[
    (
        Kind::VirtualService,
        &[
            ("http[]", &[Alias("mirror_percent", "mirrorPercent")]),
            ("http[].match[].uri", STRING_MATCH),
            ("http[].match[].scheme", STRING_MATCH),
            ("http[].match[].method", STRING_MATCH),
            ("http[].match[].authority", STRING_MATCH),
            ("http[].match[].headers.*", STRING_MATCH),
            ("http[].match[].withoutHeaders.*", STRING_MATCH),
            ("http[].match[].queryParams.*", STRING_MATCH),
            ("http[].corsPolicy.allowOrigins[]", STRING_MATCH),
            ("http[].directResponse", &[Required(&["status"])]),
            ("http[].directResponse.body", &[OneOf(&["string", "bytes"])]),
            ("http[].fault.abort", &[OneOf(&["httpStatus", "grpcStatus", "http2Error"])]),
            ("http[].fault.delay", &[OneOf(&["fixedDelay", "exponentialDelay"])]),
            ("http[].mirror", &[Required(&["host"])]),
            ("http[].redirect", &[OneOf(&["port", "derivePort"])]),
            ("tls[]", &[Required(&["match"])]),
            ("tls[].match[]", &[Required(&["sniHosts"])]),
        ],
    ),
    (Kind::DestinationRule, &[("", &[Required(&["host"])]), ("subsets[]", &[Required(&["name"])])]),
    (
        Kind::Gateway,
        &[
            ("servers[]", &[Required(&["port", "hosts"])]),
            ("servers[].port", &[Required(&["number", "protocol", "name"])]),
        ],
    ),
    (
        Kind::ServiceEntry,
        &[
            (
                "",
                &[
                    Required(&["hosts"]),
                    Rule(
                        "!has(self.workloadSelector) || !has(self.endpoints)",
                        "set only one of workloadSelector and endpoints",
                    ),
                    Rule(
                        "!has(self.addresses) || !has(self.resolution) || self.resolution in ['NONE', 'STATIC'] \
                         || !self.addresses.exists(address, address.contains('/'))",
                        "ranges of addresses are for resolution NONE and STATIC only",
                    ),
                    Rule(
                        "!has(self.endpoints) || (has(self.resolution) && self.resolution != 'NONE')",
                        "resolution NONE has no endpoints",
                    ),
                    Rule(
                        "!has(self.endpoints) || !has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' \
                         || self.endpoints.size() <= 1",
                        "resolution DNS_ROUND_ROBIN has one endpoint at most",
                    ),
                ],
            ),
            ("addresses", &[Items(0, 256)]),
            ("addresses[]", &[Length(0, 64)]),
            ("endpoints", &[Items(0, 4096)]),
            ("hosts", &[Items(1, 256)]),
            ("hosts[]", &[Rule("self != '*'", "a host is a name, not *")]),
            (
                "ports",
                &[
                    Items(0, 256),
                    KeyedBy("name"),
                    Rule(
                        "self.all(one, self.exists_one(other, one.number == other.number))",
                        "a port number stands only once",
                    ),
                ],
            ),
            ("ports[]", &[Required(&["number", "name"])]),
            ("ports[].name", &[Length(0, 256)]),
            ("ports[].protocol", &[Length(0, 256)]),
            ("ports[].number", &[PORT]),
            ("ports[].targetPort", &[PORT]),
        ],
    ),
    (
        Kind::Sidecar,
        &[
            ("egress[]", &[Required(&["hosts"])]),
            ("ingress[]", &[Required(&["port"])]),
            ("outboundTrafficPolicy.egressProxy", &[Required(&["host"])]),
        ],
    ),
    (
        Kind::WorkloadGroup,
        &[
            ("", &[Required(&["template"])]),
            ("metadata.labels", &[Keys(0, 256)]),
            ("metadata.annotations", &[Keys(0, 256)]),
            ("probe", &[OneOf(&["httpGet", "tcpSocket", "exec", "grpc"])]),
            ("probe.initialDelaySeconds", &[AtLeast(0)]),
            ("probe.timeoutSeconds", &[AtLeast(0)]),
            ("probe.periodSeconds", &[AtLeast(0)]),
            ("probe.successThreshold", &[AtLeast(0)]),
            ("probe.failureThreshold", &[AtLeast(0)]),
            ("probe.exec", &[Required(&["command"])]),
            ("probe.exec.command[]", &[Length(1, 0)]),
            ("probe.grpc.port", &[PORT]),
            ("probe.httpGet", &[Required(&["port"])]),
            ("probe.httpGet.port", &[PORT]),
            ("probe.httpGet.scheme", &[Rule("self in ['', 'HTTP', 'HTTPS']", "a scheme is HTTP or HTTPS")]),
            ("probe.httpGet.httpHeaders[].name", &[Pattern("^[-_A-Za-z0-9]+$")]),
            ("probe.tcpSocket", &[Required(&["port"])]),
            ("probe.tcpSocket.port", &[PORT]),
        ],
    ),
    (
        Kind::EnvoyFilter,
        &[
            (
                "",
                &[Rule(
                    "!has(self.workloadSelector) || !has(self.targetRefs)",
                    "set only one of workloadSelector and targetRefs",
                )],
            ),
            (
                "configPatches[].match",
                &[
                    OneOf(&["listener", "routeConfiguration", "cluster", "waypoint"]),
                    Rule(
                        "has(self.waypoint) == (has(self.context) && self.context == 'WAYPOINT')",
                        "waypoint goes with context WAYPOINT, and only with that",
                    ),
                ],
            ),
            ("configPatches[].match.waypoint.portNumber", &[PORT]),
        ],
    ),
    (Kind::ProxyConfig, &[("concurrency", &[AtLeast(0)]), ("environmentVariables.*", &[Length(0, 2048)])]),
    (
        Kind::PeerAuthentication,
        &[
            (
                "",
                &[Rule(
                    "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) \
                     && self.selector.matchLabels.size() > 0)",
                    "portLevelMtls needs a selector with labels",
                )],
            ),
            (
                "portLevelMtls",
                &[
                    Keys(1, 0),
                    Rule(
                        "self.all(port, int(port) >= 1 && int(port) <= 65535)",
                        "a port is a number from 1 to 65535",
                    ),
                ],
            ),
        ],
    ),
    (
        Kind::AuthorizationPolicy,
        &[
            ("", &[ONE_ATTACHMENT]),
            ("rules", &[Items(0, 512)]),
            ("rules[].from", &[Items(0, 512)]),
            (
                "rules[].from[].source",
                &[Rule(
                    "!(has(self.serviceAccounts) || has(self.notServiceAccounts)) || !(has(self.principals) \
                     || has(self.notPrincipals) || has(self.namespaces) || has(self.notNamespaces))",
                    "service accounts stand alone, without principals and namespaces",
                )],
            ),
            ("rules[].from[].source.serviceAccounts", &[Items(0, 16)]),
            ("rules[].from[].source.serviceAccounts[]", &[Length(0, 320)]),
            ("rules[].from[].source.notServiceAccounts", &[Items(0, 16)]),
            ("rules[].from[].source.notServiceAccounts[]", &[Length(0, 320)]),
            ("rules[].when[]", &[Required(&["key"])]),
        ],
    ),
    (
        Kind::RequestAuthentication,
        &[
            ("", &[ONE_ATTACHMENT]),
            ("jwtRules", &[Items(0, 4096)]),
            (
                "jwtRules[].jwksUri",
                &[
                    Length(1, 2048),
                    Rule(
                        "self.startsWith('http://') || self.startsWith('https://')",
                        "a url starts with http:// or https://",
                    ),
                ],
            ),
            (
                "jwtRules[]",
                &[
                    Alias("jwks_uri", "jwksUri"),
                    Rule(
                        "has(self.jwksUri) ? !has(self.jwks_uri) && !has(self.jwks) : !(has(self.jwks_uri) && has(self.jwks))",
                        "set only one of jwks and jwksUri",
                    ),
                ],
            ),
            ("jwtRules[].issuer", &[Length(1, 0)]),
            ("jwtRules[].audiences[]", &[Length(1, 0)]),
            ("jwtRules[].fromCookies[]", &[Length(1, 0)]),
            ("jwtRules[].fromParams[]", &[Length(1, 0)]),
            ("jwtRules[].fromHeaders[]", &[Required(&["name"])]),
            ("jwtRules[].fromHeaders[].name", &[Length(1, 0)]),
            ("jwtRules[].outputClaimToHeaders[]", &[Required(&["header", "claim"])]),
            ("jwtRules[].outputClaimToHeaders[].header", &[Length(1, 0), Pattern("^[-_A-Za-z0-9]+$")]),
            ("jwtRules[].outputClaimToHeaders[].claim", &[Length(1, 0)]),
            ("jwtRules[].spaceDelimitedClaims", &[Items(0, 64)]),
            ("jwtRules[].spaceDelimitedClaims[]", &[Length(1, 0)]),
        ],
    ),
    (
        Kind::Telemetry,
        &[
            ("", &[ONE_ATTACHMENT]),
            ("**.providers[]", &[Required(&["name"])]),
            ("**.providers[].name", &[Length(1, 0)]),
            ("metrics[].overrides[].match", &[OneOf(&["metric", "customMetric"])]),
            ("metrics[].overrides[].match.customMetric", &[Length(1, 0)]),
            (
                "metrics[].overrides[].tagOverrides.*",
                &[
                    Rule(
                        "!has(self.operation) || self.operation != 'UPSERT' || (has(self.value) && self.value != '')",
                        "UPSERT needs a value",
                    ),
                    Rule(
                        "!has(self.operation) || self.operation != 'REMOVE' || !has(self.value)",
                        "REMOVE has no value",
                    ),
                ],
            ),
            ("tracing[].customTags.*", &[OneOf(&["literal", "environment", "header", "formatter"])]),
            ("tracing[].customTags.*.literal", &[Required(&["value"])]),
            ("tracing[].customTags.*.literal.value", &[Length(1, 0)]),
            ("tracing[].customTags.*.environment", &[Required(&["name"])]),
            ("tracing[].customTags.*.environment.name", &[Length(1, 0)]),
            ("tracing[].customTags.*.header", &[Required(&["name"])]),
            ("tracing[].customTags.*.header.name", &[Length(1, 0)]),
            ("tracing[].customTags.*.formatter", &[Required(&["value"])]),
            ("tracing[].customTags.*.formatter.value", &[Length(1, 0)]),
            ("tracing[].randomSamplingPercentage", &[Range(0, 100)]),
        ],
    ),
    (Kind::WasmPlugin, &[("", &[ONE_ATTACHMENT])]),
    (
        Kind::TrafficExtension,
        &[
            (
                "",
                &[
                    Rule(
                        "!has(self.selector) || !has(self.targetRefs)",
                        "set only one of selector and targetRefs",
                    ),
                    OneOf(&["wasm", "lua"]),
                    Rule("has(self.wasm) != has(self.lua)", "set one of wasm and lua"),
                ],
            ),
            ("lua", &[Required(&["inlineCode"])]),
            ("lua.inlineCode", &[Length(1, 65536)]),
        ],
    ),
];
