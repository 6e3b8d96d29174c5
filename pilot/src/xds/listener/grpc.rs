//! Listeners for clients without a proxy: gRPC resolves `xds:///HOST:PORT` to a listener of that name.
//!
//! In: a [`Grpc`] Input. Out: a Listener with an `api_listener` whose connection manager names its table. Called by
//! `layers/grpc` through the memo.

use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds, http_connection_manager::RouteSpecifier,
};

use crate::xds::filters;
use crate::xds::names::RouteName;
use crate::xds::proto::{ads, any};

/// All that such a listener may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grpc {
    pub host: String,
    pub port: u16,
}

impl Grpc {
    /// Name of the listener and of its route configuration.
    pub fn name(&self) -> RouteName {
        RouteName::Service { host: self.host.clone(), port: self.port }
    }
}

/// Builds the listener.
pub fn build(input: &Grpc) -> Listener {
    let name = input.name().to_string();
    let manager = HttpConnectionManager {
        stat_prefix: name.clone(),
        http_filters: vec![filters::router()],
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: name.clone(),
        })),
        ..Default::default()
    };
    Listener {
        name,
        api_listener: Some(ApiListener { api_listener: Some(any(&manager)) }),
        ..Default::default()
    }
}
