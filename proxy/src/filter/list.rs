//! `Filter`: every HTTP filter a chain may hold. An enum and not a trait object: the set is closed and in order.
//!
//! Made by `compile::filter`, in the order of the chain. Read by `run` for the request's side, and by those who own a
//! filter's place in the pipeline (peer metadata, ALPN, stats).

use std::sync::Arc;
use std::time::Duration;

use super::Rbac;
use crate::config::{HeaderMatch, TextMatch};

/// One HTTP filter of a listener's chain, in order of configuration.
#[derive(Debug, Clone)]
pub enum Filter {
    /// `istio.metadata_exchange`
    PeerMetadata(Arc<PeerMetadata>),
    /// `istio.alpn`
    Alpn(Arc<AlpnOverride>),
    /// `envoy.filters.http.fault`; settings of the listener, overlaid per route.
    Fault(Option<Arc<Fault>>),
    /// `envoy.filters.http.cors`
    Cors,
    /// `envoy.filters.http.rbac`
    Rbac(Arc<Rbac>),
    /// `istio.stats`
    Stats { server: bool },
    /// `envoy.filters.http.grpc_stats`
    GrpcStats,
}

/// Which peer metadata is read and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerMetadata {
    /// Read `x-envoy-peer-metadata` of requests.
    pub downstream_discovery: bool,
    /// Read it from responses.
    pub upstream_discovery: bool,
    /// Answer it in responses, only to who sent its own.
    pub downstream_propagation: bool,
    /// Send ours with requests.
    pub upstream_propagation: bool,
}

/// ALPN lists of mutual-TLS upstreams by HTTP version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlpnOverride {
    pub http10: Vec<Arc<str>>,
    pub http11: Vec<Arc<str>>,
    pub http2: Vec<Arc<str>>,
}

/// Delay and abort (`HTTPFault`); percentages in parts of 1 000 000.
#[derive(Debug, Clone)]
pub struct Fault {
    pub delay: Option<(Duration, u32)>,
    pub abort_status: Option<(http::StatusCode, u32)>,
    pub abort_grpc: Option<(u16, u32)>,
    pub headers: Vec<HeaderMatch>,
    /// Delay and abort only towards this cluster.
    pub upstream_cluster: Option<Arc<str>>,
}

/// CORS policy of a route (`CorsPolicy`).
#[derive(Debug, Clone)]
pub struct Cors {
    pub origins: Vec<TextMatch>,
    pub allow_methods: Arc<str>,
    pub allow_headers: Arc<str>,
    pub expose_headers: Arc<str>,
    /// Seconds, as text; empty: header not sent.
    pub max_age: Arc<str>,
    pub allow_credentials: bool,
    /// `forward_not_matching_preflights`, default true.
    pub forward_not_matching_preflights: bool,
    /// `filter_enabled` in parts of 1 000 000.
    pub enabled: u32,
}
