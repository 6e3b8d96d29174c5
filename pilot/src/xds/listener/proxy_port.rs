//! The HTTP proxy port: for applications that are told to use a proxy, where nothing is intercepted.
//!
//! In: a [`ProxyPort`] Input. Out: a Listener with the table of all services by name and port. Called by
//! `layers/proxy_port` through the memo.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::Listener;

use super::chain::{self, When};
use crate::xds::filters::{self, Common, Routes};
use crate::xds::names::{self, RouteName};

/// All that the listener may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyPort {
    pub address: IpAddr,
    pub port: u16,
    pub common: Common,
}

impl ProxyPort {
    /// The listener's name.
    pub fn name(&self) -> String {
        names::listener(self.address, self.port)
    }
}

/// Builds the listener.
pub fn build(input: &ProxyPort) -> Listener {
    let name = input.name();
    let direction = TrafficDirection::Outbound;
    let mut listener = chain::listener(&name, input.address, input.port, direction, &input.common.observe);
    let routes = Routes::Named(RouteName::HttpProxy.to_string());
    let manager = filters::http(&input.common, &RouteName::HttpProxy.to_string(), routes);
    listener.filter_chains.push(chain::chain("", When::default(), None, vec![manager]));
    listener
}
