//! VirtualService objects -> route sets, oldest first.
//!
//! Delegates are merged into their roots; a set with hosts that an older one already has on the mesh is named.

use std::collections::BTreeMap;

use api::networking::VirtualService;
use api::{Code, Findings, Object};

use super::route::{GatewayRef, HttpMatch, HttpRule, RouteSet};
use super::{delegate, virtual_service as vs};
use crate::model::hashed::Hashed;
use crate::model::mesh::Mesh;
use crate::model::names::full;
use crate::model::note::{note, source};
use crate::model::service::Visibility;
use crate::world::World;

/// All route sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Routes {
    /// Oldest first: the first that claims a host keeps it.
    pub sets: Vec<Hashed<RouteSet>>,
    /// Label keys that some rule asks of its clients: all that a view may keep of its labels.
    pub label_keys: Vec<String>,
}

/// Reads all VirtualServices.
pub fn resolve(world: &World, mesh: &Mesh, findings: &mut Findings) -> Routes {
    let mut sets: Vec<Hashed<RouteSet>> = Vec::new();
    let mut taken: BTreeMap<String, (String, Visibility)> = BTreeMap::new();
    for object in world.by_age::<VirtualService>() {
        // Without hosts it is only a delegate.
        if object.spec.hosts.is_empty() {
            if !object.spec.gateways.is_empty() {
                note(findings, object, "spec.hosts", Code::Required, "hosts must be set where gateways are");
            }
            continue;
        }
        let set = route_set(world, object, mesh, findings);
        if set.binds(&GatewayRef::Mesh) {
            for host in &set.hosts {
                let own = (format!("{}/{}", set.namespace, set.name), set.visibility.clone());
                match taken.get(host) {
                    Some((older, visibility)) if visibility.meets(&set.visibility) => {
                        let text = format!(
                            "{host} is routed by the older VirtualService {older}, which wins in sidecars"
                        );
                        note(
                            findings,
                            object,
                            "spec.hosts",
                            Code::ConflictingMeshGatewayVirtualServiceHosts,
                            text,
                        );
                    }
                    _ => drop(taken.insert(host.clone(), own)),
                }
            }
        }
        sets.push(Hashed::new(set));
    }
    let label_keys = label_keys(&sets);
    Routes { sets, label_keys }
}

fn route_set(
    world: &World,
    object: &Object<VirtualService>,
    mesh: &Mesh,
    findings: &mut Findings,
) -> RouteSet {
    let spec = &object.spec;
    let namespace = object.meta.namespace.as_str();
    let mut http = Vec::new();
    for index in 0..spec.http.len() {
        match vs::http(object, index, findings) {
            Some(rule) => http.push(rule),
            None => http.extend(delegated(world, object, index, findings)),
        }
    }
    let gateways = if spec.gateways.is_empty() {
        vec![GatewayRef::Mesh]
    } else {
        spec.gateways.iter().map(|g| vs::gateway(g, namespace)).collect()
    };
    RouteSet {
        name: object.meta.name.clone(),
        namespace: namespace.to_owned(),
        hosts: spec.hosts.iter().map(|h| full(h, namespace)).collect(),
        gateways,
        visibility: Visibility::parse(&spec.export_to, namespace, &mesh.export_routes),
        http: http.into_iter().map(Hashed::new).collect(),
        tls: (0..spec.tls.len()).map(|index| vs::tls(object, index)).collect(),
        tcp: (0..spec.tcp.len()).map(|index| vs::tcp(object, index)).collect(),
    }
}

fn delegated(
    world: &World,
    root: &Object<VirtualService>,
    index: usize,
    findings: &mut Findings,
) -> Vec<HttpRule> {
    let path = format!("spec.http[{index}].delegate");
    let Some(to) = &root.spec.http[index].delegate else { return Vec::new() };
    let namespace = if to.namespace.is_empty() { &root.meta.namespace } else { &to.namespace };
    let Some(object) = world.get::<VirtualService>(namespace, &to.name) else {
        let text = format!("there is no VirtualService {namespace}/{}", to.name);
        note(findings, root, &path, Code::ReferencedResourceNotFound, text);
        return Vec::new();
    };
    if !object.spec.hosts.is_empty() {
        let text =
            format!("VirtualService {namespace}/{} has hosts of its own and cannot be a delegate", to.name);
        note(findings, root, &path, Code::BadReference, text);
        return Vec::new();
    }
    let matches: Vec<HttpMatch> = root.spec.http[index]
        .matches
        .iter()
        .enumerate()
        .map(|(at, entry)| HttpMatch {
            source: source(root, &format!("spec.http[{index}].match[{at}]")),
            ..vs::http_match(entry, &root.meta.namespace)
        })
        .collect();
    // A delegate that delegates is not followed further.
    let rules: Vec<HttpRule> =
        (0..object.spec.http.len()).filter_map(|i| vs::http(object, i, findings)).collect();
    let before = rules.len();
    let merged = delegate::merge(&matches, rules);
    if merged.len() < before {
        let text = format!("{} rules of {namespace}/{} can never match here", before - merged.len(), to.name);
        note(findings, root, &path, Code::VirtualServiceIneffectiveMatch, text);
    }
    merged
}

fn label_keys(sets: &[Hashed<RouteSet>]) -> Vec<String> {
    let http = sets.iter().flat_map(|s| &s.http).flat_map(|r| &r.matches).map(|m| &m.client);
    let tls = sets.iter().flat_map(|s| &s.tls).flat_map(|r| &r.matches).map(|m| &m.client);
    let tcp = sets.iter().flat_map(|s| &s.tcp).flat_map(|r| &r.matches).map(|m| &m.client);
    let mut keys: Vec<String> = http.chain(tls).chain(tcp).flat_map(|c| c.labels.keys().cloned()).collect();
    keys.sort();
    keys.dedup();
    keys
}
