//! Mesh-wide settings, as far as pilot says them on the wire.
//!
//! Made by `mesh_config.rs` from the ConfigMap `istio`; its defaults are Istio's own. Read by every builder
//! through the small groups below, so that a change of the access log format does not rebuild clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::policy::{Keepalive, Locality, Policy};
use crate::model::routes::route::Retries;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mesh {
    pub trust_domain: String,
    /// Namespaces that are looked at; None: all.
    pub discovered: Option<BTreeSet<String>>,
    /// Other names of the same trust domain.
    pub trust_aliases: Vec<String>,
    /// Namespace of mesh-wide policies.
    pub root_namespace: String,
    /// What is told about traffic where no Telemetry says anything.
    pub observe: Observe,
    /// `extensionProviders` by name.
    pub providers: BTreeMap<String, Provider>,
    pub outbound: OutboundDefaults,
    /// Unknown destinations may pass.
    pub allow_any: bool,
    /// Baseline under every DestinationRule.
    pub policy: Option<Policy>,
    /// `defaultHttpRetryPolicy`.
    pub retries: Option<Retries>,
    pub export_services: Vec<String>,
    pub export_routes: Vec<String>,
    pub export_rules: Vec<String>,
    pub inspect_timeout: Duration,
    pub paths: Paths,
    pub http_proxy_port: u16,
}

/// What is told about traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observe {
    pub access_logs: Vec<AccessLog>,
    pub tracing: Option<Tracing>,
}

/// An extension provider, as far as it is honoured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    Log(AccessLog),
    Spans(Tracing),
    Other,
}

/// File access log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessLog {
    pub path: String,
    pub json: bool,
    /// Text or JSON object; None: Istio's default.
    pub format: Option<String>,
}

/// Zipkin spans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tracing {
    /// Host name of the collector, full.
    pub host: String,
    pub port: u16,
    pub path: String,
    /// Share of traces, in hundredths of a percent.
    pub sampling: u32,
    pub max_tag_length: Option<u32>,
    /// W3C headers beside B3.
    pub w3c: bool,
    /// Tags of every span beside the usual ones, by name.
    pub tags: Vec<Tag>,
}

/// A tag of spans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    pub name: String,
    pub value: TagValue,
}

/// Where the value of a tag is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TagValue {
    Literal(String),
    /// A header of the request; without it the default, and no tag if that is empty.
    Header {
        name: String,
        default: String,
    },
}

/// A percentage in hundredths of a percent, held to 0..=100.
pub fn hundredths(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) * 100.0).round() as u32
}

/// Defaults of clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutboundDefaults {
    pub connect_timeout: Duration,
    pub keepalive: Option<Keepalive>,
    pub auto_mtls: bool,
    /// `h2UpgradePolicy: UPGRADE`.
    pub http2_upgrade: bool,
    pub dns_refresh: Duration,
    pub locality: Locality,
}

/// `pathNormalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Paths {
    Verbatim,
    /// Dot segments.
    #[default]
    Base,
    MergeSlashes,
    DecodeAndMergeSlashes,
}

impl Mesh {
    /// A SPIFFE id, and the same one under every alias of the trust domain.
    pub fn same_identities(&self, id: &str) -> Vec<String> {
        let own = format!("spiffe://{}/", self.trust_domain);
        let aliases = id
            .strip_prefix(&own)
            .into_iter()
            .flat_map(|rest| self.trust_aliases.iter().map(move |alias| format!("spiffe://{alias}/{rest}")));
        std::iter::once(id.to_owned()).chain(aliases).collect()
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Mesh {
            trust_domain: "cluster.local".into(),
            discovered: None,
            trust_aliases: Vec::new(),
            root_namespace: "istio-system".into(),
            observe: Observe::default(),
            providers: BTreeMap::new(),
            outbound: OutboundDefaults {
                connect_timeout: Duration::from_secs(10),
                keepalive: None,
                auto_mtls: true,
                http2_upgrade: false,
                dns_refresh: Duration::from_secs(60),
                locality: Locality { enabled: true, ..Default::default() },
            },
            allow_any: true,
            policy: None,
            retries: None,
            export_services: Vec::new(),
            export_routes: Vec::new(),
            export_rules: Vec::new(),
            inspect_timeout: Duration::ZERO,
            paths: Paths::Base,
            http_proxy_port: 0,
        }
    }
}
