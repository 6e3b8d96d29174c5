//! `Config`: the whole of what a proxy obeys, swapped as one pointer. Parts that did not change keep their
//! `Arc`, so "did this change" is pointer equality. Routes and clusters are reached by slot: a small number
//! given to a name once and for the life of the process, so that a route names its cluster without a hash.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Cluster, Listener, RouteTable};

/// Number of a route table's name, stable while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteSlot(pub u32);

/// Number of a cluster's name, stable while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterSlot(pub u32);

/// Everything one proxy obeys.
#[derive(Debug, Default)]
pub struct Config {
    /// Counts the swaps; shown in debug output, never compared.
    pub generation: u64,
    /// Every listener by name, bound or reached by original destination only.
    pub listeners: HashMap<Arc<str>, Arc<Listener>>,
    /// By `RouteSlot`; `None`: the name is referenced but was never received.
    pub routes: Vec<Option<Arc<RouteTable>>>,
    /// By `ClusterSlot`; `None`: the name is referenced but was never received (response flag NC).
    pub clusters: Vec<Option<Arc<Cluster>>>,
    /// Names of the cluster slots, for messages, and for routes that choose by header.
    pub cluster_names: Arc<Vec<Arc<str>>>,
    /// Slot of each cluster name.
    pub cluster_slots: Arc<HashMap<Arc<str>, ClusterSlot>>,
}

impl Config {
    /// The routes of a slot, if they have arrived.
    pub fn route_table(&self, slot: RouteSlot) -> Option<&Arc<RouteTable>> {
        self.routes.get(slot.0 as usize)?.as_ref()
    }

    /// The cluster of a slot, if it is known.
    pub fn cluster(&self, slot: ClusterSlot) -> Option<&Arc<Cluster>> {
        self.clusters.get(slot.0 as usize)?.as_ref()
    }

    /// The listener that owns an intercepted connection's original destination: exact address first, then
    /// the wildcard address of the same port. The name rule follows `use_original_dst` of Envoy.
    pub fn listener_for(&self, original: std::net::SocketAddr) -> Option<&Arc<Listener>> {
        let mut wildcard = None;
        for listener in self.listeners.values().filter(|l| !l.bind) {
            for address in &listener.addresses {
                if address.port() != original.port() {
                    continue;
                }
                if address.ip() == original.ip() {
                    return Some(listener);
                }
                if address.ip().is_unspecified() {
                    wildcard = Some(listener);
                }
            }
        }
        wildcard
    }
}
