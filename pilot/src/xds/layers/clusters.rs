//! Clusters of a scope, and their endpoints.
//!
//! In: the sight of one view. Out: two layers: clusters, keyed by scope and the client's features; endpoints, keyed by
//! locality beside that, so that a pod that comes or goes touches one assignment.

use std::sync::Arc;

use wire::{Kind, Resource};

use crate::model::Hashed;
use crate::model::endpoint::Endpoint;
use crate::model::policy::Policy;
use crate::model::scope::Visible;
use crate::model::service::{Port, Protocol, Resolution, Service};
use crate::model::traffic::Subset;
use crate::xds::cluster::{Fixed, Outbound, build};
use crate::xds::endpoint::{self, Assignment};
use crate::xds::names::ClusterName;
use crate::xds::near::{Order, Prefer};
use crate::xds::place;
use crate::xds::say::{Layer, Sight};
use crate::xds::view::Role;

/// Clusters of everything that the namespace sees, and the fixed ones.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    let mesh = &sight.snapshot.mesh;
    let gateway = sight.view.role == Role::Gateway;
    let on =
        (sight.scope, &mesh.outbound, &mesh.policy, sight.view.features, gateway, sight.view.both_families());
    sight.layer("clusters", &on, || {
        let mut out: Vec<Arc<Resource>> = all(sight)
            .map(|(input, _)| {
                sight.memo.say(Kind::Cluster, &input.name().to_string(), &input, build::outbound)
            })
            .collect();
        let mut fixed = vec![ClusterName::BlackHole];
        if !gateway {
            fixed.push(ClusterName::Passthrough);
            fixed.push(ClusterName::InboundPassthrough);
        }
        for name in fixed {
            let input = Fixed {
                name: name.clone(),
                connect_timeout: mesh.outbound.connect_timeout,
                both_families: sight.view.both_families(),
            };
            out.push(sight.memo.say(Kind::Cluster, &name.to_string(), &input, build::fixed));
        }
        out
    })
}

/// Endpoints of all clusters that ask for them.
pub(crate) fn endpoints(sight: &Sight<'_>) -> Layer {
    let mesh = &sight.snapshot.mesh;
    let found = &sight.snapshot.endpoints.value;
    let on = (sight.scope, found, &mesh.outbound.locality, &mesh.policy, &sight.view.near);
    sight.layer("endpoints", &on, || {
        let asking = all(sight).filter(|(input, _)| input.resolution() == Resolution::Endpoints);
        asking
            .map(|(input, subset)| {
                let service = &input.service;
                let assignment = Assignment {
                    cluster: input.name().to_string(),
                    endpoints: found.0.of(&service.host, &service.namespace, input.port).cloned(),
                    labels: subset.map(|s| s.labels.clone()).unwrap_or_default(),
                    node: service.node_only.then(|| sight.view.near.node.clone()),
                    prefer: prefer(sight, service, &input.policy),
                };
                let name = assignment.cluster.clone();
                sight.memo.say(Kind::Endpoints, &name, &assignment, endpoint::build)
            })
            .collect()
    })
}

/// What a DestinationRule says, else the Service, else the mesh. Failing over makes sense only where failing
/// endpoints are noticed.
fn prefer(sight: &Sight<'_>, service: &Service, policy: &Policy) -> Option<Prefer> {
    let client = &sight.view.near;
    let own = policy.balance.as_ref().and_then(|b| b.locality.as_ref());
    if let (None, Some(distribution)) = (own, service.distribution) {
        return Some(Prefer { client: client.clone(), order: Order::Labels(distribution.labels()) });
    }
    let setting = own.unwrap_or(&sight.snapshot.mesh.outbound.locality);
    let order = if !setting.distribute.is_empty() {
        Order::Locality(setting.clone())
    } else if policy.outlier.is_none() {
        return None;
    } else if !setting.failover_labels.is_empty() {
        Order::Labels(setting.failover_labels.clone())
    } else {
        Order::Locality(setting.clone())
    };
    let blind = client.locality.is_empty() && matches!(order, Order::Locality(_));
    (setting.enabled && !blind).then(|| Prefer { client: client.clone(), order })
}

/// Inputs of all outbound clusters: each port, and each subset of it.
fn all<'a>(sight: &'a Sight<'a>) -> impl Iterator<Item = (Outbound, Option<&'a Subset>)> + 'a {
    sight.scope.services.iter().flat_map(move |visible| {
        let ports = visible.service.ports.iter().filter(|p| p.protocol != Protocol::Udp);
        ports.flat_map(move |port| {
            let subsets = visible.rule.iter().flat_map(|r| &r.subsets).map(Some);
            std::iter::once(None)
                .chain(subsets)
                .map(move |subset| (input(sight, visible, port, subset), subset))
        })
    })
}

fn input(sight: &Sight<'_>, visible: &Visible, port: &Port, subset: Option<&Subset>) -> Outbound {
    let mesh = &sight.snapshot.mesh;
    let name = subset.map(|s| s.name.clone()).unwrap_or_default();
    let inline = visible.inline.iter().find(|(number, _)| *number == port.number).map(|(_, set)| set);
    Outbound {
        service: visible.service.clone(),
        port: port.number,
        policy: place::policy(visible, port.number, &name, mesh.policy.as_ref()),
        config: visible.rule.as_ref().map(|r| r.config.clone()).unwrap_or_default(),
        accounts: visible.accounts.clone(),
        inline: inline.map(|set| labelled(set, subset)),
        all_mutual: visible.mutual.contains(&port.number),
        mesh: mesh.outbound.clone(),
        features: sight.view.features,
        credentials: sight.view.role == Role::Gateway,
        subset: name,
    }
}

fn labelled(set: &Hashed<Vec<Endpoint>>, subset: Option<&Subset>) -> Hashed<Vec<Endpoint>> {
    let Some(subset) = subset else { return set.clone() };
    let has = |e: &&Endpoint| subset.labels.iter().all(|(k, v)| e.labels.get(k) == Some(v));
    Hashed::new(set.iter().filter(has).cloned().collect())
}
