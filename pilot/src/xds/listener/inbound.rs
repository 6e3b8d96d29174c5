//! What a sidecar does with connections to its workload: `virtualInbound` with all its chains.
//!
//! Mutual TLS by the mode of each port; HTTP or opaque by its protocol; ports that no service declares follow the
//! mode of the workload and are sniffed. This is the one listener of a sidecar that is its own.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
    listener_filter_chain_match_predicate::MatchSet,
};
use envoy_types::pb::envoy::r#type::v3::Int32Range;

use super::chain::{self, ANY, PLAIN_HTTP, When};
use crate::model::identity::Mode;
use crate::model::service::Protocol;
use crate::xds::filters::{self, Common, Routes, TcpTarget};
use crate::xds::names::{self, ClusterName, RouteName};
use crate::xds::proto::boolean;
use crate::xds::route::config;
use crate::xds::tls;

/// Port of [`names::VIRTUAL_INBOUND`].
pub const PORT: u16 = 15006;
/// How a client of the mesh announces opaque bytes.
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
/// How a client of the mesh announces HTTP.
const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// The same between two of our own proxies.
const MESH_HTTP_OWN: [&str; 4] = ["mesh-h2", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// What our own proxy agrees to on HTTP chains, the best first.
const AGREE_OWN: [&str; 6] = ["mesh-h2", "istio-h2", "istio-http/1.1", "istio-http/1.0", "h2", "http/1.1"];
/// What Envoy agrees to: it takes the version from these two names alone.
const AGREE: [&str; 2] = ["h2", "http/1.1"];

/// All that the inbound listener may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// Declared ports, by number.
    pub ports: Vec<InboundPort>,
    /// Mode of all other ports.
    pub mode: Mode,
    /// Its socket is transparent, and the workload sees its clients' addresses.
    pub transparent: bool,
    pub inspect_timeout: Duration,
    pub common: Common,
}

/// One declared port of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboundPort {
    pub port: u16,
    pub protocol: Protocol,
    pub mode: Mode,
    /// `HOST:SERVICEPORT/*`, the name of its spans.
    pub operation: String,
}

/// What a chain does once TLS is settled.
struct Service<'a> {
    /// None: ports that nobody declared.
    port: Option<u16>,
    http_name: String,
    tcp_name: String,
    http: Option<Filter>,
    tcp: Vec<Filter>,
    protocol: Protocol,
    /// How clients of the mesh announce HTTP.
    alpn: &'a [&'a str],
    /// What is agreed to on HTTP chains.
    agree_http: &'a [&'a str],
    /// What is agreed to on opaque chains: whoever agrees to the exchange must do it.
    agree_tcp: Vec<&'a str>,
}

/// Builds `virtualInbound`.
pub fn build(input: &Inbound) -> Listener {
    let common = &input.common;
    let mut listener =
        chain::listener(names::VIRTUAL_INBOUND, ANY, PORT, TrafficDirection::Inbound, &common.observe);
    if common.ipv6 {
        chain::also_ipv6(&mut listener, PORT);
    }
    let quiet: Vec<u16> = input
        .ports
        .iter()
        .filter(|p| p.mode == Mode::Disable && !p.protocol.is_http() && p.protocol != Protocol::Unknown)
        .map(|p| p.port)
        .collect();
    listener.listener_filters = vec![
        chain::original_dst(),
        skipping(chain::tls_inspector(), &quiet),
        skipping(chain::http_inspector(), &quiet),
    ];
    if input.transparent {
        listener.transparent = Some(boolean(true));
        listener.listener_filters.insert(1, chain::original_src());
    }
    chain::inspect(&mut listener, input.inspect_timeout);
    let blackhole = ClusterName::BlackHole;
    listener.filter_chains.push(chain::chain(
        names::INBOUND_BLACKHOLE,
        When { port: Some(PORT), ..Default::default() },
        None,
        filters::tcp(common, &blackhole.to_string(), &TcpTarget::one(&blackhole)),
    ));
    let alpn: &[&str] = if common.features.mesh_h2 { &MESH_HTTP_OWN } else { &MESH_HTTP };
    for port in &input.ports {
        chains(&mut listener.filter_chains, &declared(port, common, alpn), port.mode);
    }
    chains(&mut listener.filter_chains, &undeclared(common, alpn), input.mode);
    listener
}

fn declared<'a>(port: &InboundPort, common: &Common, alpn: &'a [&'a str]) -> Service<'a> {
    let cluster = ClusterName::Inbound { port: port.port };
    let name = names::listener(ANY, port.port);
    let may_be_http = port.protocol.is_http() || port.protocol == Protocol::Unknown;
    let http = may_be_http.then(|| {
        let routes = config::inbound(
            &RouteName::Inbound(port.port).to_string(),
            &cluster,
            &port.operation,
            port.protocol,
        );
        filters::http(common, &format!("inbound_{name}"), Routes::Inline(Box::new(routes)))
    });
    Service {
        port: Some(port.port),
        http,
        tcp: filters::tcp(common, &cluster.to_string(), &TcpTarget::one(&cluster)),
        http_name: name.clone(),
        tcp_name: name,
        protocol: port.protocol,
        alpn,
        agree_http: agree_http(common),
        agree_tcp: agree_tcp(common),
    }
}

fn undeclared<'a>(common: &Common, alpn: &'a [&'a str]) -> Service<'a> {
    let cluster = ClusterName::InboundPassthrough;
    let routes = config::inbound(&cluster.to_string(), &cluster, ":0/*", Protocol::Unknown);
    Service {
        port: None,
        http: Some(filters::http(common, &cluster.to_string(), Routes::Inline(Box::new(routes)))),
        tcp: filters::tcp(common, &cluster.to_string(), &TcpTarget::one(&cluster)),
        http_name: names::INBOUND_CATCHALL_HTTP.to_owned(),
        tcp_name: names::VIRTUAL_INBOUND.to_owned(),
        protocol: Protocol::Unknown,
        alpn,
        agree_http: agree_http(common),
        agree_tcp: agree_tcp(common),
    }
}

fn agree_http(common: &Common) -> &'static [&'static str] {
    if common.features.own() { &AGREE_OWN } else { &AGREE }
}

fn agree_tcp(common: &Common) -> Vec<&'static str> {
    let exchange = common.features.metadata_exchange.then_some(MESH_TCP[0]);
    let rest: &[&str] = if common.features.own() { &MESH_TCP[1..] } else { &AGREE };
    exchange.into_iter().chain(rest.iter().copied()).collect()
}

/// The chains of one port: TLS of the mesh, TLS of the application, plain; HTTP and opaque of each.
fn chains(out: &mut Vec<FilterChain>, service: &Service<'_>, mode: Mode) {
    let port = service.port;
    let all: Vec<&str> = service.alpn.iter().copied().chain(MESH_TCP).collect();
    let mut http = |when: When<'_>, mutual: bool| {
        let filters = service.http.iter().cloned().collect();
        let tls = mutual.then(|| tls::mesh_server(service.agree_http));
        out.push(chain::chain(&service.http_name, When { port, ..when }, tls.as_ref(), filters));
    };
    let sniffed = service.protocol == Protocol::Unknown;
    let is_http = service.protocol.is_http();
    // HTTP first: declared, or recognised.
    if mode != Mode::Disable && (is_http || sniffed) {
        let alpn: &[&str] = match (sniffed, mode) {
            (true, _) => service.alpn,
            // Whoever gets through a strict handshake is of the mesh.
            (false, Mode::Strict) => &[],
            (false, _) => &all,
        };
        http(When { transport: "tls", alpn, ..Default::default() }, true);
    }
    let raw = if mode == Mode::Disable { "" } else { "raw_buffer" };
    if mode != Mode::Strict && is_http {
        http(When { transport: raw, ..Default::default() }, false);
    }
    if mode != Mode::Strict && sniffed {
        http(When { transport: raw, alpn: &PLAIN_HTTP, ..Default::default() }, false);
    }
    let mut tcp = |when: When<'_>, mutual: bool| {
        let tls = mutual.then(|| tls::mesh_server(&service.agree_tcp));
        out.push(chain::chain(&service.tcp_name, When { port, ..when }, tls.as_ref(), service.tcp.clone()));
    };
    if !is_http {
        match (mode, sniffed) {
            (Mode::Strict, _) => tcp(When { transport: "tls", ..Default::default() }, true),
            (Mode::Permissive, true) => {
                tcp(When { transport: "tls", alpn: &MESH_TCP, ..Default::default() }, true)
            }
            (Mode::Permissive, false) => {
                tcp(When { transport: "tls", alpn: &all, ..Default::default() }, true)
            }
            (Mode::Disable, _) => {}
        }
        if mode != Mode::Strict {
            tcp(When { transport: raw, ..Default::default() }, false);
        }
    }
    if mode == Mode::Permissive {
        // TLS that is not ours is the application's.
        tcp(When { transport: "tls", ..Default::default() }, false);
    }
}

/// Ports where the server speaks first and nothing needs to be known must not wait for bytes.
fn skipping(mut filter: ListenerFilter, ports: &[u16]) -> ListenerFilter {
    let rule = |port: &u16| ListenerFilterChainMatchPredicate {
        rule: Some(Rule::DestinationPortRange(Int32Range {
            start: (*port).into(),
            end: i32::from(*port) + 1,
        })),
    };
    filter.filter_disabled = match ports {
        [] => None,
        [only] => Some(rule(only)),
        many => Some(ListenerFilterChainMatchPredicate {
            rule: Some(Rule::OrMatch(MatchSet { rules: many.iter().map(rule).collect() })),
        }),
    };
    filter
}
