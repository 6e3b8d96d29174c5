//! What a gateway listens on: `0.0.0.0_PORT` with one chain for plain HTTP, and one per TLS server.
//!
//! In: a [`Gateway`] Input: port, chains, what is behind each. Out: a Listener. Called by `layers/gateway` through the
//! memo.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::Listener;

use super::chain::{self, ANY, When};
use super::outbound::stat_prefix;
use crate::model::gateway::ServerTls;
use crate::xds::filters::{self, Common, Routes, TcpTarget};
use crate::xds::names;
use crate::xds::proto::secs;
use crate::xds::tls;

/// TLS handshakes may take this long, in seconds.
const HANDSHAKE: u64 = 15;

/// All that a listener of a gateway may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Port of the pod.
    pub port: u16,
    pub chains: Vec<Chain>,
    pub inspect_timeout: Duration,
    pub common: Common,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Server names; empty: any. Only with TLS.
    pub sni: Vec<String>,
    /// Terminate TLS here.
    pub tls: Option<ServerTls>,
    pub to: To,
}

/// What is behind a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// A route configuration.
    Http(String),
    /// TLS passed through, by server name.
    Sni(TcpTarget),
    /// Opaque.
    Tcp(TcpTarget),
}

/// Builds the listener.
pub fn build(input: &Gateway) -> Listener {
    let name = names::listener(ANY, input.port);
    let common = &input.common;
    let mut listener = chain::listener(&name, ANY, input.port, TrafficDirection::Outbound, &common.observe);
    if common.ipv6 {
        chain::also_ipv6(&mut listener, input.port);
    }
    let prefix = format!("outbound_{name}");
    for one in &input.chains {
        let encrypted = one.tls.is_some() || matches!(one.to, To::Sni(_));
        let when =
            When { sni: &one.sni, transport: if encrypted { "tls" } else { "" }, ..Default::default() };
        let filters = match &one.to {
            To::Http(routes) => vec![filters::http(common, &prefix, Routes::Named(routes.clone()))],
            To::Sni(target) | To::Tcp(target) => filters::tcp(common, &stat_prefix(target), target),
        };
        let alpn: &[&str] = if matches!(one.to, To::Http(_)) { &["h2", "http/1.1"] } else { &[] };
        let context = one.tls.as_ref().map(|setting| tls::gateway_server(setting, alpn));
        let mut chain = chain::chain("", when, context.as_ref(), filters);
        if encrypted {
            chain.transport_socket_connect_timeout = one.tls.as_ref().map(|_| secs(HANDSHAKE));
            if listener.listener_filters.is_empty() {
                listener.listener_filters.push(chain::tls_inspector());
            }
        }
        listener.filter_chains.push(chain);
    }
    if !listener.listener_filters.is_empty() {
        chain::inspect(&mut listener, input.inspect_timeout);
    }
    listener
}
