//! What something in the mesh asks of the place of its clients: labels, locality, node.
//!
//! Comes in: traffic rules, services, mesh settings. Goes out: which parts of a client's place may enter its view,
//! because each of them multiplies the number of views. Made once per snapshot.

use super::mesh::Mesh;
use super::policy::{Locality, Policy};
use super::service::{Distribution, HOSTNAME, REGION, SUBZONE, ZONE};
use super::services::Services;
use super::traffic::Traffic;
use super::workloads::NETWORK;

/// Parts of a place that count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Label keys, sorted.
    pub labels: Vec<String>,
    pub locality: bool,
    pub network: bool,
    pub node: bool,
}

/// What is asked for.
pub fn resolve(mesh: &Mesh, services: &Services, traffic: &Traffic) -> Asked {
    let locality = |p: &Policy| -> Option<Locality> { p.balance.as_ref()?.locality.clone() };
    let policies: Vec<&Policy> =
        traffic.every().flat_map(|r| r.policies()).chain(mesh.policy.as_ref()).collect();
    let written = policies.iter().filter_map(|p| locality(p)).chain([mesh.outbound.locality.clone()]);
    let mut labels: Vec<String> = written.flat_map(|l| l.failover_labels).collect();
    labels.extend(services.all.iter().filter_map(|s| s.distribution).flat_map(Distribution::labels));
    for label in &mut labels {
        label.truncate(label.find('=').unwrap_or(label.len()));
    }
    labels.sort();
    labels.dedup();
    let spread = |p: &Policy| locality(p).is_some_and(|l| l.enabled && !l.distribute.is_empty());
    let asks = |key: &str| labels.iter().any(|l| l == key);
    Asked {
        locality: policies.iter().any(|p| p.outlier.is_some() || spread(p))
            || [REGION, ZONE, SUBZONE].into_iter().any(asks),
        network: asks(NETWORK),
        node: asks(HOSTNAME) || services.all.iter().any(|s| s.node_only),
        labels,
    }
}
