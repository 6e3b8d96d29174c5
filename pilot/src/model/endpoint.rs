//! Where a service port is answered: addresses, health, identity and place.
//!
//! Made by `endpoints.rs` from EndpointSlices, pods and WorkloadEntries; read by `xds/endpoint.rs`. This is the
//! fast lane: nothing else of the model changes when a pod comes or goes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::hashed::Hashed;

/// One address of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub address: Address,
    pub port: u16,
    /// Labels of the workload, for subsets.
    pub labels: BTreeMap<String, String>,
    /// `region/zone/subzone`, possibly empty.
    pub locality: String,
    /// 0 means 1.
    pub weight: u32,
    pub healthy: bool,
    /// A proxy of the mesh answers there and accepts mutual TLS.
    pub mutual_tls: bool,
    /// SPIFFE id of the workload, if known.
    pub identity: String,
    /// `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`: labels of metrics at the client.
    pub workload: String,
    pub network: String,
    /// Name of its node, if known.
    pub node: String,
    /// Name of the pod, for headless names.
    pub pod: String,
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
    pub sets: BTreeMap<ServicePort, Hashed<Vec<Endpoint>>>,
}

/// SPIFFE ids behind each service. Apart from the endpoints, because clusters depend on it and pods come and go
/// without changing it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accounts {
    pub by_service: BTreeMap<ServiceKey, Hashed<Vec<String>>>,
}

/// Host and namespace of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    pub host: String,
    pub namespace: String,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    pub service: ServiceKey,
    pub port: u16,
}

impl ServiceKey {
    /// Key of a host in a namespace.
    pub fn new(host: &str, namespace: &str) -> Self {
        ServiceKey { host: host.to_owned(), namespace: namespace.to_owned() }
    }

    /// One of its ports.
    pub fn port(self, port: u16) -> ServicePort {
        ServicePort { service: self, port }
    }
}

impl Endpoints {
    /// Endpoints of a service port; none is an empty set.
    pub fn of(&self, host: &str, namespace: &str, port: u16) -> Option<&Hashed<Vec<Endpoint>>> {
        self.sets.get(&ServiceKey::new(host, namespace).port(port))
    }
}

impl Accounts {
    /// SPIFFE ids behind a service.
    pub fn of(&self, host: &str, namespace: &str) -> Option<&Hashed<Vec<String>>> {
        self.by_service.get(&ServiceKey::new(host, namespace))
    }
}
