//! Configurations with many routes: all in one virtual host, or each in one of its own, as a control plane would send them.

use std::sync::Arc;

use proxy::compile::{Part, Slots, lower};
use proxy::config::{RouteSource, RouteTable};
use wire::pb::envoy::config::route::v3::{
    self as route, route::Action, route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use wire::{Kind, Resource};

/// Name of the table, and of the only cluster that its routes name.
pub const TABLE: &str = "many";
const CLUSTER: &str = "main";

fn to_main(path: String) -> route::Route {
    let action = route::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(CLUSTER.into())),
        ..Default::default()
    };
    route::Route {
        name: path.clone(),
        r#match: Some(route::RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix(path)),
            ..Default::default()
        }),
        action: Some(Action::Route(action)),
        ..Default::default()
    }
}

fn table_of(virtual_hosts: Vec<route::VirtualHost>) -> Resource {
    let config = route::RouteConfiguration { name: TABLE.into(), virtual_hosts, ..Default::default() };
    let hash = u128::from(config.virtual_hosts.len() as u64);
    Resource::of(Kind::Route, TABLE, &config, hash)
}

/// One virtual host for everything, with so many routes: `/team-NUMBER/`.
pub fn routes(count: usize) -> Resource {
    let routes = (0..count).map(|number| to_main(format!("/team-{number}/"))).collect();
    let host =
        route::VirtualHost { name: "all".into(), domains: vec!["*".into()], routes, ..Default::default() };
    table_of(vec![host])
}

/// So many virtual hosts with one route each: `svc-NUMBER.example.com`.
pub fn hosts(count: usize) -> Resource {
    let host = |number: usize| route::VirtualHost {
        name: format!("svc-{number}"),
        domains: vec![format!("svc-{number}.example.com")],
        routes: vec![to_main("/".into())],
        ..Default::default()
    };
    table_of((0..count).map(host).collect())
}

/// So many virtual hosts that are asked for by the end of a name: `*.svc-NUMBER.example.com`.
pub fn wild_hosts(count: usize) -> Resource {
    let host = |number: usize| route::VirtualHost {
        name: format!("svc-{number}"),
        domains: vec![format!("*.svc-{number}.example.com")],
        routes: vec![to_main("/".into())],
        ..Default::default()
    };
    table_of((0..count).map(host).collect())
}

/// The table, compiled; its cluster has slot 0.
pub fn compiled(resource: &Resource) -> Arc<RouteTable> {
    let mut slots = Slots::default();
    slots.cluster(CLUSTER);
    match lower(resource, &mut slots) {
        Ok(Part::Route(part)) => Arc::new(part.table),
        other => panic!("{other:?}"),
    }
}

/// The same as the source of a chain.
pub fn source(resource: &Resource) -> RouteSource {
    RouteSource::Inline(compiled(resource))
}
