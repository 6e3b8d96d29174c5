//! Routes: virtual hosts by domain, rules in order, and what each does.
//!
//! Made by `compile::route` and `link`, read by `router` and `filter`. Clusters are slots, so a table outlives the
//! versions of what it points to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{ClusterSlot, HeaderMatch, QueryMatch};
use crate::filter::{Cors, Fault};
use crate::router::{PathIndex, WildIndex};

/// One RouteConfiguration with its virtual hosts, inline and by VHDS, joined.
#[derive(Debug, Default)]
pub struct RouteTable {
    pub name: Arc<str>,
    pub hosts: Vec<Arc<VirtualHost>>,
    /// Lower-case exact domain -> index in `hosts`.
    pub exact: HashMap<Box<str>, u32>,
    /// `*.suffix` as `.suffix`.
    pub suffix: WildIndex,
    /// `prefix.*` as `prefix.`.
    pub prefix: WildIndex,
    /// `*`
    pub any: Option<u32>,
    /// `ignore_port_in_host_matching`
    pub ignore_port: bool,
    pub headers: HeaderOps,
    pub version: Arc<str>,
}

/// One virtual host: its rules in order of preference.
#[derive(Debug, Default)]
pub struct VirtualHost {
    pub name: Arc<str>,
    pub domains: Vec<Arc<str>>,
    pub rules: Vec<Arc<Rule>>,
    /// Which of them a path can match; `None`: try each.
    pub paths: Option<PathIndex>,
    pub headers: HeaderOps,
    /// `include_request_attempt_count` / `include_attempt_count_in_response`.
    pub attempt_count: bool,
    pub attempt_count_in_response: bool,
    /// `require_tls`: answer 301 to https.
    pub require_tls: bool,
    pub cors: Option<Arc<Cors>>,
    pub retry: Option<Arc<RetryPolicy>>,
    pub version: Arc<str>,
}

/// One route: match and action.
#[derive(Debug)]
pub struct Rule {
    /// `Route.name`: `%ROUTE_NAME%`.
    pub name: Arc<str>,
    pub path: PathMatch,
    pub headers: Vec<HeaderMatch>,
    pub query: Vec<QueryMatch>,
    /// `runtime_fraction`, parts of 1 000 000; `None`: always.
    pub fraction: Option<u32>,
    pub action: Action,
    pub header_ops: HeaderOps,
    /// Overlays of the listener's filters.
    pub fault: Option<Arc<Fault>>,
    pub cors: Option<Arc<Cors>>,
    /// `filter_metadata.istio.config`.
    pub config: Option<Arc<str>>,
    /// `FILE:LINE` of what was written, where known.
    pub origin: Option<Arc<str>>,
    /// `decorator.operation`, name of the span.
    pub operation: Option<Arc<str>>,
}

/// How the path is matched.
#[derive(Clone, Debug)]
pub enum PathMatch {
    Exact {
        text: Arc<str>,
        ignore_case: bool,
    },
    Prefix {
        text: Arc<str>,
        ignore_case: bool,
    },
    /// Per element, `path_separated_prefix`.
    Element {
        text: Arc<str>,
        ignore_case: bool,
    },
    /// Full match of the path without query.
    Regex(regex::bytes::Regex),
    /// `connect_matcher`
    Connect,
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    Forward(Arc<Forward>),
    Redirect(Redirect),
    Respond { status: http::StatusCode, body: bytes::Bytes },
}

/// Send it on.
#[derive(Debug)]
pub struct Forward {
    pub target: Target,
    /// Whole exchange; zero: none. Istio's default none, Envoy's 15 s (`timeout`).
    pub timeout: Duration,
    /// `idle_timeout` of the route; `None`: the listener's.
    pub idle_timeout: Option<Duration>,
    pub retry: Option<Arc<RetryPolicy>>,
    pub rewrite: Rewrite,
    pub mirrors: Vec<Mirror>,
    pub hash: Vec<HashPolicy>,
    /// Upgrade types with an opinion of the route: name, enabled.
    pub upgrades: Vec<(Arc<str>, bool)>,
    /// Subset selection by `metadata_match` is not modelled: Istio makes a cluster per subset.
    pub cluster_not_found: http::StatusCode,
    /// `max_grpc_timeout`/`grpc_timeout_header_max`: limit taken from `grpc-timeout`; `None`: header not used.
    pub grpc_timeout_max: Option<Duration>,
}

/// Which cluster.
#[derive(Debug)]
pub enum Target {
    Cluster(ClusterSlot),
    Weighted {
        total: u32,
        splits: Vec<Split>,
    },
    /// `cluster_header`
    Header(http::HeaderName),
}

/// One share of a weighted target.
#[derive(Debug)]
pub struct Split {
    pub cluster: ClusterSlot,
    pub weight: u32,
    pub headers: HeaderOps,
    pub host_rewrite: Option<Arc<str>>,
    pub fault: Option<Arc<Fault>>,
    pub cors: Option<Arc<Cors>>,
}

/// Changes to path and host.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    pub path: PathRewrite,
    pub host: HostRewrite,
    /// `append_x_forwarded_host`
    pub append_forwarded_host: bool,
}

/// `prefix_rewrite`, `regex_rewrite`.
#[derive(Clone, Debug, Default)]
pub enum PathRewrite {
    #[default]
    Keep,
    Prefix(Arc<str>),
    /// Pattern and substitution (RE2 `\1` already turned into `${1}`).
    Regex(regex::Regex, Arc<str>),
    /// `path_rewrite_policy`-like full replacement.
    Full(Arc<str>),
}

/// `host_rewrite_literal`, `auto_host_rewrite`, `host_rewrite_header`.
#[derive(Clone, Debug, Default)]
pub enum HostRewrite {
    #[default]
    Keep,
    Literal(Arc<str>),
    Auto,
    Header(http::HeaderName),
}

/// A redirect (`RedirectAction`).
#[derive(Clone, Debug)]
pub struct Redirect {
    pub status: http::StatusCode,
    pub scheme: Option<Arc<str>>,
    /// `https_redirect`
    pub https: bool,
    pub host: Option<Arc<str>>,
    pub port: Option<u16>,
    pub path: PathRewrite,
    pub strip_query: bool,
}

/// A copy of requests that nobody waits for.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub cluster: ClusterSlot,
    /// Parts of 1 000 000.
    pub fraction: u32,
    /// Append `-shadow` to the copy's host; Istio switches it off (`disable_shadow_host_suffix_append`).
    pub shadow_suffix: bool,
}

/// What a hash-based balancer hashes.
#[derive(Clone, Debug)]
pub enum HashPolicy {
    Header(http::HeaderName),
    Cookie {
        name: Arc<str>,
        ttl: Option<Duration>,
        path: Arc<str>,
        /// `SameSite=Strict` and the like; an empty value is written without `=`.
        attributes: Vec<(Arc<str>, Arc<str>)>,
    },
    SourceIp,
    Query(Arc<str>),
}

/// When and how often to try again (`RetryPolicy`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub on: RetryOn,
    pub statuses: Vec<u16>,
    /// Retries beyond the first attempt.
    pub retries: u32,
    pub per_try_timeout: Duration,
    pub per_try_idle_timeout: Duration,
    /// Default 25 ms; the upper limit default is ten times that.
    pub backoff_base: Duration,
    pub backoff_max: Duration,
    /// `previous_hosts` predicate: pick another endpoint when there is one.
    pub other_host: bool,
    pub host_attempts: u32,
    pub retry_other_priorities: bool,
}

/// Conditions, one bit each (`retry_on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RetryOn(pub u32);

impl RetryOn {
    pub const FIVE_XX: Self = Self(1);
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    pub const RESET: Self = Self(1 << 2);
    pub const CONNECT_FAILURE: Self = Self(1 << 3);
    pub const REFUSED_STREAM: Self = Self(1 << 4);
    pub const RETRIABLE_STATUS: Self = Self(1 << 5);
    pub const RETRIABLE_4XX: Self = Self(1 << 6);
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 7);
    pub const ENVOY_RATE_LIMITED: Self = Self(1 << 8);
    pub const RETRIABLE_HEADERS: Self = Self(1 << 9);
    pub const HTTP3_POST_CONNECT: Self = Self(1 << 10);
    pub const GRPC_CANCELLED: Self = Self(1 << 16);
    pub const GRPC_DEADLINE: Self = Self(1 << 17);
    pub const GRPC_INTERNAL: Self = Self(1 << 18);
    pub const GRPC_EXHAUSTED: Self = Self(1 << 19);
    pub const GRPC_UNAVAILABLE: Self = Self(1 << 20);

    /// True when any condition of `other` is set here.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Changes to headers, applied in the order route, virtual host, table, as Envoy does.
#[derive(Clone, Debug, Default)]
pub struct HeaderOps {
    pub request_set: Vec<HeaderOp>,
    pub request_remove: Vec<http::HeaderName>,
    pub response_set: Vec<HeaderOp>,
    pub response_remove: Vec<http::HeaderName>,
}

/// One added or replaced header.
#[derive(Clone, Debug)]
pub struct HeaderOp {
    pub name: http::HeaderName,
    pub value: HeaderText,
    pub how: AppendAction,
}

/// `append_action`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendAction {
    AppendOrAdd,
    AddIfAbsent,
    OverwriteOrAdd,
    OverwriteIfExists,
}

/// Literal, or with `%COMMAND%` operators to fill in.
#[derive(Clone, Debug)]
pub enum HeaderText {
    Literal(http::HeaderValue),
    Format(Arc<crate::observe::TextFormat>),
}
