//! The one model of routing rules, whatever kind of object they came from.
//!
//! Made by `virtual_service.rs`; read by `xds/route` and `xds/listener`. Host names are full, durations are
//! durations, percentages are parts per million, and every rule knows the file and line where it was written.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::hashed::Hashed;
use crate::model::service::{Source, Visibility};

/// Rules for some hosts on some gateways.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteSet {
    pub name: String,
    pub namespace: String,
    /// Full host names, wildcards and addresses, lower case.
    pub hosts: Vec<String>,
    /// The gateways it binds to; [`GatewayRef::Mesh`] is all sidecars.
    pub gateways: Vec<GatewayRef>,
    pub visibility: Visibility,
    pub http: Vec<Hashed<HttpRule>>,
    pub tls: Vec<TlsRule>,
    pub tcp: Vec<TcpRule>,
}

/// What a rule binds to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GatewayRef {
    Mesh,
    Named { namespace: String, name: String },
}

/// One HTTP rule: any of `matches` (none: everything), then the action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpRule {
    pub name: String,
    /// `/apis/.../virtual-service/NAME`.
    pub config: String,
    pub matches: Vec<HttpMatch>,
    pub action: Action,
    pub headers: HeaderEdits,
    pub rewrite: Option<Rewrite>,
    /// None: no limit.
    pub timeout: Option<Duration>,
    /// None: the default of the mesh.
    pub retries: Option<Retries>,
    pub fault: Option<Fault>,
    pub mirrors: Vec<Mirror>,
    pub cors: Option<Cors>,
    pub source: Source,
}

/// Conditions of one `match` entry, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HttpMatch {
    pub name: String,
    pub uri: Option<Text>,
    pub ignore_uri_case: bool,
    pub scheme: Option<Text>,
    pub method: Option<Text>,
    pub authority: Option<Text>,
    pub headers: Vec<(String, Text)>,
    pub without_headers: Vec<(String, Text)>,
    pub query: Vec<(String, Text)>,
    pub stat_prefix: String,
    pub client: Client,
    pub source: Source,
}

/// Conditions that hold for a whole client or port: decided by pilot, never by the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// Port that the client addressed.
    pub port: Option<u16>,
    /// Overrides the gateways of the object.
    pub gateways: Option<Vec<GatewayRef>>,
    pub labels: BTreeMap<String, String>,
    pub namespace: String,
}

/// A string condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Text {
    Exact(String),
    Prefix(String),
    /// Matches the whole text.
    Regex(String),
    Present,
}

/// What happens to a matched request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Forward(Vec<Split>),
    Redirect(Redirect),
    Respond {
        status: u16,
        body: Vec<u8>,
    },
    /// The rule has no usable action: answers 503 in place.
    Broken,
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Split {
    pub to: Destination,
    pub weight: u32,
    pub headers: HeaderEdits,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Full host name.
    pub host: String,
    pub subset: String,
    pub port: Option<u16>,
}

/// `redirect` of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Redirect {
    pub uri: String,
    /// Replaces only the matched prefix.
    pub prefix: String,
    pub authority: String,
    pub port: RedirectPort,
    pub scheme: String,
    pub code: u16,
}

/// Port in the `Location`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RedirectPort {
    /// Not said: as in the request, or none where the authority is replaced.
    #[default]
    Unset,
    Number(u16),
    /// 80 or 443, by scheme.
    ByProtocol,
    /// The port of the request.
    ByRequest,
}

/// `rewrite` of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rewrite {
    pub uri: String,
    /// Pattern and replacement with `\1` groups.
    pub regex: Option<(String, String)>,
    pub authority: String,
}

/// Header edits of one level, both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HeaderEdits {
    pub request: Edits,
    pub response: Edits,
}

/// Header edits of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    pub set: BTreeMap<String, String>,
    pub add: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

/// Retry policy of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Retries {
    /// Tries after the first one; 0 turns retries off.
    pub attempts: u32,
    pub per_try_timeout: Option<Duration>,
    /// Conditions without the status codes.
    pub on: String,
    pub codes: Vec<u32>,
    pub backoff: Option<Duration>,
    pub remote_localities: bool,
    pub ignore_previous_hosts: bool,
}

/// Share of requests in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// Every request.
    pub const ALL: Share = Share(1_000_000);

    /// From a percentage, held to 0..=100.
    pub fn percent(value: f64) -> Self {
        Share((value.clamp(0.0, 100.0) * 10_000.0).round() as u32)
    }
}

/// Injected faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fault {
    pub delay: Option<(Duration, Share)>,
    pub abort: Option<(Abort, Share)>,
}

/// With what a fault answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abort {
    Http(u16),
    Grpc(u32),
}

/// A copy of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mirror {
    pub to: Destination,
    pub share: Share,
}

/// CORS of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cors {
    pub origins: Vec<Text>,
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub expose: Vec<String>,
    pub max_age: Option<Duration>,
    pub credentials: Option<bool>,
    /// Preflights of other origins go upstream (None: the default, which is yes).
    pub forward_unmatched: Option<bool>,
}

/// TLS that is not terminated: by server name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsRule {
    pub matches: Vec<L4Match>,
    pub to: Vec<Split>,
    pub config: String,
    pub source: Source,
}

/// Opaque TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpRule {
    pub matches: Vec<L4Match>,
    pub to: Vec<Split>,
    pub config: String,
    pub source: Source,
}

/// Conditions on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct L4Match {
    /// Server names; only in TLS rules.
    pub sni: Vec<String>,
    pub subnets: Vec<String>,
    pub client: Client,
}

impl RouteSet {
    /// Whether it binds to this gateway, or is overridden to by one of its matches.
    pub fn binds(&self, gateway: &GatewayRef) -> bool {
        self.gateways.contains(gateway)
    }
}

impl Client {
    /// Whether these conditions hold for this kind of client, as far as pilot can say.
    pub fn holds(&self, at: &Place<'_>) -> bool {
        self.port.is_none_or(|p| p == at.port)
            && self.gateways.as_ref().is_none_or(|g| g.contains(at.gateway))
            && (*at.gateway != GatewayRef::Mesh
                || ((self.namespace.is_empty() || self.namespace == at.namespace)
                    && self.labels.iter().all(|(k, v)| at.labels.get(k) == Some(v))))
    }
}

/// From where a rule is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub gateway: &'a GatewayRef,
    /// Port that the client addressed.
    pub port: u16,
    pub namespace: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}
