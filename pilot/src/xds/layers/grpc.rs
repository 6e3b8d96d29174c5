//! Clients without a proxy: one listener, one table and one plain cluster per port that gRPC may call.
//!
//! In: the services of the scope. Out: two layers, built from the same services as a sidecar's and without what gRPC
//! does not read (filters, mutual TLS by endpoint).

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use wire::{Kind, Resource};

use super::hosts::table;
use crate::model::routes::route::{GatewayRef, Place};
use crate::model::scope::Visible;
use crate::model::service::{Port, Protocol, Resolution};
use crate::xds::endpoint::{self, Assignment};
use crate::xds::listener::{Grpc, grpc};
use crate::xds::names::{ClusterName, virtual_host};
use crate::xds::place;
use crate::xds::proto::ads;
use crate::xds::route::config::Rest;
use crate::xds::route::{DefaultRoute, Host};
use crate::xds::say::{Layer, Sight};

/// Listeners, tables and clusters.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    let view = sight.view;
    let on = (sight.scope, &view.namespace, &view.labels, view.session.delta, &sight.snapshot.mesh.policy);
    sight.layer("grpc", &on, || {
        let mut out: Vec<Arc<Resource>> = Vec::new();
        for (visible, port) in ports(sight) {
            if visible.named {
                let input = Grpc { host: visible.service.host.clone(), port: port.number };
                out.push(sight.memo.say(Kind::Listener, &input.name().to_string(), &input, grpc::build));
                out.extend(table(sight, input.name(), Rest::Nothing, vec![host(sight, visible, port)]));
            }
            for name in clusters(visible, port) {
                let name = name.to_string();
                out.push(sight.memo.say(Kind::Cluster, &name, &name, |name| cluster(name)));
            }
        }
        out
    })
}

/// Endpoints of those clusters.
pub(crate) fn endpoints(sight: &Sight<'_>) -> Layer {
    let found = &sight.snapshot.endpoints.value;
    sight.layer("grpc-endpoints", &(sight.scope, found), || {
        let mut out = Vec::new();
        for (visible, port) in ports(sight) {
            let service = &visible.service;
            for name in clusters(visible, port) {
                let ClusterName::Outbound { subset, .. } = &name else { continue };
                let rule = visible.rule.as_ref().and_then(|r| r.subset(subset));
                let assignment = Assignment {
                    cluster: name.to_string(),
                    endpoints: found.0.of(&service.host, &service.namespace, port.number).cloned(),
                    labels: rule.map(|s| s.labels.clone()).unwrap_or_default(),
                    node: None,
                    prefer: None,
                };
                let name = assignment.cluster.clone();
                out.push(sight.memo.say(Kind::Endpoints, &name, &assignment, endpoint::build));
            }
        }
        out
    })
}

fn ports<'a>(sight: &'a Sight<'_>) -> impl Iterator<Item = (&'a Visible, &'a Port)> {
    let known = |v: &&Visible| matches!(v.service.resolution, Resolution::Endpoints | Resolution::Original);
    sight.scope.services.iter().filter(known).flat_map(|visible| {
        let callable = |p: &&Port| p.protocol.is_http() || p.protocol == Protocol::Unknown;
        visible.service.ports.iter().filter(callable).map(move |port| (visible, port))
    })
}

fn clusters(visible: &Visible, port: &Port) -> Vec<ClusterName> {
    let subsets = visible.rule.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str());
    std::iter::once("")
        .chain(subsets)
        .map(|s| ClusterName::outbound(port.number, s, &visible.service.host))
        .collect()
}

fn host(sight: &Sight<'_>, visible: &Visible, port: &Port) -> Host {
    let service = &visible.service;
    let name = virtual_host(&service.host, port.number);
    let place = Place {
        gateway: &GatewayRef::Mesh,
        port: port.number,
        namespace: &sight.view.namespace,
        labels: &sight.view.labels,
    };
    let base = sight.snapshot.mesh.policy.as_ref();
    let set = sight.scope.route(&service.host, |set| !set.http.is_empty());
    let cluster = ClusterName::outbound(port.number, "", &service.host);
    Host {
        // gRPC compares the whole authority, port included.
        domains: vec![name.clone(), service.host.clone()],
        name,
        port: port.number,
        rules: set.map(|set| place::rules(sight.scope, set, &place, base)).unwrap_or_default(),
        default: set.is_none().then_some(DefaultRoute { cluster, hash: None }),
        require_tls: false,
        retries: sight.snapshot.mesh.retries.clone(),
        origin: false,
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), service_name: name.to_owned() }),
        lb_policy: LbPolicy::RoundRobin as i32,
        ..Default::default()
    }
}
