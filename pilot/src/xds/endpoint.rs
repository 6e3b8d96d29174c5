//! ClusterLoadAssignment: the endpoints of one cluster, grouped by locality.
//!
//! Comes in: the endpoints of a service port and the labels of a subset. Goes out: the assignment, sorted. An
//! endpoint says whether it takes mutual TLS and which workload it is.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::{Address as PbAddress, HealthStatus, Locality};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints,
    lb_endpoint::HostIdentifier,
};
use serde_json::json;

use super::near::Prefer;
use super::proto::{metadata, named_socket, pipe, socket, uint32};
use crate::model::endpoint::{Address, Endpoint};
use crate::model::hashed::Hashed;

/// All that an assignment may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Name of the cluster.
    pub cluster: String,
    pub endpoints: Option<Hashed<Vec<Endpoint>>>,
    /// Only endpoints with these labels.
    pub labels: BTreeMap<String, String>,
    /// Only endpoints on this node.
    pub node: Option<String>,
    /// Where the client is and what it prefers; None: all endpoints alike.
    pub prefer: Option<Prefer>,
}

/// Builds the assignment of an EDS cluster.
pub fn build(input: &Assignment) -> ClusterLoadAssignment {
    let all = input.endpoints.as_deref().map(Vec::as_slice).unwrap_or_default();
    let chosen: Vec<Endpoint> = all
        .iter()
        .filter(|e| input.labels.iter().all(|(k, v)| e.labels.get(k) == Some(v)))
        .filter(|e| input.node.as_ref().is_none_or(|node| *e.node == **node))
        .cloned()
        .collect();
    assignment(&input.cluster, &chosen, input.prefer.as_ref())
}

/// An assignment of these endpoints, in the order of their addresses.
pub fn assignment(cluster: &str, endpoints: &[Endpoint], prefer: Option<&Prefer>) -> ClusterLoadAssignment {
    let mut groups: BTreeMap<(u32, &str), Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let priority = prefer.map_or(0, |p| p.priority(endpoint));
        groups.entry((priority, &endpoint.locality)).or_default().push(endpoint);
    }
    // Priorities must have no gaps.
    let mut levels: Vec<u32> = groups.keys().map(|(p, _)| *p).collect();
    levels.dedup();
    let endpoints = groups
        .into_iter()
        .map(|((priority, name), mut members)| {
            members.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
            let weight: u32 = members.iter().map(|e| e.weight.max(1)).sum();
            LocalityLbEndpoints {
                locality: Some(locality(name)),
                lb_endpoints: members.into_iter().map(lb_endpoint).collect(),
                load_balancing_weight: Some(uint32(prefer.and_then(|p| p.share(name)).unwrap_or(weight))),
                priority: levels.iter().position(|l| *l == priority).unwrap_or_default() as u32,
                ..Default::default()
            }
        })
        .collect();
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints, ..Default::default() }
}

/// An assignment of one address.
pub fn only(cluster: &str, address: &Address, port: u16) -> ClusterLoadAssignment {
    let endpoint = PbEndpoint { address: Some(place(address, port)), ..Default::default() };
    let one = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![one], ..Default::default() }],
        ..Default::default()
    }
}

fn place(address: &Address, port: u16) -> PbAddress {
    match address {
        Address::Ip(ip) => socket(*ip, port),
        Address::Name(name) => named_socket(name, port),
        Address::Pipe(path) => pipe(path),
    }
}

fn locality(name: &str) -> Locality {
    let mut parts = name.splitn(3, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Locality { region: part(), zone: part(), sub_zone: part() }
}

fn lb_endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let address = place(&endpoint.address, endpoint.port);
    let mut about = Vec::new();
    if endpoint.mutual_tls {
        about.push(("envoy.transport_socket_match", json!({ "tlsMode": "istio" })));
    }
    if !endpoint.workload.is_empty() {
        about.push(("istio", json!({ "workload": *endpoint.workload })));
    }
    let health = if endpoint.healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
    LbEndpoint {
        health_status: health as i32,
        metadata: (!about.is_empty()).then(|| metadata(about)),
        load_balancing_weight: Some(uint32(endpoint.weight.max(1))),
        host_identifier: Some(HostIdentifier::Endpoint(PbEndpoint {
            address: Some(address),
            ..Default::default()
        })),
    }
}
