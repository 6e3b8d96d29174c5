//! Where rules lead for one class of clients: clusters of destinations, rules that hold, hash keys.
//!
//! Comes in: a scope and from where it is looked at. Goes out: what the inputs of virtual hosts and TCP chains need.

use super::filters::TcpTarget;
use super::names::ClusterName;
use super::route::Placed;
use crate::model::policy::{Algorithm, HashBalance, HashKey, Policy};
use crate::model::routes::route::{Action, Destination, Place, RouteSet, Split};
use crate::model::scope::{Scope, Visible};
use crate::model::sidecar::Outside;

/// Port of what says none.
const PLAIN: u16 = 80;

/// The cluster of a destination: its port, else the only one of the service, else that of the request.
pub(super) fn cluster(scope: &Scope, to: &Destination, request_port: u16) -> ClusterName {
    let found = scope.covering(&to.host);
    let only = found.and_then(|v| match &v.service.ports[..] {
        [port] => Some(port.number),
        _ => None,
    });
    let host = match found {
        // A wildcard service has one cluster for all of its names.
        Some(v) if v.service.host.starts_with('*') => &v.service.host,
        _ => &to.host,
    };
    ClusterName::outbound(to.port.or(only).unwrap_or(request_port), &to.subset, host)
}

/// The cluster of connections to unknown places.
pub(super) fn outside(scope: &Scope) -> ClusterName {
    match &scope.outside {
        Outside::Pass => ClusterName::Passthrough,
        Outside::Block => ClusterName::BlackHole,
        Outside::Through(to) => cluster(scope, to, PLAIN),
    }
}

/// What holds for a port of a service, or a subset on it.
pub(super) fn policy(visible: &Visible, port: u16, subset: &str, base: Option<&Policy>) -> Policy {
    match &visible.rule {
        Some(rule) => rule.effective(port, rule.subset(subset).filter(|_| !subset.is_empty())),
        None => base.cloned().unwrap_or_default(),
    }
}

/// The hash that a cluster asks of its routes.
pub(super) fn hash(scope: &Scope, cluster: &ClusterName, base: Option<&Policy>) -> Option<HashBalance> {
    let ClusterName::Outbound { port, subset, host } = cluster else { return None };
    match policy(scope.service(host)?, *port, subset, base).balance?.algorithm {
        Algorithm::Hash(hash) => Some(hash),
        _ => None,
    }
}

/// The HTTP rules of a set that hold here.
pub(super) fn rules(scope: &Scope, set: &RouteSet, place: &Place<'_>, base: Option<&Policy>) -> Vec<Placed> {
    let mut out = Vec::new();
    for rule in &set.http {
        let holding: Vec<usize> = rule
            .matches
            .iter()
            .enumerate()
            .filter(|(_, m)| m.client.holds(place))
            .map(|(at, _)| at)
            .collect();
        let matches = if rule.matches.is_empty() { None } else { Some(holding) };
        if matches.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let splits = match &rule.action {
            Action::Forward(splits) => splits.as_slice(),
            _ => &[],
        };
        let clusters: Vec<ClusterName> = splits.iter().map(|s| cluster(scope, &s.to, place.port)).collect();
        let mirrors = rule.mirrors.iter().map(|m| cluster(scope, &m.to, place.port).to_string()).collect();
        out.push(Placed {
            rule: rule.clone(),
            object: set.name.clone(),
            matches,
            hash: clusters.iter().find_map(|c| hash(scope, c, base)),
            targets: clusters.iter().map(ClusterName::to_string).collect(),
            mirrors,
        });
    }
    out
}

/// Where the connections of a rule go.
pub(super) fn tcp_target(scope: &Scope, splits: &[Split], port: u16, base: Option<&Policy>) -> TcpTarget {
    let clusters: Vec<(ClusterName, u32)> =
        splits.iter().map(|s| (cluster(scope, &s.to, port), s.weight)).collect();
    let Some((first, _)) = clusters.first() else { return TcpTarget::one(ClusterName::BlackHole) };
    let mut target = plain_target(scope, first, base);
    let nothing = clusters.iter().all(|(_, weight)| *weight == 0);
    target.clusters =
        clusters.iter().map(|(name, weight)| (name.to_string(), if nothing { 1 } else { *weight })).collect();
    target.clusters.retain(|(_, weight)| *weight > 0);
    target
}

/// Everything to one cluster, with its own settings for connections.
pub(super) fn plain_target(scope: &Scope, cluster: &ClusterName, base: Option<&Policy>) -> TcpTarget {
    let policy = match cluster {
        ClusterName::Outbound { port, subset, host } => {
            scope.service(host).map(|v| policy(v, *port, subset, base))
        }
        _ => None,
    };
    let hashed = hash(scope, cluster, base).is_some_and(|h| h.key == HashKey::SourceIp);
    TcpTarget {
        hash_source: hashed,
        idle_timeout: policy.and_then(|p| p.pool).and_then(|p| p.tcp_idle_timeout),
        ..TcpTarget::one(cluster)
    }
}
