//! VirtualService: which requests for a host go where, and what happens to them on the way.
//!
//! Read by pilot's routes. Rules are in order, the first match wins; `http` for ports known or sniffed as HTTP,
//! `tls` for unterminated TLS by SNI, `tcp` for the rest.

use std::collections::BTreeMap;

use super::PortSelector;
use crate::text::{Bytes, Percent, StringMatch};
use crate::time::Duration;

spec! {
    pub struct VirtualService {
        /// DNS names, addresses or `*.suffix`; short names are of this object's namespace.
        hosts: Vec<String>,
        /// `namespace/name` of gateways, or `mesh` for all sidecars. Empty: `mesh` only.
        gateways: Vec<String>,
        http: Vec<HttpRoute>,
        tls: Vec<TlsRoute>,
        tcp: Vec<TcpRoute>,
        /// `.` this namespace, `*` all, `~` none, or names. Empty: the mesh default (`*`).
        export_to: Vec<String>,
    }

    /// One HTTP rule: exactly one of `route`, `redirect`, `direct_response` or `delegate`.
    pub struct HttpRoute {
        /// Label of the rule in logs.
        name: String,
        /// Any of these; none: everything.
        #[serde(rename = "match")]
        matches: Vec<HttpMatchRequest>,
        route: Vec<HttpRouteDestination>,
        redirect: Option<HttpRedirect>,
        direct_response: Option<HttpDirectResponse>,
        delegate: Option<Delegate>,
        rewrite: Option<HttpRewrite>,
        /// Covers all tries. Absent or 0s: no limit.
        timeout: Option<Duration>,
        /// Absent: the mesh default (2 retries).
        retries: Option<HttpRetry>,
        fault: Option<HttpFaultInjection>,
        mirror: Option<Destination>,
        /// Excludes `mirror`.
        mirrors: Vec<HttpMirrorPolicy>,
        /// Deprecated whole number of percent; Istio also knows it as `mirror_percent`.
        mirror_percent: Option<u32>,
        /// Absent: 100 %.
        mirror_percentage: Option<Percent>,
        cors_policy: Option<CorsPolicy>,
        headers: Option<Headers>,
    }

    /// Conditions that must all hold.
    pub struct HttpMatchRequest {
        /// Suffix to the rule's name in logs.
        name: String,
        uri: Option<StringMatch>,
        /// For exact and prefix only.
        ignore_uri_case: bool,
        scheme: Option<StringMatch>,
        method: Option<StringMatch>,
        authority: Option<StringMatch>,
        /// Lower-case names. An empty matcher: the header is present.
        headers: BTreeMap<String, StringMatch>,
        /// Must not match. An empty matcher: the header is absent.
        without_headers: BTreeMap<String, StringMatch>,
        query_params: BTreeMap<String, StringMatch>,
        /// Port that the client asked for; 0: any.
        port: u32,
        /// Labels of the client's workload.
        source_labels: BTreeMap<String, String>,
        /// Namespace of the client's workload.
        source_namespace: String,
        /// Replaces the list of the VirtualService.
        gateways: Vec<String>,
        stat_prefix: String,
    }

    pub struct HttpRouteDestination {
        destination: Option<Destination>,
        /// Relative. One destination gets everything.
        weight: i32,
        headers: Option<Headers>,
    }

    /// A service, a subset of it and one of its ports.
    pub struct Destination {
        host: String,
        /// Name of a subset of the host's DestinationRule.
        subset: String,
        /// Needed where the service has several ports.
        port: Option<PortSelector>,
    }

    /// Header changes of requests and responses.
    pub struct Headers {
        request: Option<HeaderOperations>,
        response: Option<HeaderOperations>,
    }

    pub struct HeaderOperations {
        /// Overwrites.
        set: BTreeMap<String, String>,
        /// Appends.
        add: BTreeMap<String, String>,
        remove: Vec<String>,
    }

    pub struct HttpRedirect {
        /// Replaces the whole path.
        uri: String,
        /// Replaces the matched prefix; excludes `uri`.
        prefix_rewrite: String,
        authority: String,
        /// Excludes `derive_port`.
        port: Option<u32>,
        derive_port: Option<RedirectPort>,
        /// `http` or `https`.
        scheme: String,
        /// 301 (default, also 0), 302, 303, 307 or 308.
        redirect_code: u32,
    }

    pub struct HttpDirectResponse {
        status: u32,
        body: Option<HttpBody>,
    }

    /// One of the two.
    pub struct HttpBody {
        string: Option<String>,
        /// Written as base64.
        bytes: Option<Bytes>,
    }

    /// A VirtualService without hosts and gateways that continues this rule.
    pub struct Delegate {
        name: String,
        /// Absent: the namespace of the delegating object.
        namespace: String,
    }

    pub struct HttpRewrite {
        /// Replaces the matched prefix, or the whole path after an exact or regex match.
        uri: String,
        authority: String,
        uri_regex_rewrite: Option<RegexRewrite>,
    }

    pub struct RegexRewrite {
        #[serde(rename = "match")]
        pattern: String,
        /// May use `\1` and so on.
        rewrite: String,
    }

    pub struct HttpRetry {
        /// Tries after the first one; 0 turns retries off.
        attempts: i32,
        /// Absent: the rule's timeout.
        per_try_timeout: Option<Duration>,
        /// Comma-separated conditions and status codes.
        retry_on: String,
        retry_remote_localities: Option<bool>,
        /// Absent: true.
        retry_ignore_previous_hosts: Option<bool>,
        /// First interval; absent: 25 ms.
        backoff: Option<Duration>,
    }

    pub struct HttpFaultInjection {
        delay: Option<FaultDelay>,
        abort: Option<FaultAbort>,
    }

    pub struct FaultDelay {
        /// Deprecated whole number of percent.
        percent: i32,
        fixed_delay: Option<Duration>,
        /// Refused: never implemented by Istio.
        exponential_delay: Option<Duration>,
        /// Absent: 0 %.
        percentage: Option<Percent>,
    }

    /// One of the three codes.
    pub struct FaultAbort {
        http_status: Option<i32>,
        /// Name such as `UNAVAILABLE`, or number.
        grpc_status: Option<String>,
        /// Not implemented by Istio.
        #[serde(rename = "http2Error")]
        http2_error: Option<String>,
        /// Absent: 100 %.
        percentage: Option<Percent>,
    }

    pub struct HttpMirrorPolicy {
        destination: Option<Destination>,
        /// Absent: 100 %.
        percentage: Option<Percent>,
    }

    pub struct CorsPolicy {
        /// Deprecated exact origins.
        allow_origin: Vec<String>,
        allow_origins: Vec<StringMatch>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        max_age: Option<Duration>,
        allow_credentials: Option<bool>,
        unmatched_preflights: UnmatchedPreflights,
    }

    pub struct TlsRoute {
        #[serde(rename = "match")]
        matches: Vec<TlsMatchAttributes>,
        route: Vec<RouteDestination>,
    }

    pub struct TlsMatchAttributes {
        /// Server names, each within the hosts of the VirtualService.
        sni_hosts: Vec<String>,
        /// CIDRs of the original destination.
        destination_subnets: Vec<String>,
        port: u32,
        source_labels: BTreeMap<String, String>,
        gateways: Vec<String>,
        source_namespace: String,
    }

    pub struct TcpRoute {
        #[serde(rename = "match")]
        matches: Vec<L4MatchAttributes>,
        route: Vec<RouteDestination>,
    }

    pub struct L4MatchAttributes {
        /// CIDRs of the original destination.
        destination_subnets: Vec<String>,
        port: u32,
        /// Not implemented by Istio.
        source_subnet: String,
        source_labels: BTreeMap<String, String>,
        gateways: Vec<String>,
        source_namespace: String,
    }

    pub struct RouteDestination {
        destination: Option<Destination>,
        weight: i32,
    }
}

choice! {
    /// Which port a redirect names.
    pub enum RedirectPort {
        /// 80 or 443, left out of the address.
        #[default]
        FromProtocolDefault = "FROM_PROTOCOL_DEFAULT",
        FromRequestPort = "FROM_REQUEST_PORT",
    }

    /// What happens to a preflight request whose origin is not allowed.
    pub enum UnmatchedPreflights {
        /// As `Forward`.
        #[default]
        Unspecified = "UNSPECIFIED",
        Forward = "FORWARD",
        /// Answered by the proxy.
        Ignore = "IGNORE",
    }
}

/// Names of gRPC status codes, in order of their numbers.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl FaultAbort {
    /// Number of `grpcStatus`, which is a name or that number; `None`: absent, or no such status.
    pub fn grpc_code(&self) -> Option<u32> {
        let status = self.grpc_status.as_deref()?;
        let named = GRPC_STATUS.iter().position(|name| *name == status).and_then(|at| u32::try_from(at).ok());
        named.or_else(|| status.parse().ok().filter(|code| *code < 17))
    }
}
