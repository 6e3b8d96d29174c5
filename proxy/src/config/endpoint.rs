//! The endpoints of one cluster, as the balancer wants them: by priority, healthy first, weights summed.
//!
//! Made by `compile::endpoint`, swapped whole in the `Live` of its cluster, read by `balance`. Not part of the Config:
//! endpoints change without one.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::cluster::EndpointState;

/// One endpoint. The live `state` survives a new set when the address is the same.
#[derive(Debug)]
pub struct Endpoint {
    pub address: EndpointAddress,
    /// Relative, at least 1.
    pub weight: u32,
    pub healthy: bool,
    /// `envoy.transport_socket_match` labels.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Of the workload behind it (`filter_metadata.istio.workload`): name;namespace;canonical;revision;cluster.
    pub workload: Option<Arc<str>>,
    /// `hostname` of the endpoint, used for the Host header and DNS.
    pub hostname: Arc<str>,
    /// Index into the cluster's `tls_matches` that applies, or none: the cluster's default transport.
    pub tls_match: Option<usize>,
    pub locality: Arc<str>,
    pub state: Arc<EndpointState>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    Ip(SocketAddr),
    Pipe(Arc<str>),
}

/// Endpoints of one locality within a priority.
#[derive(Debug)]
pub struct LocalityGroup {
    pub locality: Arc<str>,
    pub weight: u32,
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// All endpoints of a cluster; immutable.
#[derive(Debug, Default)]
pub struct EndpointSet {
    /// Priority 0 first; each a list of localities.
    pub priorities: Vec<Vec<LocalityGroup>>,
    /// `policy.overprovisioning_factor`, default 140.
    pub overprovisioning: u32,
    /// Prebuilt tables of the hash policies (ring or Maglev), by priority.
    pub hash_tables: Vec<Arc<crate::balance::HashTable>>,
    pub version: Arc<str>,
}
