//! A cluster: settings that are immutable, and the live parts that survive a change of settings.
//!
//! Made by `compile` and `xds::store`, read by `balance`, `pool`, `upstream`. The live parts are `Arc`s that the store
//! hands from version to version.

use std::sync::Arc;
use std::time::Duration;

use super::{BindSource, EndpointSet, H2Options, UpstreamTls};
use crate::cluster::{Limits, Outliers};

/// One cluster. A new version makes a new `Cluster` that adopts `endpoints`, `limits` and `outliers` of the old.
#[derive(Debug)]
pub struct Cluster {
    pub name: Arc<str>,
    /// Number of this cluster in the process: key of pools; kept over versions whose connections are alike.
    pub id: u64,
    pub settings: ClusterSettings,
    /// Endpoints change often and never cause a new Config.
    pub endpoints: Arc<base::Live<EndpointSet>>,
    pub limits: Arc<Limits>,
    pub outliers: Arc<Outliers>,
    pub version: Arc<str>,
}

/// How endpoints are found (`Cluster.type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Name of the load assignment (`service_name` or the cluster's name).
    Eds(Arc<str>),
    Static,
    StrictDns,
    LogicalDns,
    OriginalDst {
        use_header: bool,
        port_override: Option<u16>,
    },
}

/// Which endpoint gets a request (`lb_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    RoundRobin,
    LeastRequest {
        choices: u32,
    },
    Random,
    RingHash {
        minimum: u64,
        maximum: u64,
    },
    Maglev {
        table: u64,
    },
    /// `CLUSTER_PROVIDED`: the original destination.
    Provided,
}

/// HTTP version towards the endpoints (`HttpProtocolOptions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHttp {
    Http1,
    Http2,
    /// `use_downstream_protocol_config`
    Downstream,
    /// `auto_config`: ALPN decides.
    Auto,
}

/// Transport by endpoint metadata (`transport_socket_matches`); first match wins.
#[derive(Debug)]
pub struct TlsMatch {
    pub name: Arc<str>,
    /// All must be equal in the endpoint's `envoy.transport_socket_match`; empty matches all.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub tls: UpstreamTls,
}

/// The settings of a cluster (`envoy.config.cluster.v3.Cluster`).
#[derive(Debug)]
pub struct ClusterSettings {
    pub discovery: Discovery,
    pub balance: Balance,
    /// TCP connect, default 5 s (Istio sets 10 s).
    pub connect_timeout: Duration,
    pub tls_matches: Vec<TlsMatch>,
    /// Where no match applies.
    pub tls: UpstreamTls,
    pub http: UpstreamHttp,
    pub h2: H2Options,
    /// Idle upstream connections are closed after this; default 1 h.
    pub idle_timeout: Duration,
    /// Zero: no limit (`max_connection_duration`).
    pub max_connection_duration: Duration,
    /// Zero: no limit (`max_requests_per_connection`).
    pub max_requests_per_connection: u32,
    pub bind: BindSource,
    /// `upstream_connection_options.tcp_keepalive`: idle, interval, probes.
    pub keepalive: Option<Keepalive>,
    /// TCP peer metadata is exchanged upstream (`istio.metadata_exchange` upstream filter).
    pub tcp_peer_exchange: bool,
    /// `filter_metadata.istio.services[0]`: host, name, namespace.
    pub service: Option<Arc<ServiceIdentity>>,
    pub preserve_header_case: bool,
    /// Panic threshold in percent of healthy hosts, default 50, Istio sets 0.
    pub panic_threshold: u32,
    pub dns_refresh: Duration,
    pub dns_family: DnsFamily,
    /// `common_lb_config.locality_weighted_lb_config`.
    pub locality_weighted: bool,
    pub slow_start: Option<SlowStart>,
}

/// Which addresses of a DNS name are used (`dns_lookup_family`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DnsFamily {
    /// IPv6 if there is any, else IPv4.
    #[default]
    Auto,
    V4Only,
    V6Only,
    /// IPv4 if there is any, else IPv6.
    V4Preferred,
    All,
}

/// Endpoints that are new get less at first (`slow_start_config`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    pub window: Duration,
    /// 1: linear; above: faster at first.
    pub aggression: f64,
    /// Least share of the weight, 0 to 1.
    pub least: f64,
}

impl SlowStart {
    /// The share of its weight that an endpoint of this age has.
    pub fn share(&self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let passed = age.max(Duration::from_secs(1)).as_secs_f64() / self.window.as_secs_f64();
        passed.min(1.0).powf(1.0 / self.aggression).max(self.least)
    }
}

/// TCP keep-alive of upstream sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Keepalive {
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub probes: Option<u32>,
}

/// Which service a cluster stands for: the labels `destination_service*` of the metrics.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ServiceIdentity {
    pub host: Arc<str>,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
}

impl Default for ClusterSettings {
    /// A cluster without endpoints, with Envoy's defaults.
    fn default() -> Self {
        ClusterSettings {
            discovery: Discovery::Static,
            balance: Balance::RoundRobin,
            connect_timeout: Duration::from_secs(5),
            tls_matches: Vec::new(),
            tls: None,
            http: UpstreamHttp::Http1,
            h2: H2Options::default(),
            idle_timeout: Duration::from_secs(3600),
            max_connection_duration: Duration::ZERO,
            max_requests_per_connection: 0,
            bind: BindSource::default(),
            keepalive: None,
            tcp_peer_exchange: false,
            service: None,
            preserve_header_case: false,
            panic_threshold: 50,
            dns_refresh: Duration::from_secs(5),
            dns_family: DnsFamily::Auto,
            locality_weighted: false,
            slow_start: None,
        }
    }
}
