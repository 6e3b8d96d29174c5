//! Counters of listeners, for the process.
//!
//! In: what happens to connections before they are served. Out: numbers for `/stats`. Touched once or twice per
//! connection, so one set of atomics per listener is enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// Counters of one listener, named as Envoy names them below `listener.<address>.`.
#[derive(Debug, Default)]
pub struct ListenerStats {
    pub downstream_cx_total: AtomicU64,
    pub downstream_cx_active: AtomicU64,
    pub downstream_pre_cx_timeout: AtomicU64,
    pub no_filter_chain_match: AtomicU64,
    pub ssl_handshake: AtomicU64,
    pub ssl_connection_error: AtomicU64,
    pub downstream_listener_filter_error: AtomicU64,
    /// Refused at this listener's own limit of connections.
    pub downstream_cx_overflow: AtomicU64,
    /// Refused at the limit of the process.
    pub downstream_global_cx_overflow: AtomicU64,
    /// Refused under pressure.
    pub downstream_cx_overload_reject: AtomicU64,
}

/// The counters of all listeners by name. Clones are the same table.
#[derive(Debug, Clone, Default)]
pub struct StatsTable {
    table: Arc<RwLock<BTreeMap<Arc<str>, Arc<ListenerStats>>>>,
}

impl StatsTable {
    /// The counters of a listener; they outlive its versions.
    pub fn of(&self, name: &Arc<str>) -> Arc<ListenerStats> {
        if let Some(known) = self.table.read().get(name) {
            return known.clone();
        }
        self.table.write().entry(name.clone()).or_default().clone()
    }

    /// Everything, for dumps.
    pub fn list(&self) -> Vec<(Arc<str>, Arc<ListenerStats>)> {
        self.table.read().iter().map(|(name, stats)| (name.clone(), stats.clone())).collect()
    }
}

/// One open connection; counts down when dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<ListenerStats>);

impl Open {
    pub(super) fn new(stats: &Arc<ListenerStats>) -> Self {
        add(&stats.downstream_cx_total);
        add(&stats.downstream_cx_active);
        Open(stats.clone())
    }
}

impl Open {
    /// Connections of the listener, this one included.
    pub(super) fn count(&self) -> u64 {
        self.0.downstream_cx_active.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.downstream_cx_active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One more.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
