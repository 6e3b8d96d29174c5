//! Pieces of listeners: chain matches, listener filters, the skeleton of a listener.
//!
//! In: conditions and filters of a chain. Out: Envoy's messages. Used by the four builders beside it, so that a
//! condition is written in one way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{CidrRange, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
    listener_filter::ConfigType,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::original_src::v3::OriginalSrc;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use envoy_types::pb::google::protobuf::Any;
use ipnet::IpNet;

use crate::model::mesh::Observe;
use crate::xds::cluster::tls::socket as transport_socket;
use crate::xds::observe;
use crate::xds::proto::{any, boolean, duration, socket, uint32};

/// What `http_inspector` calls plain HTTP.
pub(super) const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];
/// Any address of IPv4.
pub(super) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Conditions of a chain; empty means anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct When<'a> {
    pub port: Option<u16>,
    /// `tls` or `raw_buffer`.
    pub transport: &'a str,
    pub alpn: &'a [&'a str],
    pub sni: &'a [String],
    pub subnets: &'a [String],
}

impl When<'_> {
    fn build(&self) -> Option<FilterChainMatch> {
        let text = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        let found = FilterChainMatch {
            destination_port: self.port.map(|p| uint32(p.into())),
            transport_protocol: self.transport.to_owned(),
            application_protocols: text(self.alpn),
            // "Any name" is said by saying none.
            server_names: self.sni.iter().filter(|name| *name != "*").cloned().collect(),
            prefix_ranges: self.subnets.iter().filter_map(|s| range(s)).collect(),
            ..Default::default()
        };
        (found != FilterChainMatch::default()).then_some(found)
    }
}

/// A network or a single address.
fn range(text: &str) -> Option<CidrRange> {
    let net: IpNet = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(CidrRange {
        address_prefix: net.network().to_string(),
        prefix_len: Some(uint32(net.prefix_len().into())),
    })
}

/// A chain.
pub(super) fn chain(
    name: &str,
    when: When<'_>,
    tls: Option<&DownstreamTlsContext>,
    filters: Vec<Filter>,
) -> FilterChain {
    FilterChain {
        name: name.to_owned(),
        filter_chain_match: when.build(),
        transport_socket: tls.map(|context| transport_socket("envoy.transport_sockets.tls", any(context))),
        filters,
        ..Default::default()
    }
}

/// A listener without chains.
pub(super) fn listener(
    name: &str,
    address: IpAddr,
    port: u16,
    direction: TrafficDirection,
    observe: &Observe,
) -> Listener {
    Listener {
        name: name.to_owned(),
        address: Some(socket(address, port)),
        traffic_direction: direction as i32,
        access_log: observe::listener_logs(observe),
        ..Default::default()
    }
}

/// Any address of IPv6 too.
pub(super) fn also_ipv6(listener: &mut Listener, port: u16) {
    listener.additional_addresses = vec![AdditionalAddress {
        address: Some(socket(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        ..Default::default()
    }];
}

/// Waits for the first bytes this long; zero: as long as it takes.
pub(super) fn inspect(listener: &mut Listener, timeout: Duration) {
    listener.listener_filters_timeout = Some(duration(timeout));
    listener.continue_on_listener_filters_timeout = true;
}

/// A listener that only gets connections handed over.
pub(super) fn unbound(listener: &mut Listener) {
    listener.bind_to_port = Some(boolean(false));
}

pub(super) fn original_dst() -> ListenerFilter {
    filter("envoy.filters.listener.original_dst", any(&OriginalDst {}))
}

/// Connections to the workload take over the address of their client. The mark is the one by which the pod's rules let
/// the answers find back.
pub(super) fn original_src() -> ListenerFilter {
    filter("envoy.filters.listener.original_src", any(&OriginalSrc { mark: 1337, ..Default::default() }))
}

pub(super) fn tls_inspector() -> ListenerFilter {
    filter("envoy.filters.listener.tls_inspector", any(&TlsInspector::default()))
}

pub(super) fn http_inspector() -> ListenerFilter {
    filter("envoy.filters.listener.http_inspector", any(&HttpInspector {}))
}

fn filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
