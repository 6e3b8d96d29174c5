//! Where a service port is answered: addresses, health, identity and place.
//!
//! Made by `endpoints.rs` from EndpointSlices, pods and WorkloadEntries; read by `xds/endpoint.rs`. This is the
//! fast lane: nothing else of the model changes when a pod comes or goes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::hashed::{Aside, Digest, Hashed};
use crate::world::{Labels, Text};

/// One address of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub address: Address,
    pub port: u16,
    /// Labels of the workload, for subsets.
    pub labels: Labels,
    /// `region/zone/subzone`, possibly empty.
    pub locality: Text,
    /// 0 means 1.
    pub weight: u32,
    pub healthy: bool,
    /// A proxy of the mesh answers there and accepts mutual TLS.
    pub mutual_tls: bool,
    /// SPIFFE id of the workload, if known.
    pub identity: Text,
    /// `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`: labels of metrics at the client.
    pub workload: Text,
    pub network: Text,
    /// Name of its node, if known.
    pub node: Text,
    /// Name of the pod, for headless names.
    pub pod: Text,
}

/// Address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    Ip(IpAddr),
    /// A name that the proxy resolves.
    Name(String),
    /// A Unix socket.
    Pipe(String),
}

/// Endpoints by host name and service port; hosts of two namespaces are kept apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoints {
    pub(super) by_namespace: BTreeMap<Text, Hashed<Sets>>,
    /// What those of a namespace are made from.
    pub(super) from: Aside<BTreeMap<Text, Digest>>,
}

/// Endpoints of the services of one namespace, by host and port.
pub(super) type Sets = BTreeMap<(String, u16), Hashed<Vec<Endpoint>>>;

/// SPIFFE ids behind each service. Apart from the endpoints, because clusters depend on it and pods come and go
/// without changing it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accounts {
    pub(super) by_namespace: BTreeMap<Text, Hashed<Ids>>,
}

/// SPIFFE ids behind the services of one namespace, by host.
pub(super) type Ids = BTreeMap<String, Hashed<Vec<String>>>;

impl Endpoints {
    /// Endpoints of a service port; none is an empty set.
    pub fn of(&self, host: &str, namespace: &str, port: u16) -> Option<&Hashed<Vec<Endpoint>>> {
        self.by_namespace.get(namespace)?.get(&(host.to_owned(), port))
    }

    /// All of them: namespace, host, port, endpoints.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u16, &Hashed<Vec<Endpoint>>)> {
        self.by_namespace.iter().flat_map(|(namespace, sets)| {
            sets.iter().map(move |((host, port), set)| (&**namespace, host.as_str(), *port, set))
        })
    }
}

impl Accounts {
    /// SPIFFE ids behind a service.
    pub fn of(&self, host: &str, namespace: &str) -> Option<&Hashed<Vec<String>>> {
        self.by_namespace.get(namespace)?.get(host)
    }
}
