//! Load assignments: lowered without knowing their cluster, then made into a set for one.
//!
//! In: a `ClusterLoadAssignment`; later the cluster's settings, the previous set, and what DNS said. Out: an
//! `EndpointSet` whose endpoints keep the live state of their address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::config::endpoint::v3 as endpoint;
use wire::pb::google::protobuf::Struct;

use super::read::{At, Lower, Refusal, done, harmless, host_port, number, refuse, text};
use crate::cluster::EndpointState;
use crate::config::{ClusterSettings, Endpoint, EndpointAddress, EndpointSet, LocalityGroup};

/// A load assignment, independent of a cluster.
#[derive(Debug, Default)]
pub struct Assignment {
    pub localities: Vec<Locality>,
    pub overprovisioning: u32,
    pub version: Arc<str>,
}

/// One `LocalityLbEndpoints`.
#[derive(Debug)]
pub struct Locality {
    pub priority: u32,
    /// `region/zone/sub_zone`, without empty tails.
    pub name: Arc<str>,
    pub weight: u32,
    pub endpoints: Vec<Assigned>,
}

/// One `LbEndpoint`.
#[derive(Debug)]
pub struct Assigned {
    pub address: Where,
    pub weight: u32,
    pub healthy: bool,
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    pub workload: Option<Arc<str>>,
    pub hostname: Arc<str>,
}

/// Where an assigned endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Where {
    At(EndpointAddress),
    /// To be resolved; only in DNS clusters.
    Name(Arc<str>, u16),
}

/// Answers of DNS by name.
pub type Resolved = HashMap<Arc<str>, Vec<IpAddr>>;

/// Lowers a load assignment.
pub(super) fn assignment(mut one: endpoint::ClusterLoadAssignment, version: &str) -> Lower<Arc<Assignment>> {
    harmless!(one; cluster_name);
    let mut policy = one.policy.take().unwrap_or_default();
    // Assignments do not go stale here: the last good one stays.
    harmless!(policy; endpoint_stale_after);
    let overprovisioning = number(policy.overprovisioning_factor.take(), 140);
    done(&policy).at("policy")?;
    let localities = std::mem::take(&mut one.endpoints).into_iter().enumerate();
    let localities =
        localities.map(|(index, one)| locality(one).item("endpoints", index)).collect::<Lower<_>>()?;
    done(&one)?;
    Ok(Arc::new(Assignment { localities, overprovisioning, version: version.into() }))
}

fn locality(mut one: endpoint::LocalityLbEndpoints) -> Lower<Locality> {
    harmless!(one; metadata, proximity);
    let place = one.locality.take().unwrap_or_default();
    let name = format!("{}/{}/{}", place.region, place.zone, place.sub_zone);
    let mut list = std::mem::take(&mut one.lb_endpoints);
    match one.lb_config.take() {
        None => {}
        Some(endpoint::locality_lb_endpoints::LbConfig::LoadBalancerEndpoints(more)) => {
            list.extend(more.lb_endpoints)
        }
        Some(endpoint::locality_lb_endpoints::LbConfig::LedsClusterLocalityConfig(_)) => {
            return refuse("leds_cluster_locality_config", "not supported by this proxy");
        }
    }
    let endpoints = list.into_iter().enumerate();
    let endpoints =
        endpoints.map(|(index, one)| assigned(one).item("lb_endpoints", index)).collect::<Lower<_>>()?;
    let lowered = Locality {
        priority: std::mem::take(&mut one.priority),
        name: name.trim_end_matches('/').into(),
        weight: number(one.load_balancing_weight.take(), 0),
        endpoints,
    };
    done(&one)?;
    Ok(lowered)
}

fn assigned(mut one: endpoint::LbEndpoint) -> Lower<Assigned> {
    use core::HealthStatus as H;
    let healthy = matches!(one.health_status(), H::Unknown | H::Healthy | H::Degraded);
    one.health_status = 0;
    let mut host = match one.host_identifier.take() {
        Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(host)) => host,
        Some(endpoint::lb_endpoint::HostIdentifier::EndpointName(_)) => {
            return refuse("endpoint_name", "not supported by this proxy");
        }
        None => return Err(Refusal::new("no endpoint")),
    };
    // Health checks are not made; the name is for logs only.
    harmless!(host; health_check_config, observability_name);
    let metadata = one.metadata.take().unwrap_or_default();
    let mut matched =
        metadata.filter_metadata.get("envoy.transport_socket_match").map(labels).unwrap_or_default();
    matched.sort();
    let istio = metadata.filter_metadata.get("istio");
    let lowered = Assigned {
        address: place(host.address.take()).at("endpoint.address")?,
        weight: number(one.load_balancing_weight.take(), 1).max(1),
        healthy,
        labels: matched,
        workload: istio.and_then(|data| wire::structs::get_text(data, "workload")).map(Into::into),
        hostname: text(std::mem::take(&mut host.hostname)),
    };
    done(&host).at("endpoint")?;
    done(&one)?;
    Ok(lowered)
}

fn place(address: Option<core::Address>) -> Lower<Where> {
    match address.and_then(|address| address.address) {
        Some(core::address::Address::SocketAddress(mut socket)) => {
            let (host, port) = host_port(&mut socket).at("socket_address")?;
            Ok(match host.parse::<IpAddr>() {
                Ok(ip) => Where::At(EndpointAddress::Ip(SocketAddr::new(ip, port))),
                Err(_) => Where::Name(text(host), port),
            })
        }
        Some(core::address::Address::Pipe(pipe)) => Ok(Where::At(EndpointAddress::Pipe(text(pipe.path)))),
        Some(core::address::Address::EnvoyInternalAddress(_)) => {
            refuse("envoy_internal_address", "not supported by this proxy")
        }
        None => Err(Refusal::new("no address")),
    }
}

/// Text fields of a metadata struct.
pub(super) fn labels(data: &Struct) -> Vec<(Arc<str>, Arc<str>)> {
    let map = wire::structs::to_map(data);
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    };
    map.iter().map(|(key, value)| (key.as_str().into(), text(value))).collect()
}

/// The set of an assignment for one cluster. Endpoints whose address was in `previous` keep their state.
pub fn endpoint_set(
    assignment: &Assignment,
    settings: &ClusterSettings,
    previous: &EndpointSet,
    resolved: &Resolved,
) -> EndpointSet {
    let mut states: HashMap<&EndpointAddress, &Arc<EndpointState>> =
        previous.all().map(|endpoint| (&endpoint.address, &endpoint.state)).collect();
    let depth =
        assignment.localities.iter().map(|locality| locality.priority as usize + 1).max().unwrap_or(0);
    let mut priorities: Vec<Vec<LocalityGroup>> =
        (0..depth.min(MAX_PRIORITIES)).map(|_| Vec::new()).collect();
    for locality in &assignment.localities {
        let Some(groups) = priorities.get_mut(locality.priority as usize) else { continue };
        let mut endpoints = Vec::with_capacity(locality.endpoints.len());
        for one in &locality.endpoints {
            for address in addresses(&one.address, resolved) {
                let state = states.remove(&address).cloned().unwrap_or_default();
                let labels = one.labels.clone();
                endpoints.push(Arc::new(Endpoint {
                    tls_match: tls_match(settings, &labels),
                    address,
                    weight: one.weight,
                    healthy: one.healthy,
                    labels,
                    workload: one.workload.clone(),
                    hostname: one.hostname.clone(),
                    locality: locality.name.clone(),
                    state,
                }));
            }
        }
        groups.push(LocalityGroup { locality: locality.name.clone(), weight: locality.weight, endpoints });
    }
    let hash_tables = crate::balance::tables(settings.balance, &priorities, settings.locality_weighted);
    EndpointSet {
        priorities,
        overprovisioning: assignment.overprovisioning,
        hash_tables,
        version: assignment.version.clone(),
    }
}

/// Envoy's highest priority is 127.
const MAX_PRIORITIES: usize = 128;

fn addresses(place: &Where, resolved: &Resolved) -> Vec<EndpointAddress> {
    match place {
        Where::At(address) => vec![address.clone()],
        Where::Name(name, port) => {
            let list = resolved.get(name).into_iter().flatten();
            list.map(|ip| EndpointAddress::Ip(SocketAddr::new(*ip, *port))).collect()
        }
    }
}

fn tls_match(settings: &ClusterSettings, labels: &[(Arc<str>, Arc<str>)]) -> Option<usize> {
    settings.tls_matches.iter().position(|one| one.labels.iter().all(|label| labels.contains(label)))
}
