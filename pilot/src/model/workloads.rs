//! Pods and WorkloadEntries -> workloads: who lives at an address.
//!
//! Comes in: the world. Goes out: workloads by namespace and name, and an index by address. Read by endpoints, by
//! `View` (which ports does this proxy serve) and by gateways (which pods does a selector mean).

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::Object;
use api::core::{Node, Pod, PodStatus};
use wire::spiffe::TrustDomain;

use super::hashed::Hashed;
use crate::world::World;

/// Cluster id where nothing else is known.
pub const CLUSTER: &str = "Kubernetes";
/// Label of the network that something is in.
pub const NETWORK: &str = "topology.istio.io/network";
/// Label of the cluster that something is in.
pub const CLUSTER_LABEL: &str = "topology.istio.io/cluster";
/// Label that the injector sets on pods with a proxy.
pub const TLS_MODE: &str = "security.istio.io/tlsMode";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub addresses: Vec<IpAddr>,
    pub account: String,
    /// SPIFFE id.
    pub identity: String,
    /// Named container ports.
    pub ports: BTreeMap<String, u16>,
    pub ready: bool,
    /// Has a proxy of the mesh.
    pub proxied: bool,
    /// `region/zone/subzone`.
    pub locality: String,
    pub network: String,
    /// Name of its node.
    pub node: String,
    /// The Deployment (or other maker) behind it.
    pub owner: String,
    pub hostname: String,
    pub subdomain: String,
}

/// All workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workloads {
    by_name: BTreeMap<(String, String), Hashed<Workload>>,
    by_address: BTreeMap<IpAddr, (String, String)>,
}

impl Workloads {
    /// The workload with this namespace and name.
    pub fn named(&self, namespace: &str, name: &str) -> Option<&Hashed<Workload>> {
        self.by_name.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The workload at this address.
    pub fn at(&self, address: &IpAddr) -> Option<&Hashed<Workload>> {
        self.by_address.get(address).and_then(|key| self.by_name.get(key))
    }

    /// All of them, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Hashed<Workload>> {
        self.by_name.values()
    }

    /// Those of a namespace, by name.
    pub fn within<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Hashed<Workload>> + 'a {
        let from = (namespace.to_owned(), String::new());
        self.by_name.range(from..).take_while(move |((ns, _), _)| ns == namespace).map(|(_, w)| w)
    }
}

/// Reads all pods.
pub fn resolve(world: &World, trust_domain: &str) -> Workloads {
    let mut out = Workloads::default();
    for object in world.all::<Pod>() {
        let workload = pod(world, object, trust_domain);
        let key = (workload.namespace.clone(), workload.name.clone());
        if !object.spec.host_network {
            out.by_address.extend(workload.addresses.iter().map(|address| (*address, key.clone())));
        }
        out.by_name.insert(key, Hashed::new(workload));
    }
    out
}

fn pod(world: &World, object: &Object<Pod>, trust_domain: &str) -> Workload {
    let meta = &object.meta;
    let status: PodStatus =
        object.status.clone().and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let mut addresses: Vec<IpAddr> = std::iter::once(&status.pod_ip)
        .chain(status.pod_ips.iter().map(|p| &p.ip))
        .filter_map(|text| text.parse().ok())
        .collect();
    let mut seen = Vec::new();
    addresses.retain(|a| {
        !seen.contains(a) && {
            seen.push(*a);
            true
        }
    });
    let condition = status.conditions.iter().find(|c| c.condition_type == "Ready");
    let ports = object.spec.containers.iter().flat_map(|c| &c.ports);
    let account = object.spec.account().to_owned();
    Workload {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        identity: spiffe(trust_domain, &meta.namespace, &account),
        labels: meta.labels.clone(),
        addresses,
        account,
        ports: ports
            .filter(|p| !p.name.is_empty())
            .filter_map(|p| Some((p.name.clone(), u16::try_from(p.container_port).ok()?)))
            .collect(),
        ready: condition.is_none_or(|c| c.status == "True") && meta.deletion_timestamp.is_none(),
        proxied: meta.label(TLS_MODE) == Some("istio"),
        locality: locality(world, object),
        network: meta.label(NETWORK).unwrap_or_default().to_owned(),
        node: object.spec.node_name.clone(),
        owner: owner(object),
        hostname: object.spec.hostname.clone(),
        subdomain: object.spec.subdomain.clone(),
    }
}

/// `spiffe://TRUST-DOMAIN/ns/NS/sa/ACCOUNT`; empty if one of them cannot be part of an id.
pub fn spiffe(trust_domain: &str, namespace: &str, account: &str) -> String {
    TrustDomain::new(trust_domain)
        .and_then(|domain| domain.workload(namespace, account))
        .map(|id| id.to_string())
        .unwrap_or_default()
}

/// The pod's own label, else its node's labels.
fn locality(world: &World, object: &Object<Pod>) -> String {
    let own = ["istio-locality", "topology.istio.io/locality"].iter().find_map(|key| object.meta.label(key));
    if let Some(text) = own {
        return text.replace('.', "/");
    }
    let Some(node) = world.get::<Node>("", &object.spec.node_name) else { return String::new() };
    let part = |keys: &[&str]| keys.iter().find_map(|key| node.meta.label(key)).unwrap_or_default();
    let region = part(&["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]);
    let zone = part(&["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]);
    let subzone = part(&["topology.istio.io/subzone"]);
    let text = format!("{region}/{zone}/{subzone}");
    text.trim_end_matches('/').to_owned()
}

/// The Deployment's name where a ReplicaSet made the pod, else the maker's, else the pod's.
fn owner(object: &Object<Pod>) -> String {
    if let Some(name) = object.meta.label("service.istio.io/workload-name") {
        return name.to_owned();
    }
    let maker = object.meta.owner_references.iter().find(|o| o.controller.unwrap_or(true));
    let name = maker.map_or(object.meta.name.as_str(), |o| o.name.as_str());
    match (maker.map(|o| o.kind.as_str()), object.meta.label("pod-template-hash")) {
        (Some("ReplicaSet"), Some(hash)) => {
            name.strip_suffix(hash).and_then(|n| n.strip_suffix('-')).unwrap_or(name).to_owned()
        }
        _ => name.to_owned(),
    }
}

impl Workload {
    /// `OWNER;NAMESPACE;CANONICAL;REVISION;CLUSTER`: labels of metrics at the client.
    pub fn summary(&self) -> String {
        summary(&self.owner, &self.namespace, &self.labels)
    }
}

/// `OWNER;NAMESPACE;CANONICAL;REVISION;CLUSTER`.
pub fn summary(owner: &str, namespace: &str, labels: &BTreeMap<String, String>) -> String {
    let first = |keys: [&str; 3]| keys.iter().find_map(|key| labels.get(*key)).map(String::as_str);
    let canonical =
        first(["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]).unwrap_or(owner);
    let revision = first(["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]);
    format!("{owner};{namespace};{canonical};{};{CLUSTER}", revision.unwrap_or("latest"))
}
