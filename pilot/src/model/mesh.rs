//! Mesh-wide settings, as far as pilot says them on the wire.
//!
//! Made by `mesh_config.rs` from the ConfigMap `istio`; its defaults are Istio's own. Read by every builder
//! through the small groups below, so that a change of the access log format does not rebuild clusters.

use std::time::Duration;

use crate::model::policy::{Keepalive, Locality, Policy};
use crate::model::routes::route::Retries;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mesh {
    pub trust_domain: String,
    /// Namespace of mesh-wide policies.
    pub root_namespace: String,
    pub observe: Observe,
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
    pub access_log: Option<AccessLog>,
    pub tracing: Option<Tracing>,
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

impl Default for Mesh {
    fn default() -> Self {
        Mesh {
            trust_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            observe: Observe::default(),
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
