//! EndpointSlices, Endpoints, pods and WorkloadEntries -> endpoints of every service port.
//!
//! Comes in: the world, services, workloads and who must speak mutual TLS. Goes out: endpoint sets and, apart from
//! them, the identities behind each service. A Service without slices is answered by the pods that it selects,
//! so that plain manifests are enough.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::core::{EndpointSlice, Endpoints as KubeEndpoints, SERVICE_NAME_LABEL};
use api::meta::labels_match;
use api::networking::{ServiceEntry, WorkloadEntry};
use api::{Findings, Object};

use super::endpoint::{Accounts, Address, Endpoint, Endpoints, ServiceKey, ServicePort};
use super::hashed::Hashed;
use super::identity::{Identity, Mode};
use super::mesh::Mesh;
use super::names::full;
use super::service::{Port, Registry, Resolution, Service, Target};
use super::services::Services;
use super::workloads::{TLS_MODE, Workload, Workloads, spiffe, summary};
use crate::world::World;

/// What endpoints are made from.
pub(super) struct Sources<'a> {
    pub world: &'a World,
    pub services: &'a Services,
    pub workloads: &'a Workloads,
    pub identity: &'a Identity,
    pub mesh: &'a Mesh,
}

/// All endpoints, ready or not, by service port.
type Found = BTreeMap<ServicePort, Vec<Endpoint>>;

/// Finds all endpoints.
pub(super) fn resolve(from: &Sources<'_>, _findings: &mut Findings) -> (Endpoints, Accounts) {
    let mut found = Found::new();
    let slices = slices_by_service(from.world);
    for service in &from.services.all {
        match service.registry {
            Registry::Kubernetes => kubernetes(from, service, &slices, &mut found),
            Registry::External => {}
        }
    }
    for object in from.world.by_age::<ServiceEntry>() {
        entry(from, object, &mut found);
    }
    settle(from.mesh, from.services, found)
}

/// Identities of all endpoints, then only those endpoints that may be used.
fn settle(mesh: &Mesh, services: &Services, found: Found) -> (Endpoints, Accounts) {
    let mut accounts: BTreeMap<ServiceKey, BTreeSet<String>> = BTreeMap::new();
    let mut out = Endpoints::default();
    for (port, mut endpoints) in found {
        let ids = endpoints.iter().filter(|e| !e.identity.is_empty());
        let ids = ids.flat_map(|e| mesh.same_identities(&e.identity));
        accounts.entry(port.service.clone()).or_default().extend(ids);
        let unready_too = services
            .with_host(&port.service.host)
            .any(|s| s.namespace == port.service.namespace && s.unready_too);
        if unready_too {
            endpoints.iter_mut().for_each(|e| e.healthy = true);
        }
        endpoints.retain(|e| e.healthy);
        endpoints.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
        endpoints.dedup_by(|a, b| a.address == b.address && a.port == b.port);
        out.sets.insert(port, Hashed::new(endpoints));
    }
    let by_service =
        accounts.into_iter().map(|(key, ids)| (key, Hashed::new(ids.into_iter().collect()))).collect();
    (out, Accounts { by_service })
}

fn slices_by_service(world: &World) -> BTreeMap<(String, String), Vec<&Object<EndpointSlice>>> {
    let mut out: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for slice in world.all::<EndpointSlice>() {
        if let Some(service) = slice.meta.label(SERVICE_NAME_LABEL) {
            out.entry((slice.meta.namespace.clone(), service.to_owned())).or_default().push(slice);
        }
    }
    out
}

fn kubernetes(
    from: &Sources<'_>,
    service: &Service,
    slices: &BTreeMap<(String, String), Vec<&Object<EndpointSlice>>>,
    found: &mut Found,
) {
    let key = ServiceKey::new(&service.host, &service.namespace);
    let listed = slices.get(&(service.namespace.clone(), service.name.clone()));
    let old = from.world.get::<KubeEndpoints>(&service.namespace, &service.name);
    for port in &service.ports {
        let mut endpoints = match (listed, old) {
            (Some(slices), _) => slices.iter().flat_map(|slice| of_slice(from, slice, port)).collect(),
            (None, Some(object)) => of_endpoints(from, object, port),
            (None, None) => of_pods(from, service, port),
        };
        endpoints.extend(selected_entries(from, service, port));
        found.insert(key.clone().port(port.number), endpoints);
    }
}

fn of_slice(from: &Sources<'_>, slice: &Object<EndpointSlice>, port: &Port) -> Vec<Endpoint> {
    let Some(number) = slice.spec.ports.iter().find(|p| p.name == port.name).and_then(|p| p.port) else {
        return Vec::new();
    };
    let Ok(number) = u16::try_from(number) else { return Vec::new() };
    let namespace = slice.meta.namespace.as_str();
    let endpoint = |e: &api::core::SliceEndpoint| {
        let address: IpAddr = e.addresses.first()?.parse().ok()?;
        let pod = e.target_ref.as_ref().filter(|r| r.kind == "Pod");
        let workload = pod
            .and_then(|r| from.workloads.named(namespace, &r.name))
            .or_else(|| from.workloads.at(&address));
        let mut out = of_workload(from, workload.map(|w| &**w), address, number);
        out.healthy = e.is_ready();
        if out.node.is_empty() {
            out.node = e.node_name.clone().unwrap_or_default();
        }
        if out.locality.is_empty() {
            out.locality = e.zone.as_ref().map(|zone| format!("/{zone}")).unwrap_or_default();
        }
        Some(out)
    };
    slice.spec.endpoints.iter().filter_map(endpoint).collect()
}

fn of_endpoints(from: &Sources<'_>, object: &Object<KubeEndpoints>, port: &Port) -> Vec<Endpoint> {
    let mut out = Vec::new();
    for subset in &object.spec.subsets {
        let number = subset.ports.iter().find(|p| p.name == port.name).and_then(|p| p.port);
        let Some(number) = number.and_then(|n| u16::try_from(n).ok()) else { continue };
        let ready = subset.addresses.iter().map(|a| (a, true));
        for (entry, ready) in ready.chain(subset.not_ready_addresses.iter().map(|a| (a, false))) {
            let Ok(address) = entry.ip.parse() else { continue };
            let mut endpoint = of_workload(from, from.workloads.at(&address).map(|w| &**w), address, number);
            endpoint.healthy = ready;
            out.push(endpoint);
        }
    }
    out
}

/// What Kubernetes would do, for manifests without its help.
fn of_pods(from: &Sources<'_>, service: &Service, port: &Port) -> Vec<Endpoint> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for pod in from.workloads.within(&service.namespace) {
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

fn selected_entries(from: &Sources<'_>, service: &Service, port: &Port) -> Vec<Endpoint> {
    if service.selector.is_empty() {
        return Vec::new();
    }
    let entries = from.world.within::<WorkloadEntry>(&service.namespace);
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

fn of_workload(from: &Sources<'_>, workload: Option<&Workload>, address: IpAddr, port: u16) -> Endpoint {
    let Some(w) = workload else {
        return Endpoint { address: Address::Ip(address), port, ..bare() };
    };
    let takes = from.identity.mode(&w.namespace, &w.labels, port) != Mode::Disable;
    Endpoint {
        address: Address::Ip(address),
        port,
        labels: w.labels.clone(),
        locality: w.locality.clone(),
        mutual_tls: w.proxied && takes,
        identity: w.identity.clone(),
        workload: w.summary(),
        network: w.network.clone(),
        node: w.node.clone(),
        pod: w.name.clone(),
        ..bare()
    }
}

fn bare() -> Endpoint {
    Endpoint {
        address: Address::Name(String::new()),
        port: 0,
        labels: BTreeMap::new(),
        locality: String::new(),
        weight: 1,
        healthy: true,
        mutual_tls: false,
        identity: String::new(),
        workload: String::new(),
        network: String::new(),
        node: String::new(),
        pod: String::new(),
    }
}

fn by_name(name: &str, port: u16) -> Endpoint {
    Endpoint { address: Address::Name(name.to_owned()), port, ..bare() }
}

/// Endpoints of one ServiceEntry, for each of its hosts.
fn entry(from: &Sources<'_>, object: &Object<ServiceEntry>, found: &mut Found) {
    let spec = &object.spec;
    let namespace = object.meta.namespace.as_str();
    for host in &spec.hosts {
        let host = full(host, namespace);
        let service = from.services.with_host(&host).find(|s| s.namespace == namespace);
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
            let key = ServiceKey::new(&host, namespace).port(port.number);
            found.entry(key).or_default().extend(endpoints);
        }
    }
}

/// WorkloadEntries and pods that a ServiceEntry selects.
fn selected(
    from: &Sources<'_>,
    labels: &BTreeMap<String, String>,
    namespace: &str,
    port: &Port,
) -> Vec<Endpoint> {
    let entries = from.world.within::<WorkloadEntry>(namespace);
    let mut out: Vec<Endpoint> = entries
        .filter(|e| labels_match(labels, &entry_labels(&e.spec, &e.meta.labels)))
        .filter_map(|e| of_entry(from, &e.spec, &e.meta.labels, &e.meta.name, namespace, port))
        .collect();
    for pod in from.workloads.within(namespace).filter(|w| labels_match(labels, &w.labels)) {
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
    from: &Sources<'_>,
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
    let takes = from.identity.mode(namespace, &labels, number) != Mode::Disable;
    // Whoever has an account of the mesh has a proxy, unless its label says otherwise.
    let meshed = labels.get(TLS_MODE).map_or(!entry.service_account.is_empty(), |mode| mode == "istio");
    let identity = if entry.service_account.is_empty() {
        String::new()
    } else {
        spiffe(&from.mesh.trust_domain, namespace, &entry.service_account)
    };
    Some(Endpoint {
        address,
        port: number,
        mutual_tls: meshed && takes,
        workload: summary(name, namespace, &labels),
        locality: entry.locality.clone(),
        weight: entry.weight.max(1),
        network: entry.network.clone(),
        labels,
        identity,
        ..bare()
    })
}
