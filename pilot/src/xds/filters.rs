//! The filters of a chain: HTTP filters in their one order, network filters, and the connection manager.
//!
//! Comes in: a direction, where the routes are, what is observed and what the client can load. Goes out: network
//! filters. Called by every listener builder. Filters of Istio go only to clients that list them.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Http1ProtocolOptions;
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::Cors;
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::HttpFault;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
    http_connection_manager::{
        ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
        SetCurrentClientCertDetails, UpgradeConfig,
    },
    http_filter::ConfigType,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy,
    tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
};
use envoy_types::pb::envoy::r#type::v3::{HashPolicy, hash_policy};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use serde_json::json;

use super::observe;
use super::proto::{ads, any, boolean, duration, secs, typed_struct};
use super::view::Features;
use crate::model::mesh::{Observe, Paths};

/// Filter that limits and delays requests; its per-route config has the same key.
pub const FAULT: &str = "envoy.filters.http.fault";
/// Filter of cross-origin rules; its per-route config has the same key.
pub const CORS: &str = "envoy.filters.http.cors";

/// Which way a chain faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Outbound,
    Inbound,
    Gateway,
}

/// Where the routes of a connection manager are.
#[derive(Clone, Debug, PartialEq)]
pub enum Routes {
    /// By name, over ADS.
    Named(String),
    Inline(Box<RouteConfiguration>),
}

/// Settings that all chains of a listener share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Common {
    pub direction: Direction,
    pub observe: Observe,
    pub paths: Paths,
    pub features: Features,
    pub http10: bool,
    /// Bind to IPv6 beside IPv4.
    pub ipv6: bool,
}

/// The HTTP connection manager with its filters.
pub fn http(common: &Common, stat_prefix: &str, routes: Routes) -> Filter {
    let inbound = common.direction == Direction::Inbound;
    let gateway = common.direction == Direction::Gateway;
    let mut manager = HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        http_filters: http_filters(common),
        route_specifier: Some(match routes {
            Routes::Named(name) => {
                RouteSpecifier::Rds(Rds { config_source: Some(ads()), route_config_name: name })
            }
            Routes::Inline(config) => RouteSpecifier::RouteConfig(*config),
        }),
        access_log: observe::access_logs(&common.observe),
        tracing: common.observe.tracing.as_ref().map(observe::tracing),
        use_remote_address: Some(boolean(gateway)),
        server_name: "istio-envoy".to_owned(),
        server_header_transformation: if common.direction == Direction::Outbound {
            ServerHeaderTransformation::PassThrough as i32
        } else {
            ServerHeaderTransformation::Overwrite as i32
        },
        stream_idle_timeout: Some(secs(0)),
        proxy_100_continue: true,
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() }],
        http_protocol_options: common
            .http10
            .then(|| Http1ProtocolOptions { accept_http_10: true, ..Default::default() }),
        ..Default::default()
    };
    if inbound || gateway {
        let forward = if inbound {
            ForwardClientCertDetails::AppendForward
        } else {
            ForwardClientCertDetails::SanitizeSet
        };
        manager.forward_client_cert_details = forward as i32;
        manager.set_current_client_cert_details = Some(SetCurrentClientCertDetails {
            subject: Some(boolean(true)),
            dns: true,
            uri: true,
            ..Default::default()
        });
        normalise(&mut manager, common.paths);
    }
    network("envoy.filters.network.http_connection_manager", &manager)
}

/// `pathNormalization` of the mesh.
fn normalise(manager: &mut HttpConnectionManager, paths: Paths) {
    manager.normalize_path = Some(boolean(paths != Paths::Verbatim));
    manager.merge_slashes = matches!(paths, Paths::MergeSlashes | Paths::DecodeAndMergeSlashes);
    if paths == Paths::DecodeAndMergeSlashes {
        manager.path_with_escaped_slashes_action = PathWithEscapedSlashesAction::UnescapeAndForward as i32;
    }
}

/// The one order of HTTP filters.
fn http_filters(common: &Common) -> Vec<HttpFilter> {
    let mut filters = Vec::new();
    let features = &common.features;
    if features.metadata_exchange {
        filters.push(http_filter("istio.metadata_exchange", metadata_exchange_http(common.direction)));
    }
    if features.alpn && common.direction != Direction::Inbound {
        filters.push(http_filter("istio.alpn", alpn(features.mesh_h2)));
    }
    filters.push(http_filter(CORS, any(&Cors {})));
    filters.push(http_filter(FAULT, any(&HttpFault::default())));
    if features.stats {
        filters.push(http_filter("istio.stats", stats(common.direction)));
    }
    filters.push(router());
    filters
}

/// The filter that ends every HTTP chain.
pub fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", any(&Router::default()))
}

/// An HTTP filter by its extension name.
pub fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn metadata_exchange_http(direction: Direction) -> Any {
    let discover = json!([{ "istio_headers": {} }, { "workload_discovery": {} }]);
    let propagate = json!([{ "istio_headers": {} }]);
    let value = match direction {
        Direction::Outbound => json!({ "upstream_discovery": discover, "upstream_propagation": propagate }),
        Direction::Inbound => {
            json!({ "downstream_discovery": discover, "downstream_propagation": propagate })
        }
        // Nobody outside of the mesh introduces itself to a gateway, and none of it may get out.
        Direction::Gateway => json!({ "upstream_discovery": discover, "upstream_propagation": propagate }),
    };
    typed_struct("type.googleapis.com/io.istio.http.peer_metadata.Config", value)
}

/// Peer metadata on TCP: the network filter and the filter of clusters are the same.
pub fn metadata_exchange_tcp() -> Any {
    typed_struct(
        "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
        json!({ "protocol": "istio-peer-exchange" }),
    )
}

fn alpn(mesh_h2: bool) -> Any {
    let own: &[&str] = if mesh_h2 { &["mesh-h2"] } else { &[] };
    let list = |rest: [&'static str; 3]| own.iter().copied().chain(rest).collect::<Vec<_>>();
    typed_struct(
        "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
        json!({ "alpn_override": [
            { "upstream_protocol": "HTTP11", "alpn_override": list(["istio-http/1.1", "istio", "http/1.1"]) },
            { "upstream_protocol": "HTTP2", "alpn_override": list(["istio-h2", "istio", "h2"]) },
        ] }),
    )
}

fn stats(direction: Direction) -> Any {
    let value =
        if direction == Direction::Gateway { json!({ "reporter": "SERVER_GATEWAY" }) } else { json!({}) };
    typed_struct("type.googleapis.com/stats.PluginConfig", value)
}

/// What opaque connections are forwarded to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpTarget {
    /// Clusters and weights; one alone gets everything.
    pub clusters: Vec<(String, u32)>,
    /// Same client address, same endpoint.
    pub hash_source: bool,
    pub idle_timeout: Option<Duration>,
}

impl TcpTarget {
    /// Everything to one cluster.
    pub fn one(cluster: impl ToString) -> Self {
        TcpTarget { clusters: vec![(cluster.to_string(), 1)], ..Default::default() }
    }
}

/// The network filters of an opaque chain.
pub fn tcp(common: &Common, stat_prefix: &str, target: &TcpTarget) -> Vec<Filter> {
    let mut filters = Vec::new();
    // A gateway's clients are outside of the mesh and say nothing of themselves before the data.
    if common.features.metadata_exchange && common.direction != Direction::Gateway {
        filters.push(network_any("istio.metadata_exchange", metadata_exchange_tcp()));
    }
    if common.features.stats {
        filters.push(network_any("istio.stats", stats(common.direction)));
    }
    let specifier = match &target.clusters[..] {
        [(only, _)] => ClusterSpecifier::Cluster(only.clone()),
        many => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: many
                .iter()
                .filter(|(_, weight)| *weight > 0)
                .map(|(name, weight)| ClusterWeight {
                    name: name.clone(),
                    weight: *weight,
                    metadata_match: None,
                })
                .collect(),
        }),
    };
    let hash = hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp {});
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(specifier),
        access_log: observe::access_logs(&common.observe),
        idle_timeout: target.idle_timeout.map(duration),
        hash_policy: target
            .hash_source
            .then_some(HashPolicy { policy_specifier: Some(hash) })
            .into_iter()
            .collect(),
        ..Default::default()
    };
    filters.push(network("envoy.filters.network.tcp_proxy", &proxy));
    filters
}

fn network<M: Message + Name>(name: &str, config: &M) -> Filter {
    network_any(name, any(config))
}

fn network_any(name: &str, config: Any) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(config)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_path_normalization_says() {
        let keep = PathWithEscapedSlashesAction::ImplementationSpecificDefault;
        let decode = PathWithEscapedSlashesAction::UnescapeAndForward;
        for (paths, normalize, merge, escaped) in [
            (Paths::Verbatim, false, false, keep),
            (Paths::Base, true, false, keep),
            (Paths::MergeSlashes, true, true, keep),
            (Paths::DecodeAndMergeSlashes, true, true, decode),
        ] {
            let mut manager = HttpConnectionManager::default();
            normalise(&mut manager, paths);
            assert_eq!(manager.normalize_path, Some(boolean(normalize)), "{paths:?}");
            assert_eq!(manager.merge_slashes, merge, "{paths:?}");
            assert_eq!(manager.path_with_escaped_slashes_action(), escaped, "{paths:?}");
        }
    }
}
