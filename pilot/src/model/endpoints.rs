//! EndpointSlices, Endpoints, pods and WorkloadEntries -> endpoints of every service port.
//!
//! Comes in: the world, services, workloads and who must speak mutual TLS. Goes out: endpoint sets and, apart from
//! them, the identities behind each service. A Service without slices is answered by the pods that it selects,
//! so that plain manifests are enough.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::core::Endpoints as KubeEndpoints;
use api::meta::labels_match;
use api::networking::{ServiceEntry, WorkloadEntry};
use api::{Kind, Object};

use super::endpoint::{Accounts, Address, Endpoint, Endpoints, Ids, Sets};
use super::hashed::{Digest, Hashed};
use super::identity::{Identity, Mode};
use super::mesh::Mesh;
use super::names::full;
use super::service::{Port, Registry, Resolution, Service, Target};
use super::services::Services;
use super::workloads::{TLS_MODE, Workload, Workloads, spiffe, summary};
use crate::world::{Labels, Slice, Text, World, text};

/// What endpoints are made from.
pub(super) struct Sources<'a> {
    pub world: &'a World,
    pub services: &'a Services,
    pub workloads: &'a Workloads,
    pub identity: &'a Hashed<Identity>,
    pub mesh: &'a Hashed<Mesh>,
}

/// What those of one namespace are made from.
struct Scene<'a> {
    all: &'a Sources<'a>,
    namespace: &'a str,
    /// Slices by the name of their Service.
    slices: BTreeMap<&'a str, Vec<&'a Slice>>,
    /// Workloads of all namespaces were looked through.
    abroad: Cell<bool>,
}

/// All endpoints of a namespace, ready or not, by host and port.
type Found = BTreeMap<(String, u16), Vec<Endpoint>>;
/// What a namespace's endpoints have come to.
type Made = (Hashed<Sets>, Hashed<Ids>);

/// Finds all endpoints. Of namespaces that have not changed since `prev` nothing is looked at again.
pub(super) fn resolve(prev: Option<&(Endpoints, Accounts)>, from: &Sources<'_>) -> (Endpoints, Accounts) {
    let mut services: BTreeMap<&str, Vec<&Hashed<Service>>> = BTreeMap::new();
    for service in &from.services.all {
        services.entry(&service.namespace).or_default().push(service);
    }
    let everybody = Digest::of(from.workloads);
    let (mut out, mut accounts) = (Endpoints::default(), Accounts::default());
    for (namespace, services) in services {
        let old = prev.and_then(|(endpoints, accounts)| {
            let sets = endpoints.by_namespace.get(namespace)?.clone();
            Some((*endpoints.from.get(namespace)?, (sets, accounts.by_namespace.get(namespace)?.clone())))
        });
        let inputs = |abroad: bool| digest(from, namespace, &services, abroad.then_some(everybody));
        let unchanged = old.as_ref().filter(|(before, _)| [false, true].map(inputs).contains(before));
        let (made_from, (sets, ids)) = match unchanged {
            Some(old) => old.clone(),
            None => {
                let (abroad, (sets, ids)) = within(from, namespace, &services);
                let old = old.as_ref().map(|(_, old)| old);
                (inputs(abroad), (sets.reuse(old.map(|old| &old.0)), ids.reuse(old.map(|old| &old.1))))
            }
        };
        let namespace = text(namespace);
        out.from.insert(namespace.clone(), made_from);
        out.by_namespace.insert(namespace.clone(), sets);
        accounts.by_namespace.insert(namespace, ids);
    }
    (out, accounts)
}

/// Digest of what a namespace's endpoints are made from. All workloads count where they were looked through.
fn digest(
    from: &Sources<'_>,
    namespace: &str,
    services: &[&Hashed<Service>],
    everybody: Option<Digest>,
) -> Digest {
    let kinds = [Kind::EndpointSlice, Kind::Endpoints, Kind::ServiceEntry, Kind::WorkloadEntry];
    Digest::of(&(
        (from.mesh, from.identity, services),
        (from.world.stamp_within(&kinds, namespace), from.workloads.digest_within(namespace), everybody),
    ))
}

/// Those of one namespace, and whether workloads of others were looked through.
fn within(from: &Sources<'_>, namespace: &str, services: &[&Hashed<Service>]) -> (bool, Made) {
    let mut slices: BTreeMap<&str, Vec<&Slice>> = BTreeMap::new();
    for slice in from.world.slices().within(namespace).filter(|slice| !slice.service.is_empty()) {
        slices.entry(&slice.service).or_default().push(slice);
    }
    let scene = Scene { all: from, namespace, slices, abroad: Cell::new(false) };
    let mut found = Found::new();
    for service in services.iter().filter(|service| service.registry == Registry::Kubernetes) {
        kubernetes(&scene, service, &mut found);
    }
    let mut entries: Vec<_> = from.world.within::<ServiceEntry>(namespace).collect();
    entries.sort_by(|a, b| a.meta.age(&b.meta));
    entries.into_iter().for_each(|object| entry(&scene, object, &mut found));
    (scene.abroad.get(), settle(&scene, found))
}

/// Identities of all endpoints, then only those endpoints that may be used.
fn settle(scene: &Scene<'_>, found: Found) -> Made {
    let mut accounts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut out = Sets::default();
    for ((host, port), mut endpoints) in found {
        let ids: BTreeSet<&Text> =
            endpoints.iter().map(|e| &e.identity).filter(|id| !id.is_empty()).collect();
        let ids = ids.into_iter().flat_map(|id| scene.all.mesh.same_identities(id));
        accounts.entry(host.clone()).or_default().extend(ids);
        let shows_all = |s: &Hashed<Service>| s.namespace == scene.namespace && s.unready_too;
        if scene.all.services.with_host(&host).any(shows_all) {
            endpoints.iter_mut().for_each(|e| e.healthy = true);
        }
        endpoints.retain(|e| e.healthy);
        endpoints.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        endpoints.dedup_by(|a, b| a.address == b.address && a.port == b.port);
        endpoints.shrink_to_fit();
        out.insert((host, port), Hashed::new(endpoints));
    }
    let accounts =
        accounts.into_iter().map(|(host, ids)| (host, Hashed::new(ids.into_iter().collect()))).collect();
    (Hashed::new(out), Hashed::new(accounts))
}

impl Scene<'_> {
    /// Who lives at an address, whatever namespace they are in.
    fn at(&self, address: &IpAddr) -> Option<&Workload> {
        self.abroad.set(true);
        self.all.workloads.at(address).map(|workload| &**workload)
    }
}

fn kubernetes(from: &Scene<'_>, service: &Service, found: &mut Found) {
    let listed = from.slices.get(service.name.as_str());
    let old = from.all.world.get::<KubeEndpoints>(&service.namespace, &service.name);
    for port in &service.ports {
        let mut endpoints = match (listed, old) {
            (Some(slices), _) => slices.iter().flat_map(|slice| of_slice(from, slice, port)).collect(),
            (None, Some(object)) => of_endpoints(from, object, port),
            (None, None) => of_pods(from, service, port),
        };
        endpoints.extend(selected_entries(from, service, port));
        found.insert((service.host.clone(), port.number), endpoints);
    }
}

fn of_slice(from: &Scene<'_>, slice: &Slice, port: &Port) -> Vec<Endpoint> {
    let Some((_, number)) = slice.ports.iter().find(|(name, _)| **name == *port.name) else {
        return Vec::new();
    };
    let endpoint = |end: &crate::world::End| {
        let named = Some(&end.pod).filter(|name| !name.is_empty());
        let workload = named.and_then(|name| from.all.workloads.named(from.namespace, name)).map(|w| &**w);
        let workload = workload.or_else(|| from.at(&end.address));
        let mut out = of_workload(from, workload, end.address, *number);
        out.healthy = end.ready;
        if out.node.is_empty() {
            out.node = end.node.clone();
        }
        if out.locality.is_empty() && !end.zone.is_empty() {
            out.locality = text(&format!("/{}", end.zone));
        }
        out
    };
    slice.ends.iter().map(endpoint).collect()
}

fn of_endpoints(from: &Scene<'_>, object: &Object<KubeEndpoints>, port: &Port) -> Vec<Endpoint> {
    let mut out = Vec::new();
    for subset in &object.spec.subsets {
        let number = subset.ports.iter().find(|p| p.name == port.name).and_then(|p| p.port);
        let Some(number) = number.and_then(|n| u16::try_from(n).ok()) else { continue };
        let ready = subset.addresses.iter().map(|a| (a, true));
        for (entry, ready) in ready.chain(subset.not_ready_addresses.iter().map(|a| (a, false))) {
            let Ok(address) = entry.ip.parse() else { continue };
            let mut endpoint = of_workload(from, from.at(&address), address, number);
            endpoint.healthy = ready;
            out.push(endpoint);
        }
    }
    out
}

/// What Kubernetes would do, for manifests without its help.
fn of_pods(from: &Scene<'_>, service: &Service, port: &Port) -> Vec<Endpoint> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for pod in from.all.workloads.within(&service.namespace) {
        if !labels_match(&service.selector, &pod.labels) {
            continue;
        }
        let (Some(number), Some(address)) = (target_number(port, Some(pod)), pod.addresses.first()) else {
            continue;
        };
        let mut endpoint = of_workload(from, Some(pod), *address, number);
        endpoint.healthy = pod.ready;
        out.push(endpoint);
    }
    out
}

fn selected_entries(from: &Scene<'_>, service: &Service, port: &Port) -> Vec<Endpoint> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let entries = from.all.world.within::<WorkloadEntry>(&service.namespace);
    entries
        .filter(|e| labels_match(&service.selector, &entry_labels(&e.spec, &e.meta.labels)))
        .filter_map(|e| of_entry(from, &e.spec, &e.meta.labels, &e.meta.name, &service.namespace, port))
        .collect()
}

/// Number of the workload's port behind a service port.
pub fn target_number(port: &Port, workload: Option<&Workload>) -> Option<u16> {
    match &port.target {
        Target::Number(number) => Some(*number),
        Target::Name(name) => workload.and_then(|w| w.ports.get(name).copied()),
    }
}

fn of_workload(from: &Scene<'_>, workload: Option<&Workload>, address: IpAddr, port: u16) -> Endpoint {
    let Some(w) = workload else {
        return Endpoint { address: Address::Ip(address), port, ..bare() };
    };
    let takes = from.all.identity.mode(&w.namespace, &w.labels, port) != Mode::Disable;
    Endpoint {
        address: Address::Ip(address),
        port,
        labels: w.labels.clone(),
        locality: w.locality.clone(),
        mutual_tls: w.proxied && takes,
        identity: w.identity.clone(),
        workload: text(&w.summary()),
        network: w.network.clone(),
        node: w.node.clone(),
        pod: w.name.clone(),
        weight: 1,
        healthy: true,
    }
}

fn bare() -> Endpoint {
    Endpoint {
        address: Address::Name(String::new()),
        port: 0,
        labels: Labels::default(),
        locality: Text::default(),
        weight: 1,
        healthy: true,
        mutual_tls: false,
        identity: Text::default(),
        workload: Text::default(),
        network: Text::default(),
        node: Text::default(),
        pod: Text::default(),
    }
}

fn by_name(name: &str, port: u16) -> Endpoint {
    Endpoint { address: Address::Name(name.to_owned()), port, ..bare() }
}

/// Endpoints of one ServiceEntry, for each of its hosts.
fn entry(from: &Scene<'_>, object: &Object<ServiceEntry>, found: &mut Found) {
    let spec = &object.spec;
    let namespace = object.meta.namespace.as_str();
    for host in &spec.hosts {
        let host = full(host, namespace);
        let service = from.all.services.with_host(&host).find(|s| s.namespace == namespace);
        let Some(service) = service.filter(|s| s.registry == Registry::External) else { continue };
        for port in &service.ports {
            if !spec.ports.iter().any(|p| p.number == u32::from(port.number)) {
                continue;
            }
            let mut endpoints: Vec<Endpoint> = spec
                .endpoints
                .iter()
                .filter_map(|e| of_entry(from, e, &BTreeMap::new(), &service.name, namespace, port))
                .collect();
            if let Some(selector) = &spec.workload_selector {
                endpoints.extend(selected(from, &selector.labels, namespace, port));
            }
            let by_dns = matches!(service.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
            if endpoints.is_empty() && spec.workload_selector.is_none() && by_dns {
                endpoints.push(by_name(&host, target_number(port, None).unwrap_or(port.number)));
            }
            found.entry((host.clone(), port.number)).or_default().extend(endpoints);
        }
    }
}

/// WorkloadEntries and pods that a ServiceEntry selects.
fn selected(
    from: &Scene<'_>,
    labels: &BTreeMap<String, String>,
    namespace: &str,
    port: &Port,
) -> Vec<Endpoint> {
    let entries = from.all.world.within::<WorkloadEntry>(namespace);
    let mut out: Vec<Endpoint> = entries
        .filter(|e| labels_match(labels, &entry_labels(&e.spec, &e.meta.labels)))
        .filter_map(|e| of_entry(from, &e.spec, &e.meta.labels, &e.meta.name, namespace, port))
        .collect();
    for pod in from.all.workloads.within(namespace).filter(|w| labels_match(labels, &w.labels)) {
        let (Some(number), Some(address)) = (target_number(port, Some(pod)), pod.addresses.first()) else {
            continue;
        };
        let mut endpoint = of_workload(from, Some(pod), *address, number);
        endpoint.healthy = pod.ready;
        out.push(endpoint);
    }
    out
}

fn entry_labels(entry: &WorkloadEntry, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    own.iter().chain(&entry.labels).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn of_entry(
    from: &Scene<'_>,
    entry: &WorkloadEntry,
    own: &BTreeMap<String, String>,
    name: &str,
    namespace: &str,
    port: &Port,
) -> Option<Endpoint> {
    let address = match entry.address.strip_prefix("unix://") {
        Some(path) => Address::Pipe(path.to_owned()),
        None => match entry.address.parse() {
            Ok(ip) => Address::Ip(ip),
            Err(_) if entry.address.is_empty() => return None,
            Err(_) => Address::Name(entry.address.clone()),
        },
    };
    let number = entry.ports.get(&port.name).and_then(|n| u16::try_from(*n).ok());
    let number = number.or_else(|| target_number(port, None)).unwrap_or(port.number);
    let labels = entry_labels(entry, own);
    let takes = from.all.identity.mode(namespace, &labels, number) != Mode::Disable;
    // Whoever has an account of the mesh has a proxy, unless its label says otherwise.
    let meshed = labels.get(TLS_MODE).map_or(!entry.service_account.is_empty(), |mode| mode == "istio");
    let identity = if entry.service_account.is_empty() {
        String::new()
    } else {
        spiffe(&from.all.mesh.trust_domain, namespace, &entry.service_account)
    };
    Some(Endpoint {
        address,
        port: number,
        mutual_tls: meshed && takes,
        workload: text(&summary(name, namespace, &labels)),
        locality: text(&entry.locality),
        weight: entry.weight.max(1),
        network: text(&entry.network),
        labels: Arc::new(labels),
        identity: text(&identity),
        ..bare()
    })
}
