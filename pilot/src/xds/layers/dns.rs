//! The table of names that a proxy's DNS server answers from.
//!
//! In: the services of the scope. Out: one NameTable, for views that serve DNS; an empty layer for all others.

use std::collections::BTreeMap;

use wire::Kind;
use wire::nds::{NameInfo, NameTable};

use crate::model::endpoint::Address;
use crate::model::names::service_host;
use crate::model::scope::Visible;
use crate::model::service::{Registry, Service};
use crate::xds::names;
use crate::xds::say::{Layer, Sight};

/// One resource for proxies that answer DNS; nothing for the others.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    if !sight.view.dns {
        return sight.layer("dns", &(), Vec::new);
    }
    let found = &sight.snapshot.endpoints.value;
    sight.layer("dns", &(sight.scope, found), || {
        let mut table = BTreeMap::new();
        sight.scope.named().for_each(|visible| add(sight, visible, &mut table));
        let entries: Vec<_> = table
            .iter()
            .map(|(name, info): (&String, &NameInfo)| {
                (name, &info.ips, &info.registry, &info.shortname, &info.namespace)
            })
            .collect();
        vec![
            sight
                .memo
                .say(Kind::NameTable, names::NAME_TABLE, &entries, |_| NameTable { table: table.clone() }),
        ]
    })
}

fn add(sight: &Sight<'_>, visible: &Visible, table: &mut BTreeMap<String, NameInfo>) {
    let service = &visible.service;
    if !service.headless {
        if !service.addresses.is_empty() {
            let ips = service.addresses.iter().map(ToString::to_string).collect();
            insert(table, service, ips);
        }
        return;
    }
    let mut all = Vec::new();
    for port in &service.ports {
        let endpoints = sight.snapshot.endpoints.0.of(&service.host, &service.namespace, port.number);
        for endpoint in endpoints.iter().flat_map(|set| set.iter()) {
            let Address::Ip(ip) = endpoint.address else { continue };
            let ip = ip.to_string();
            let pod = sight.snapshot.workloads.named(&service.namespace, &endpoint.pod);
            // A pod has a name of its own only where its subdomain is the service.
            if let Some(pod) = pod.filter(|p| *p.subdomain == *service.name) {
                let host = if pod.hostname.is_empty() { &pod.name } else { &pod.hostname };
                table.insert(format!("{host}.{}", service.host), info(service, vec![ip.clone()]));
            }
            if !all.contains(&ip) {
                all.push(ip);
            }
        }
    }
    if !all.is_empty() {
        insert(table, service, all);
    }
}

/// Under its own name and every other one.
fn insert(table: &mut BTreeMap<String, NameInfo>, service: &Service, ips: Vec<String>) {
    for alias in &service.aliases {
        let name = NameInfo {
            ips: ips.clone(),
            registry: "Kubernetes".to_owned(),
            shortname: alias.name.clone(),
            namespace: alias.namespace.clone(),
            alt_hosts: Vec::new(),
        };
        table.insert(service_host(&alias.name, &alias.namespace), name);
    }
    table.insert(service.host.clone(), info(service, ips));
}

fn info(service: &Service, ips: Vec<String>) -> NameInfo {
    let kubernetes = service.registry == Registry::Kubernetes;
    NameInfo {
        ips,
        registry: if kubernetes { "Kubernetes" } else { "External" }.to_owned(),
        shortname: if kubernetes { service.name.clone() } else { String::new() },
        namespace: service.namespace.clone(),
        alt_hosts: Vec::new(),
    }
}
