//! A listener: where connections come from, how much is looked at before a chain is chosen, and the chains.
//!
//! Made by `compile::listener`, read by `listen`. Plain data.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{AccessLog, Chain};

/// Which way the traffic of a listener flows, seen from the workload (`Listener.traffic_direction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    #[default]
    Unspecified,
    Inbound,
    Outbound,
}

/// One listener (`envoy.config.listener.v3.Listener`).
#[derive(Debug)]
pub struct Listener {
    pub name: Arc<str>,
    /// First the main address, then `additional_addresses`.
    pub addresses: Vec<SocketAddr>,
    /// False: no socket of its own, reached through `use_original_dst` of another (`bind_to_port`).
    pub bind: bool,
    /// Its socket takes connections to other addresses than its own (`transparent`, TPROXY); needs `CAP_NET_ADMIN`.
    pub transparent: bool,
    /// Hand a connection to the listener of its original destination (`use_original_dst`).
    pub hand_over: bool,
    pub direction: Direction,
    /// Listener filters, in the closed set that we know.
    pub inspect: Inspect,
    /// How long listener filters may wait for bytes; zero: for ever. Default 15 s (`listener_filters_timeout`).
    pub inspect_timeout: Duration,
    /// After that time go on with what is known instead of closing (`continue_on_listener_filters_timeout`).
    pub inspect_continue: bool,
    /// In order of configuration; `listen::chain` chooses by Envoy's specificity order.
    pub chains: Vec<Arc<Chain>>,
    pub default_chain: Option<Arc<Chain>>,
    /// Written for connections that match no chain, among others (`access_log`).
    pub access_logs: Vec<Arc<AccessLog>>,
    /// Hash of the resource version; equal means the same bytes.
    pub version: Arc<str>,
}

/// The listener filters that are switched on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Inspect {
    /// `envoy.filters.listener.original_dst`
    pub original_dst: bool,
    /// `envoy.filters.listener.original_src`, with the mark of connections upstream
    pub original_src: Option<u32>,
    /// `envoy.filters.listener.tls_inspector`
    pub tls: bool,
    /// `envoy.filters.listener.http_inspector`
    pub http: bool,
    /// `envoy.filters.listener.proxy_protocol`
    pub proxy_protocol: bool,
    /// Destination ports where `tls` is off (`filter_disabled`).
    pub tls_off: Vec<Range<u16>>,
    /// Destination ports where `http` is off (`filter_disabled`).
    pub http_off: Vec<Range<u16>>,
}

impl Inspect {
    /// Whether the first bytes of connections to this port tell TLS from the rest.
    pub fn tls_at(&self, port: u16) -> bool {
        self.tls && !self.tls_off.iter().any(|range| range.contains(&port))
    }

    /// Whether the first bytes of connections to this port tell HTTP from the rest.
    pub fn http_at(&self, port: u16) -> bool {
        self.http && !self.http_off.iter().any(|range| range.contains(&port))
    }
}
