//! Pods and WorkloadEntries -> workloads: who lives at an address.
//!
//! Comes in: the world. Goes out: workloads by namespace and name, and an index by address. Read by endpoints, by
//! `View` (which ports does this proxy serve) and by gateways (which pods does a selector mean).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use api::Kind;
use api::core::Node;
use wire::spiffe::TrustDomain;

use super::hashed::{Aside, Digest, Hashed};
pub use crate::world::{NETWORK, TLS_MODE};
use crate::world::{Pod, Text, World, text};

/// Cluster id where nothing else is known.
pub const CLUSTER: &str = "Kubernetes";
/// Label of the cluster that something is in.
pub const CLUSTER_LABEL: &str = "topology.istio.io/cluster";

/// A pod, and what follows from the rest of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    pod: Arc<Pod>,
    /// SPIFFE id.
    pub identity: Text,
    /// `region/zone/subzone`.
    pub locality: Text,
}

impl Deref for Workload {
    type Target = Pod;
    fn deref(&self) -> &Pod {
        &self.pod
    }
}

/// All workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workloads {
    by_namespace: BTreeMap<Text, Hashed<Residents>>,
    /// What the residents of a namespace are made from.
    from: Aside<BTreeMap<Text, Digest>>,
}

/// Workloads of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Residents {
    /// By name.
    all: Box<[Hashed<Workload>]>,
    /// Places in `all`, by address.
    addresses: Box<[(IpAddr, u32)]>,
    /// Places of the first of those that have the same labels and ports.
    sorts: Vec<u32>,
}

impl Residents {
    fn named(&self, name: &str) -> Option<&Hashed<Workload>> {
        self.all.binary_search_by(|workload| (*workload.name).cmp(name)).ok().map(|at| &self.all[at])
    }

    fn at(&self, address: &IpAddr) -> Option<&Hashed<Workload>> {
        let found = self.addresses.binary_search_by(|(known, _)| known.cmp(address)).ok()?;
        self.all.get(self.addresses[found].1 as usize)
    }
}

impl Workloads {
    /// The workload with this namespace and name.
    pub fn named(&self, namespace: &str, name: &str) -> Option<&Hashed<Workload>> {
        self.by_namespace.get(namespace)?.named(name)
    }

    /// The workload at this address.
    pub fn at(&self, address: &IpAddr) -> Option<&Hashed<Workload>> {
        self.by_namespace.values().rev().find_map(|residents| residents.at(address))
    }

    /// All of them, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Hashed<Workload>> {
        self.by_namespace.values().flat_map(|residents| residents.all.iter())
    }

    /// Those of a namespace, by name.
    pub fn within<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a Hashed<Workload>> + use<'a> {
        self.by_namespace.get(namespace).into_iter().flat_map(|residents| residents.all.iter())
    }

    /// One of each sort: who asks for labels and ports need not look at every pod of a Deployment.
    pub fn sorts(&self) -> impl Iterator<Item = &Hashed<Workload>> {
        self.by_namespace
            .values()
            .flat_map(|residents| residents.sorts.iter().filter_map(|at| residents.all.get(*at as usize)))
    }

    /// Digest of those of a namespace.
    pub(super) fn digest_within(&self, namespace: &str) -> Option<Digest> {
        self.by_namespace.get(namespace).map(Hashed::digest)
    }
}

/// Reads all pods. Of what has not changed since `prev` nothing is looked at again.
pub fn resolve(prev: Option<&Workloads>, world: &World, trust_domain: &str) -> Workloads {
    let mut out = Workloads::default();
    let nodes = world.stamp(&[Kind::Node]);
    for namespace in world.pods().namespaces() {
        let from = Digest::of(&(world.pods().stamp(namespace), &nodes, trust_domain));
        let old = prev.and_then(|prev| prev.by_namespace.get(namespace));
        let same = prev.is_some_and(|prev| prev.from.get(namespace) == Some(&from));
        let residents = match old.filter(|_| same) {
            Some(old) => old.clone(),
            None => Hashed::new(residents(old, world, namespace, trust_domain)).reuse(old),
        };
        out.from.insert(namespace.clone(), from);
        out.by_namespace.insert(namespace.clone(), residents);
    }
    out
}

fn residents(old: Option<&Hashed<Residents>>, world: &World, namespace: &str, domain: &str) -> Residents {
    let mut known = std::collections::HashSet::new();
    let (mut all, mut addresses, mut sorts) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (pod, at) in world.pods().within(namespace).zip(0u32..) {
        if !pod.host_network {
            addresses.extend(pod.addresses.iter().map(|address| (*address, at)));
        }
        if known.insert((&pod.labels, &pod.ports)) {
            sorts.push(at);
        }
        let workload = Workload {
            identity: text(&spiffe(domain, namespace, &pod.account)),
            locality: locality(world, pod),
            pod: pod.clone(),
        };
        let before = old.and_then(|old| old.named(&pod.name));
        let unchanged = before.filter(|before| {
            Arc::ptr_eq(&before.pod, pod)
                && (&before.identity, &before.locality) == (&workload.identity, &workload.locality)
        });
        all.push(unchanged.cloned().unwrap_or_else(|| Hashed::new(workload)));
    }
    Residents { all: all.into(), addresses: addresses.into_iter().collect(), sorts }
}

/// `spiffe://TRUST-DOMAIN/ns/NS/sa/ACCOUNT`; empty if one of them cannot be part of an id.
pub fn spiffe(trust_domain: &str, namespace: &str, account: &str) -> String {
    TrustDomain::new(trust_domain)
        .and_then(|domain| domain.workload(namespace, account))
        .map(|id| id.to_string())
        .unwrap_or_default()
}

/// The pod's own label, else its node's labels.
fn locality(world: &World, pod: &Pod) -> Text {
    if !pod.place.is_empty() {
        return pod.place.clone();
    }
    let Some(node) = world.get::<Node>("", &pod.node) else { return text("") };
    let part = |keys: &[&str]| keys.iter().find_map(|key| node.meta.label(key)).unwrap_or_default();
    let region = part(&["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]);
    let zone = part(&["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]);
    let subzone = part(&["topology.istio.io/subzone"]);
    text(format!("{region}/{zone}/{subzone}").trim_end_matches('/'))
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
