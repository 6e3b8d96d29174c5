//! Cluster resources: `outbound|PORT|SUBSET|HOST`, `inbound|PORT||` and the three fixed ones.
//!
//! Comes in: one Input per cluster, with the effective policy already chosen. Goes out: a Cluster. Called by the
//! layers through the memo. TLS, balancing and health have their own files beside this one.

use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::{Thresholds, thresholds};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, Filter, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::{
    BindConfig, ExtraSourceAddress, SocketAddress, TcpKeepalive, socket_address,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use serde_json::{Value, json};

use super::{balance, outlier, protocol, tls};
use crate::model::endpoint::{Address, Endpoint};
use crate::model::hashed::Hashed;
use crate::model::mesh::OutboundDefaults;
use crate::model::policy::{Algorithm, Keepalive, Policy, Pool, RetryBudget};
use crate::model::service::{Port, Protocol, Resolution, Service};
use crate::xds::endpoint;
use crate::xds::names::ClusterName;
use crate::xds::proto::{ads, duration, metadata, uint32};
use crate::xds::view::Features;

/// All that an outbound cluster may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outbound {
    pub service: Hashed<Service>,
    /// Number of the service port.
    pub port: u16,
    pub subset: String,
    pub policy: Policy,
    /// Path of the DestinationRule, or empty.
    pub config: String,
    /// SPIFFE ids behind it.
    pub accounts: Option<Hashed<Vec<String>>>,
    /// Endpoints, where the cluster itself carries them (DNS).
    pub inline: Option<Hashed<Vec<Endpoint>>>,
    /// Every known endpoint takes mutual TLS (only asked where endpoints are not chosen by us).
    pub all_mutual: bool,
    pub mesh: OutboundDefaults,
    pub features: Features,
    /// Credentials of Secrets may be used (gateways).
    pub credentials: bool,
}

/// All that an inbound cluster may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// Port of the workload.
    pub port: u16,
    pub protocol: Protocol,
    /// Services behind which the workload stands: host, name, namespace.
    pub services: Vec<(String, String, String)>,
    pub pool: Option<Pool>,
    /// Where the application is; None: where the connection went to.
    pub to: Option<(Address, u16)>,
    pub connect_timeout: Duration,
    /// Say a source address of IPv6 too: Envoy does not leave it out by itself where it does not fit.
    pub both_families: bool,
}

impl Outbound {
    /// The name of the cluster.
    pub fn name(&self) -> ClusterName {
        ClusterName::outbound(self.port, &self.subset, &self.service.host)
    }

    /// How endpoints are found, with the policy taken into account.
    pub fn resolution(&self) -> Resolution {
        match self.policy.balance.as_ref().map(|b| &b.algorithm) {
            Some(Algorithm::Passthrough) => Resolution::Original,
            _ => self.service.resolution,
        }
    }

    /// The port of the service.
    pub fn service_port(&self) -> &Port {
        self.service.port(self.port).expect("inputs are made from the ports of the service")
    }
}

/// Builds an outbound cluster.
pub fn outbound(input: &Outbound) -> Cluster {
    let name = input.name();
    let port = input.service_port();
    let pool = input.policy.pool.clone().unwrap_or_default();
    let mut cluster = Cluster {
        name: name.to_string(),
        connect_timeout: Some(duration(pool.connect_timeout.unwrap_or(input.mesh.connect_timeout))),
        circuit_breakers: Some(breakers(&pool, input.policy.retry_budget)),
        metadata: Some(metadata(vec![("istio", describe(input))])),
        upstream_connection_options: keepalive(pool.keepalive.or(input.mesh.keepalive)),
        outlier_detection: input.policy.outlier.as_ref().map(outlier::detection),
        ..Default::default()
    };
    discovery(&mut cluster, input);
    balance::apply(&mut cluster, input);
    if let Some(options) = protocol::outbound(input, port, &pool) {
        cluster.typed_extension_protocol_options = HashMap::from([(protocol::KEY.to_owned(), options)]);
    }
    tls::apply(&mut cluster, input);
    if input.features.metadata_exchange && !port.protocol.is_http() && !input.service.external {
        cluster.filters.push(Filter {
            name: "istio.metadata_exchange".to_owned(),
            typed_config: Some(crate::xds::filters::metadata_exchange_tcp()),
            config_discovery: None,
        });
    }
    cluster
}

/// Type of the cluster and, for DNS, its endpoints.
fn discovery(cluster: &mut Cluster, input: &Outbound) {
    let kind = match input.resolution() {
        Resolution::Endpoints => {
            cluster.eds_cluster_config =
                Some(EdsClusterConfig { eds_config: Some(ads()), service_name: cluster.name.clone() });
            DiscoveryType::Eds
        }
        Resolution::Original => DiscoveryType::OriginalDst,
        resolution => {
            let endpoints = input.inline.as_deref().map(Vec::as_slice).unwrap_or_default();
            cluster.load_assignment = Some(endpoint::assignment(&cluster.name, endpoints, None));
            cluster.dns_lookup_family = DnsLookupFamily::V4Preferred as i32;
            dns(cluster, input);
            if resolution == Resolution::Dns { DiscoveryType::StrictDns } else { DiscoveryType::LogicalDns }
        }
    };
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind as i32));
}

#[expect(
    deprecated,
    reason = "the successor is a custom cluster type that stock clients other than Envoy lack"
)]
fn dns(cluster: &mut Cluster, input: &Outbound) {
    cluster.dns_refresh_rate = Some(duration(input.mesh.dns_refresh));
    cluster.respect_dns_ttl = true;
}

/// `filter_metadata.istio` of a cluster.
fn describe(input: &Outbound) -> Value {
    let service = &input.service;
    let mut value = json!({
        "services": [{ "host": service.host, "name": service.name, "namespace": service.namespace }],
        "default_original_port": input.port,
    });
    if !input.config.is_empty() {
        value["config"] = json!(input.config);
    }
    if !input.subset.is_empty() {
        value["subset"] = json!(input.subset);
    }
    value
}

fn breakers(pool: &Pool, budget: Option<RetryBudget>) -> CircuitBreakers {
    let limit = |value: Option<u32>| Some(uint32(value.unwrap_or(u32::MAX)));
    let budget = budget.map(|b| thresholds::RetryBudget {
        budget_percent: Some(Percent { value: b.percent as f64 / 1e6 }),
        min_retry_concurrency: Some(uint32(b.min_concurrency)),
        budget_interval: None,
    });
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: limit(pool.max_connections),
            max_pending_requests: limit(pool.max_pending_requests),
            max_requests: limit(pool.max_requests),
            max_retries: limit(pool.max_retries),
            retry_budget: budget,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn keepalive(setting: Option<Keepalive>) -> Option<UpstreamConnectionOptions> {
    let setting = setting?;
    let secs = |d: Option<Duration>| d.map(|d| uint32(u32::try_from(d.as_secs()).unwrap_or(u32::MAX)));
    Some(UpstreamConnectionOptions {
        tcp_keepalive: Some(TcpKeepalive {
            keepalive_probes: setting.probes.map(uint32),
            keepalive_time: secs(setting.time),
            keepalive_interval: secs(setting.interval),
        }),
        ..Default::default()
    })
}

/// Builds the cluster of a port of the workload itself. Its connections come from 127.0.0.6, which interception
/// lets through.
pub fn inbound(input: &Inbound) -> Cluster {
    let services: Vec<Value> = input
        .services
        .iter()
        .map(|(host, name, namespace)| json!({ "host": host, "name": name, "namespace": namespace }))
        .collect();
    let pool = input.pool.clone().unwrap_or_default();
    let mut cluster = original(
        ClusterName::Inbound { port: input.port },
        pool.connect_timeout.unwrap_or(input.connect_timeout),
    );
    cluster.circuit_breakers = Some(breakers(&pool, None));
    cluster.upstream_connection_options = keepalive(pool.keepalive);
    cluster.metadata = Some(metadata(vec![("istio", json!({ "services": services }))]));
    match &input.to {
        None => cluster.upstream_bind_config = Some(bind_loopback(input.both_families)),
        Some((address, port)) => {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32));
            cluster.lb_policy = LbPolicy::RoundRobin as i32;
            cluster.load_assignment = Some(endpoint::only(&cluster.name, address, *port));
        }
    }
    if let Some(options) = protocol::inbound(input.protocol, &pool) {
        cluster.typed_extension_protocol_options = HashMap::from([(protocol::KEY.to_owned(), options)]);
    }
    cluster
}

/// The clusters that every sidecar has: where the client wanted to go, and nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fixed {
    pub name: ClusterName,
    pub connect_timeout: Duration,
    pub both_families: bool,
}

/// Builds one of the fixed clusters.
pub fn fixed(input: &Fixed) -> Cluster {
    match &input.name {
        ClusterName::BlackHole => Cluster {
            name: input.name.to_string(),
            connect_timeout: Some(duration(input.connect_timeout)),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32)),
            ..Default::default()
        },
        name => {
            let inbound = *name == ClusterName::InboundPassthrough;
            let mut cluster = original(name.clone(), input.connect_timeout);
            cluster.circuit_breakers = Some(breakers(&Pool::default(), None));
            cluster.upstream_bind_config = inbound.then(|| bind_loopback(input.both_families));
            cluster.typed_extension_protocol_options =
                HashMap::from([(protocol::KEY.to_owned(), protocol::as_downstream(&Pool::default()))]);
            cluster
        }
    }
}

fn original(name: ClusterName, connect_timeout: Duration) -> Cluster {
    Cluster {
        name: name.to_string(),
        connect_timeout: Some(duration(connect_timeout)),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst as i32)),
        lb_policy: LbPolicy::ClusterProvided as i32,
        ..Default::default()
    }
}

fn bind_loopback(both_families: bool) -> BindConfig {
    let source = |address: &str| SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(0)),
        ..Default::default()
    };
    let other = ExtraSourceAddress { address: Some(source("::6")), socket_options: None };
    BindConfig {
        source_address: Some(source("127.0.0.6")),
        extra_source_addresses: both_families.then_some(other).into_iter().collect(),
        ..Default::default()
    }
}
