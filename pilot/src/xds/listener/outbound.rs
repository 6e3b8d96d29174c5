//! What a sidecar does with connections of its workload.
//!
//! `virtualOutbound` catches all of them and hands them to the listener of their destination: `0.0.0.0_PORT` for
//! HTTP, `VIP_PORT` for what has an address of its own.

use std::net::IpAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::Listener;

use super::chain::{self, ANY, PLAIN_HTTP, When};
use crate::xds::filters::{self, Common, Routes, TcpTarget};
use crate::xds::names::{self, ClusterName};
use crate::xds::proto::boolean;

/// Port of [`names::VIRTUAL_OUTBOUND`].
pub const PORT: u16 = 15001;

/// All that the catching listener may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Catch {
    /// Where everything goes that no listener takes.
    pub rest: ClusterName,
    pub common: Common,
}

/// Builds `virtualOutbound`.
pub fn catch(input: &Catch) -> Listener {
    let tcp =
        |cluster: ClusterName| filters::tcp(&input.common, &cluster.to_string(), &TcpTarget::one(&cluster));
    let observe = &input.common.observe;
    let mut listener =
        chain::listener(names::VIRTUAL_OUTBOUND, ANY, PORT, TrafficDirection::Outbound, observe);
    if input.common.ipv6 {
        chain::also_ipv6(&mut listener, PORT);
    }
    listener.use_original_dst = Some(boolean(true));
    listener.listener_filters = vec![chain::original_dst()];
    listener.filter_chains = vec![chain::chain(
        names::OUTBOUND_BLACKHOLE,
        When { port: Some(PORT), ..Default::default() },
        None,
        tcp(ClusterName::BlackHole),
    )];
    listener.default_filter_chain =
        Some(chain::chain(names::OUTBOUND_CATCHALL, When::default(), None, tcp(input.rest.clone())));
    listener
}

/// All that the listener of one destination may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outbound {
    /// None: any address.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// Route configuration, if HTTP is spoken or may be.
    pub http: Option<String>,
    /// Whether the first bytes decide between HTTP and the rest.
    pub sniffed: bool,
    /// TLS by server name.
    pub tls: Vec<ByName>,
    /// Opaque connections by address range.
    pub tcp: Vec<BySubnet>,
    /// Opaque connections otherwise.
    pub rest: Option<TcpTarget>,
    pub inspect_timeout: Duration,
    pub common: Common,
}

/// TLS connections with one of these server names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ByName {
    pub sni: Vec<String>,
    pub subnets: Vec<String>,
    pub to: TcpTarget,
}

/// Connections to one of these networks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BySubnet {
    pub subnets: Vec<String>,
    pub to: TcpTarget,
}

impl Outbound {
    /// The listener's name.
    pub fn name(&self) -> String {
        names::listener(self.address.unwrap_or(ANY), self.port)
    }
}

/// Builds the listener of one destination.
pub fn build(input: &Outbound) -> Listener {
    let name = input.name();
    let common = &input.common;
    let address = input.address.unwrap_or(ANY);
    let mut listener =
        chain::listener(&name, address, input.port, TrafficDirection::Outbound, &common.observe);
    if common.ipv6 && input.address.is_none() {
        chain::also_ipv6(&mut listener, input.port);
    }
    chain::unbound(&mut listener);
    let tcp = |target: &TcpTarget| filters::tcp(common, &stat_prefix(target), target);
    for by_name in &input.tls {
        let when =
            When { transport: "tls", sni: &by_name.sni, subnets: &by_name.subnets, ..Default::default() };
        listener.filter_chains.push(chain::chain("", when, None, tcp(&by_name.to)));
    }
    for by_subnet in &input.tcp {
        let when = When { subnets: &by_subnet.subnets, ..Default::default() };
        listener.filter_chains.push(chain::chain("", when, None, tcp(&by_subnet.to)));
    }
    if let Some(routes) = &input.http {
        let manager = filters::http(common, &format!("outbound_{name}"), Routes::Named(routes.clone()));
        let alpn: &[&str] = if input.sniffed { &PLAIN_HTTP } else { &[] };
        let transport = if input.sniffed { "raw_buffer" } else { "" };
        let when = When { alpn, transport, ..Default::default() };
        let http = chain::chain("", when, None, vec![manager]);
        if input.sniffed {
            listener.filter_chains.push(http);
        } else {
            listener.default_filter_chain = Some(http);
        }
    }
    if let Some(target) = input.rest.as_ref().filter(|_| listener.default_filter_chain.is_none()) {
        listener.default_filter_chain = Some(chain::chain("", When::default(), None, tcp(target)));
    }
    // Envoy wants at least one chain that is not the default.
    if listener.filter_chains.is_empty() {
        listener.filter_chains.extend(listener.default_filter_chain.take());
    }
    if input.sniffed || !input.tls.is_empty() {
        listener.listener_filters.push(chain::tls_inspector());
    }
    if input.sniffed {
        listener.listener_filters.push(chain::http_inspector());
    }
    if !listener.listener_filters.is_empty() {
        chain::inspect(&mut listener, input.inspect_timeout);
    }
    listener
}

/// Connections are counted by where they go.
pub fn stat_prefix(target: &TcpTarget) -> String {
    match &target.clusters[..] {
        [(only, _)] => only.clone(),
        many => many.first().map_or_else(String::new, |(name, _)| name.clone()),
    }
}
