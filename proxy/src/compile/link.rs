//! `link`: parts into a Config. Cheap: every part is an `Arc` already, names became slots when they were lowered.
//!
//! In: all parts, the slots of names, the Config before. Out: the next Config. Called by the store whenever anything
//! but endpoints changed; what is referred to and not there is an empty slot, which fails in its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::route::RoutePart;
use super::slots::Slots;
use crate::config::{Cluster, ClusterSlot, Config, Listener, RouteTable, VirtualHost};

/// What is in force, by name.
#[derive(Debug, Default)]
pub struct Parts {
    pub listeners: BTreeMap<Arc<str>, Arc<Listener>>,
    /// With the live state of their predecessors.
    pub clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
    /// With their virtual hosts joined.
    pub tables: BTreeMap<Arc<str>, Arc<RouteTable>>,
}

/// Joins the parts. What is referred to and not there stays `None` in its slot: it fails in place, by name.
pub fn link(parts: &Parts, slots: &Slots, previous: &Config) -> Config {
    let names = slots.cluster_names();
    // The map by name is only made again when a name was added.
    let cluster_slots = match names.len() == previous.cluster_slots.len() {
        true => previous.cluster_slots.clone(),
        false => {
            let numbered = names.iter().zip(0..).map(|(name, number)| (name.clone(), ClusterSlot(number)));
            Arc::new(numbered.collect::<HashMap<_, _>>())
        }
    };
    Config {
        generation: previous.generation + 1,
        listeners: parts.listeners.iter().map(|(name, listener)| (name.clone(), listener.clone())).collect(),
        routes: slots.route_names().iter().map(|name| parts.tables.get(name).cloned()).collect(),
        clusters: names.iter().map(|name| parts.clusters.get(name).cloned()).collect(),
        cluster_names: names.clone(),
        cluster_slots,
    }
}

/// A route configuration with the virtual hosts that came for it. Later ones do not take a domain from earlier ones.
pub(crate) fn join<'a>(
    part: &'a RoutePart,
    extra: impl Iterator<Item = &'a Arc<VirtualHost>>,
    version: Arc<str>,
) -> Arc<RouteTable> {
    let inline = &part.table;
    let mut table = RouteTable {
        name: inline.name.clone(),
        hosts: extra.chain(&inline.hosts).cloned().collect(),
        ignore_port: inline.ignore_port,
        headers: inline.headers.clone(),
        version,
        ..Default::default()
    };
    for domain in table.index() {
        tracing::warn!(route = &*table.name, domain, "domain is in two virtual hosts, the first keeps it");
    }
    Arc::new(table)
}
