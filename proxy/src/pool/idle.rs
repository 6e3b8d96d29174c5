//! Closing what is no longer needed: idle for too long, ended by the other side, or of settings that are gone.
//!
//! In: the pool of a worker, its Config. Out: closed connections. One task per worker; nothing waits for it.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::checkout::{Pool, Slot};
use super::key::Key;
use crate::config::{Cluster, Config, Discovery};
use crate::upstream::transport;
use crate::worker::Worker;

/// How often a worker looks after its idle connections.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts the task that does so; it ends with the worker.
pub fn start_sweeper(worker: &Rc<Worker>) {
    let worker = Rc::downgrade(worker);
    tokio::task::spawn_local(async move {
        let mut seen = 0;
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(worker) = worker.upgrade() else { return };
            worker.config.with(|config| {
                if seen != config.generation {
                    seen = config.generation;
                    worker.picker.borrow_mut().retain(config);
                }
                worker.pool.sweep(config);
            });
        }
    });
}

impl Pool {
    /// Drops idle connections that are too old or no longer reachable by any request.
    pub(super) fn sweep(&self, config: &Config) {
        if self.slots.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        let clusters = config.clusters.iter().flatten();
        let live: std::collections::HashMap<u64, &Arc<Cluster>> = clusters.map(|c| (c.id, c)).collect();
        let mut members: HashSet<(u64, crate::config::EndpointAddress, usize)> = HashSet::new();
        let wanted: HashSet<u64> = self.slots.borrow().keys().map(|key| key.cluster).collect();
        for cluster in wanted.iter().filter_map(|id| live.get(id)) {
            for endpoint in cluster.endpoints.load().all() {
                let tls = transport(cluster, endpoint).map_or(0, |tls| Arc::as_ptr(tls).addr());
                members.insert((cluster.id, endpoint.address.clone(), tls));
            }
        }
        let alive = |key: &Key| match live.get(&key.cluster) {
            Some(cluster) if is_original(cluster) => true,
            Some(_) => members.contains(&(key.cluster, key.address.clone(), key.tls)),
            None => false,
        };
        self.slots.borrow_mut().retain(|key, slot| {
            slot.retired.set(!alive(key));
            slot.sweep(now);
            // A slot whose connections are out still counts them; it goes when they have come back.
            !slot.is_empty() || Rc::strong_count(slot) > 1
        });
    }
}

impl Slot {
    fn sweep(&self, now: Instant) {
        let limit = self.limits.get().idle;
        let expired = |since: Instant| !limit.is_zero() && now.duration_since(since) >= limit;
        self.idle.borrow_mut().retain_mut(|idle| {
            !expired(idle.since) && self.allows_more(&idle.opened) && !idle.conn.is_stale()
        });
        self.lines.borrow_mut().retain(|line| {
            let unused = line.streams.get() == 0 && expired(line.idle_since.get());
            !line.closed.get() && self.allows_more(&line.opened) && !unused
        });
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.lines.borrow().is_empty()
    }
}

/// Endpoints of these clusters are not listed.
fn is_original(cluster: &Cluster) -> bool {
    matches!(cluster.settings.discovery, Discovery::OriginalDst { .. })
}
