//! What the mesh reads of a pod, and nothing else: there may be 100,000 of them.
//!
//! In: a Pod as an API server or a file has it. Out: a record of shared words. Made by `source` for a cluster and by
//! `store` for objects of files; read by `model::workloads`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use api::Object;
use api::core::{Pod as Written, PodStatus};
use api::meta::OwnerReference;

use super::text::{self, Labels, Ports, Text, text};

/// Label of the network that something is in.
pub const NETWORK: &str = "topology.istio.io/network";
/// Label that the injector sets on pods with a proxy.
pub const TLS_MODE: &str = "security.istio.io/tlsMode";

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    pub name: Text,
    pub addresses: Box<[IpAddr]>,
    pub ready: bool,
    /// Name of its node.
    pub node: Text,
    pub hostname: Text,
    sort: Arc<Sort>,
}

/// What the pods of one Deployment have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    pub namespace: Text,
    pub labels: Labels,
    pub account: Text,
    /// Named container ports.
    pub ports: Ports,
    /// They have the addresses of their nodes.
    pub host_network: bool,
    /// Have a proxy of the mesh.
    pub proxied: bool,
    /// `region/zone/subzone` by their own label; empty: that of the node.
    pub place: Text,
    pub network: Text,
    /// The Deployment (or other maker) behind them.
    pub owner: Text,
    pub subdomain: Text,
}

impl Deref for Pod {
    type Target = Sort;
    fn deref(&self) -> &Sort {
        &self.sort
    }
}

/// What is read of a pod, wherever it comes from.
pub struct Facts<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub makers: &'a [OwnerReference],
    /// It is on its way out.
    pub ending: bool,
    pub account: &'a str,
    /// Containers' ports with a name.
    pub ports: BTreeMap<String, u16>,
    pub host_network: bool,
    pub node: &'a str,
    pub hostname: &'a str,
    pub subdomain: &'a str,
    pub status: &'a PodStatus,
}

impl Facts<'_> {
    /// The record.
    pub fn record(&self) -> Pod {
        let own = |key: &str| self.labels.get(key).map(String::as_str);
        let mut addresses: Vec<IpAddr> = Vec::new();
        let texts = std::iter::once(&self.status.pod_ip).chain(self.status.pod_ips.iter().map(|p| &p.ip));
        for address in texts.filter_map(|text| text.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let condition = self.status.conditions.iter().find(|c| c.condition_type == "Ready");
        let place = ["istio-locality", "topology.istio.io/locality"].into_iter().find_map(own);
        let sort = Sort {
            namespace: text(self.namespace),
            labels: Arc::new(self.labels.clone()),
            account: text(self.account),
            ports: Arc::new(self.ports.clone()),
            host_network: self.host_network,
            proxied: own(TLS_MODE) == Some("istio"),
            place: text(&place.unwrap_or_default().replace('.', "/")),
            network: text(own(NETWORK).unwrap_or_default()),
            owner: text(self.owner()),
            subdomain: text(self.subdomain),
        };
        Pod {
            name: text(self.name),
            addresses: addresses.into(),
            ready: condition.is_none_or(|c| c.status == "True") && !self.ending,
            node: text(self.node),
            hostname: text(self.hostname),
            sort: text::shared(sort),
        }
    }

    /// The Deployment's name where a ReplicaSet made the pod, else the maker's, else the pod's.
    fn owner(&self) -> &str {
        if let Some(name) = self.labels.get("service.istio.io/workload-name") {
            return name;
        }
        let maker = self.makers.iter().find(|o| o.controller.unwrap_or(true));
        let name = maker.map_or(self.name, |o| o.name.as_str());
        match (maker.map(|o| o.kind.as_str()), self.labels.get("pod-template-hash")) {
            (Some("ReplicaSet"), Some(hash)) => {
                name.strip_suffix(hash.as_str()).and_then(|n| n.strip_suffix('-')).unwrap_or(name)
            }
            _ => name,
        }
    }
}

impl Pod {
    /// The record of an object.
    pub fn of(object: &Object<Written>) -> Self {
        let status: PodStatus =
            object.status.clone().and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let ports = object.spec.containers.iter().flat_map(|c| &c.ports).filter(|p| !p.name.is_empty());
        let facts = Facts {
            name: &object.meta.name,
            namespace: &object.meta.namespace,
            labels: &object.meta.labels,
            makers: &object.meta.owner_references,
            ending: object.meta.deletion_timestamp.is_some(),
            account: object.spec.account(),
            ports: ports
                .filter_map(|p| Some((p.name.clone(), u16::try_from(p.container_port).ok()?)))
                .collect(),
            host_network: object.spec.host_network,
            node: &object.spec.node_name,
            hostname: &object.spec.hostname,
            subdomain: &object.spec.subdomain,
            status: &status,
        };
        facts.record()
    }
}
