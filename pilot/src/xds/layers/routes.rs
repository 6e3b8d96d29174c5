//! Route tables of sidecars: one per HTTP port, one per service whose protocol is found out.
//!
//! Key: the scope, the namespace (short names), and the labels that rules ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::host::short_names;
use wire::Resource;

use super::hosts::table;
use crate::model::names::DOMAIN;
use crate::model::routes::route::{GatewayRef, Place, RouteSet};
use crate::model::scope::Visible;
use crate::model::service::{Protocol, Registry, Service};
use crate::xds::names::{ClusterName, RouteName, virtual_host};
use crate::xds::place;
use crate::xds::route::config::Rest;
use crate::xds::route::{DefaultRoute, Host};
use crate::xds::say::{Layer, Sight};

/// Where hosts without a service are routed.
const PLAIN: u16 = 80;

/// All tables of the view.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    let (view, mesh) = (sight.view, &sight.snapshot.mesh);
    let on = (
        sight.scope,
        (&view.namespace, &view.labels, view.session.delta, view.features.own()),
        (&mesh.retries, &mesh.policy),
    );
    sight.layer("routes", &on, || {
        let rest = rest(sight);
        let mut out = Vec::new();
        for (port, services) in by_port(sight) {
            let mut hosts: Vec<Host> = services.iter().map(|v| service_host(sight, v, port)).collect();
            if port == PLAIN {
                hosts.extend(other_hosts(sight, port));
            }
            out.extend(table(sight, RouteName::Port(port), rest.clone(), hosts));
        }
        out.extend(sniffed(sight, &rest));
        out
    })
}

/// What becomes of unknown hosts.
fn rest(sight: &Sight<'_>) -> Rest {
    match place::outside(sight.scope) {
        ClusterName::BlackHole => Rest::Block,
        cluster => Rest::Pass(cluster.to_string()),
    }
}

/// Services by HTTP port. What has no address of its own shares the port's table when it is sniffed.
fn by_port<'a>(sight: &'a Sight<'_>) -> BTreeMap<u16, Vec<&'a Visible>> {
    let mut out: BTreeMap<u16, Vec<&Visible>> = BTreeMap::new();
    for visible in sight.scope.named() {
        for port in &visible.service.ports {
            if port.protocol.is_http() || (port.protocol == Protocol::Unknown && !has_own(visible)) {
                out.entry(port.number).or_default().push(visible);
            }
        }
    }
    out
}

/// Whether its address says which service is meant.
fn has_own(visible: &Visible) -> bool {
    visible.service.address().is_some() || visible.service.headless
}

fn sniffed(sight: &Sight<'_>, rest: &Rest) -> Vec<Arc<Resource>> {
    let mut out = Vec::new();
    for visible in sight.scope.named().filter(|v| has_own(v)) {
        for port in visible.service.ports.iter().filter(|p| p.protocol == Protocol::Unknown) {
            let name = RouteName::Service { host: visible.service.host.clone(), port: port.number };
            let host = service_host(sight, visible, port.number);
            out.extend(table(sight, name, rest.clone(), vec![host]));
        }
    }
    out
}

/// The virtual host of a service.
pub(super) fn service_host(sight: &Sight<'_>, visible: &Visible, port: u16) -> Host {
    let service = &visible.service;
    let base = sight.snapshot.mesh.policy.as_ref();
    let cluster = ClusterName::outbound(port, "", &service.host);
    let set = sight.scope.route(&service.host, |set| !set.http.is_empty());
    Host {
        name: virtual_host(&service.host, port),
        domains: domains(service, &sight.view.namespace),
        port,
        rules: set.map(|set| rules(sight, set, port)).unwrap_or_default(),
        // A set whose rules are all for others routes nothing here.
        default: set
            .is_none()
            .then(|| DefaultRoute { hash: place::hash(sight.scope, &cluster, base), cluster }),
        require_tls: false,
        retries: sight.snapshot.mesh.retries.clone(),
        origin: sight.view.features.own(),
    }
}

fn rules(sight: &Sight<'_>, set: &RouteSet, port: u16) -> Vec<crate::xds::route::Placed> {
    let place = Place {
        gateway: &GatewayRef::Mesh,
        port,
        namespace: &sight.view.namespace,
        labels: &sight.view.labels,
    };
    place::rules(sight.scope, set, &place, sight.snapshot.mesh.policy.as_ref())
}

/// Hosts of route sets that are no service.
fn other_hosts(sight: &Sight<'_>, port: u16) -> Vec<Host> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for set in sight.scope.routes.iter().filter(|s| s.binds(&GatewayRef::Mesh) && !s.http.is_empty()) {
        for host in &set.hosts {
            let known = sight.scope.named().any(|v| crate::model::names::covers(host, &v.service.host));
            if known || !seen.insert(host.clone()) {
                continue;
            }
            out.push(Host {
                name: virtual_host(host, port),
                domains: vec![host.clone()],
                port,
                rules: rules(sight, set, port),
                default: None,
                require_tls: false,
                retries: sight.snapshot.mesh.retries.clone(),
                origin: sight.view.features.own(),
            });
        }
    }
    out
}

/// Every name by which a workload of `namespace` may call the service.
fn domains(service: &Service, namespace: &str) -> Vec<String> {
    let mut out = match service.registry {
        Registry::Kubernetes => short_names(&service.name, &service.namespace, namespace, DOMAIN),
        Registry::External => vec![service.host.clone()],
    };
    if !service.host.starts_with('*') {
        out.insert(1, format!("{}.", service.host));
    }
    for alias in &service.aliases {
        out.extend(short_names(&alias.name, &alias.namespace, namespace, DOMAIN));
    }
    if service.headless {
        out.push(format!("*.{}", service.host));
    }
    out.extend(service.addresses.iter().map(|address| match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => format!("[{address}]"),
    }));
    out
}
