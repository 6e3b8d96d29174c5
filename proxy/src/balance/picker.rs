//! What a worker owns to choose endpoints: its readers, its turns, its dice.
//!
//! In: a cluster, a hint, the process clock. Out: an endpoint. Shared state is only read: one atomic for the set,
//! one for ejections. A worker notices new sets, ejections and returns at its next pick.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::plan::Plan;
use crate::config::{Cluster, Config, Endpoint, EndpointAddress, EndpointSet};
use crate::dice::Dice;

/// What is known about the request that needs an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint<'a> {
    /// From `hash_request`; used by ring hash and Maglev.
    pub hash: Option<u64>,
    /// Endpoints of earlier attempts (`previous_hosts`).
    pub avoid: &'a [Arc<Endpoint>],
    /// How often to choose again to avoid them (`host_selection_retry_max_attempts`).
    pub again: u32,
    /// Leave the priorities of earlier attempts (`previous_priorities`).
    pub other_priorities: bool,
}

/// Chooses endpoints for one worker.
#[derive(Debug)]
pub struct Picker {
    dice: Dice,
    views: HashMap<u64, View>,
}

/// One cluster as this worker sees it.
#[derive(Debug)]
struct View {
    /// Of the cluster that the plan was made for.
    version: Arc<str>,
    /// What the reader reads. A cluster that comes back to an earlier version may have another cell than it had then.
    cell: Arc<base::Live<EndpointSet>>,
    reader: base::Reader<EndpointSet>,
    set: Arc<EndpointSet>,
    epoch: u64,
    plan: Plan,
    /// Endpoints of an `ORIGINAL_DST` cluster, made on demand.
    originals: HashMap<SocketAddr, Arc<Endpoint>>,
}

/// Most original destinations remembered per cluster and worker.
const MAX_ORIGINALS: usize = 1024;

impl Picker {
    /// A picker with its own dice.
    pub fn new(dice: Dice) -> Self {
        Picker { dice, views: HashMap::new() }
    }

    /// The worker's dice, for the other choices of a request.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// An endpoint of the cluster, or `None`: no healthy upstream. `now`: milliseconds of the process clock.
    pub fn pick(&mut self, cluster: &Cluster, hint: &Hint<'_>, now: u64) -> Option<Arc<Endpoint>> {
        let Picker { dice, views } = self;
        let view = view_of(views, cluster);
        view.refresh(cluster, now, dice);
        let mut chosen = view.plan.pick(cluster, hint, dice)?;
        for _ in 0..hint.again {
            if !hint.avoid.iter().any(|avoid| Arc::ptr_eq(avoid, &chosen) || avoid.address == chosen.address)
            {
                break;
            }
            chosen = view.plan.pick(cluster, hint, dice)?;
        }
        Some(chosen)
    }

    /// The endpoint of an `ORIGINAL_DST` cluster for a connection's original destination.
    pub fn original(&mut self, cluster: &Cluster, address: SocketAddr) -> Arc<Endpoint> {
        let view = view_of(&mut self.views, cluster);
        if view.originals.len() >= MAX_ORIGINALS {
            view.originals.clear();
        }
        let make = || {
            let tls_match = cluster.settings.tls_matches.iter().position(|one| one.labels.is_empty());
            Arc::new(Endpoint::bare(EndpointAddress::Ip(address), tls_match))
        };
        view.originals.entry(address).or_insert_with(make).clone()
    }

    /// Forgets clusters that the Config no longer has. Called when a worker sees a new Config.
    pub fn retain(&mut self, config: &Config) {
        let kept: std::collections::HashSet<_> =
            config.clusters.iter().flatten().map(|cluster| cluster.id).collect();
        self.views.retain(|id, _| kept.contains(id));
    }
}

fn view_of<'a>(views: &'a mut HashMap<u64, View>, cluster: &Cluster) -> &'a mut View {
    views.entry(cluster.id).or_insert_with(|| {
        let reader = cluster.endpoints.reader();
        // The empty set differs from what the reader holds, so that the first pick makes a plan.
        let set = Arc::new(EndpointSet::default());
        let (version, cell) = (cluster.version.clone(), cluster.endpoints.clone());
        View { version, cell, reader, set, epoch: 0, plan: Plan::default(), originals: HashMap::new() }
    })
}

impl View {
    fn refresh(&mut self, cluster: &Cluster, now: u64, dice: &mut Dice) {
        let outliers = &cluster.outliers;
        let next = outliers.next_return.load(Ordering::Relaxed);
        let same_version = Arc::ptr_eq(&self.version, &cluster.version) || self.version == cluster.version;
        if !(same_version && Arc::ptr_eq(&self.cell, &cluster.endpoints)) {
            self.reader = cluster.endpoints.reader();
            self.version = cluster.version.clone();
            self.cell = cluster.endpoints.clone();
            self.originals.clear();
            self.set = Arc::new(EndpointSet::default());
        }
        if next != 0 && next <= now {
            outliers.let_back(self.reader.get().all().map(|endpoint| &*endpoint.state), now);
        }
        let epoch = outliers.epoch.load(Ordering::Acquire);
        let set = self.reader.get();
        let stands = self.plan.again == 0 || now < self.plan.again;
        if stands && Arc::ptr_eq(set, &self.set) && epoch == self.epoch {
            return;
        }
        self.set = set.clone();
        self.epoch = epoch;
        self.plan = Plan::new(&self.set, cluster, now, dice);
    }
}

impl Endpoint {
    /// An endpoint of which nothing but the address is known.
    pub fn bare(address: EndpointAddress, tls_match: Option<usize>) -> Self {
        Endpoint {
            address,
            weight: 1,
            healthy: true,
            labels: Vec::new(),
            workload: None,
            hostname: "".into(),
            tls_match,
            locality: "".into(),
            state: Arc::default(),
        }
    }
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
