//! Numbers that workers count: counters and histograms, one set per worker, summed when somebody asks.
//!
//! In: increments from one worker each (relaxed atomics on memory that no other worker writes). Out: snapshots for
//! `render`. A [`Store`] is one worker's; the [`Registry`] knows them all. A series is found by its labels, already
//! rendered as text; callers keep the handle, so the lock is taken once per series and not per request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Upper bounds of every histogram, in milliseconds or bytes: Envoy's defaults.
pub const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the worker that owns the counter does, so it needs no locked instruction; when somebody resets it
    /// at the same moment, the reset may be lost.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A histogram of whole numbers.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; the last counts what is above all bounds.
    counts: [Counter; BOUNDS.len() + 1],
    sum: Counter,
}

impl Histogram {
    /// Notes one value.
    pub fn record(&self, value: u64) {
        // Exact for what fits 53 bits; beyond that every value is above the last bound anyway.
        #[allow(clippy::cast_precision_loss)]
        let at = BOUNDS.partition_point(|bound| *bound < value as f64);
        if let Some(count) = self.counts.get(at) {
            count.add(1);
        }
        self.sum.add(value);
    }

    /// Adds this one's numbers to a snapshot.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (total, count) in snapshot.counts.iter_mut().zip(&self.counts) {
            *total += count.get();
        }
        snapshot.sum += self.sum.get();
    }

    fn reset(&self) {
        self.counts.iter().for_each(Counter::reset);
        self.sum.reset();
    }
}

/// A histogram's numbers at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub counts: [u64; BOUNDS.len() + 1],
    pub sum: u64,
}

impl Snapshot {
    /// How many values.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The standard request metrics of one label set.
#[derive(Debug, Default)]
pub struct RequestSeries {
    pub requests: Counter,
    pub duration: Histogram,
    pub request_bytes: Histogram,
    pub response_bytes: Histogram,
    /// gRPC messages; shown where the label set says gRPC.
    pub request_messages: Counter,
    pub response_messages: Counter,
}

/// The standard TCP metrics of one label set.
#[derive(Debug, Default)]
pub struct TcpSeries {
    pub opened: Counter,
    pub closed: Counter,
    pub sent: Counter,
    pub received: Counter,
}

/// Envoy's request counters of one cluster.
#[derive(Debug, Default)]
pub struct ClusterSeries {
    pub requests: Counter,
    pub retries: Counter,
    pub timeouts: Counter,
    codes: Mutex<BTreeMap<u16, Arc<Counter>>>,
    pub time: Histogram,
}

impl ClusterSeries {
    /// The counter of one status; 0 (no response) is counted and never shown.
    pub fn code(&self, status: u16) -> Arc<Counter> {
        self.codes.lock().entry(status).or_default().clone()
    }
}

/// Envoy's request counters of one connection manager.
#[derive(Debug, Default)]
pub struct HttpSeries {
    pub requests: Counter,
    /// By first digit of the status.
    pub classes: [Counter; 6],
    pub time: Histogram,
    /// Requests that broke a rule of HTTP or of paths, by `%RESPONSE_CODE_DETAILS%` and status.
    refused: Mutex<BTreeMap<(Arc<str>, u16), u64>>,
}

impl HttpSeries {
    /// Notes a refused request.
    pub fn refuse(&self, details: &Arc<str>, status: u16) {
        *self.refused.lock().entry((details.clone(), status)).or_default() += 1;
    }
}

type Table<T> = Mutex<HashMap<Arc<str>, Arc<T>>>;

/// One worker's series.
#[derive(Debug, Default)]
pub struct Store {
    requests: Table<RequestSeries>,
    tcp: Table<TcpSeries>,
    clusters: Table<ClusterSeries>,
    http: Table<HttpSeries>,
}

fn of<T: Default>(table: &Table<T>, labels: &str) -> Arc<T> {
    let mut table = table.lock();
    if let Some(known) = table.get(labels) {
        return known.clone();
    }
    let fresh = Arc::new(T::default());
    table.insert(labels.into(), fresh.clone());
    fresh
}

impl Store {
    /// By rendered labels.
    pub fn request(&self, labels: &str) -> Arc<RequestSeries> {
        of(&self.requests, labels)
    }

    /// By rendered labels.
    pub fn tcp(&self, labels: &str) -> Arc<TcpSeries> {
        of(&self.tcp, labels)
    }

    /// By cluster name.
    pub fn cluster(&self, name: &str) -> Arc<ClusterSeries> {
        of(&self.clusters, name)
    }

    /// By stat prefix.
    pub fn http(&self, prefix: &str) -> Arc<HttpSeries> {
        of(&self.http, prefix)
    }
}

/// Request metrics of one label set, all workers together.
#[derive(Debug, Default)]
pub struct RequestTotals {
    pub requests: u64,
    pub duration: Snapshot,
    pub request_bytes: Snapshot,
    pub response_bytes: Snapshot,
    pub request_messages: u64,
    pub response_messages: u64,
}

/// TCP metrics of one label set.
#[derive(Debug, Default)]
pub struct TcpTotals {
    pub opened: u64,
    pub closed: u64,
    pub sent: u64,
    pub received: u64,
}

/// Counters of one cluster.
#[derive(Debug, Default)]
pub struct ClusterTotals {
    pub requests: u64,
    pub retries: u64,
    pub timeouts: u64,
    pub codes: BTreeMap<u16, u64>,
    pub time: Snapshot,
}

/// Counters of one connection manager.
#[derive(Debug, Default)]
pub struct HttpTotals {
    pub requests: u64,
    pub classes: [u64; 6],
    pub time: Snapshot,
    pub refused: BTreeMap<(Arc<str>, u16), u64>,
}

/// Everything at one moment, by labels (or name), sorted.
#[derive(Debug, Default)]
pub struct Totals {
    pub requests: BTreeMap<Arc<str>, RequestTotals>,
    pub tcp: BTreeMap<Arc<str>, TcpTotals>,
    pub clusters: BTreeMap<Arc<str>, ClusterTotals>,
    pub http: BTreeMap<Arc<str>, HttpTotals>,
}

/// The stores of all workers. Clones are the same registry.
#[derive(Debug, Default, Clone)]
pub struct Registry {
    stores: Arc<Mutex<Vec<Arc<Store>>>>,
}

impl Registry {
    /// A store for one more worker.
    pub fn store(&self) -> Arc<Store> {
        let store = Arc::new(Store::default());
        self.stores.lock().push(store.clone());
        store
    }

    /// The sums.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for store in self.stores.lock().iter() {
            for (labels, series) in store.requests.lock().iter() {
                let total = totals.requests.entry(labels.clone()).or_default();
                total.requests += series.requests.get();
                series.duration.add_to(&mut total.duration);
                series.request_bytes.add_to(&mut total.request_bytes);
                series.response_bytes.add_to(&mut total.response_bytes);
                total.request_messages += series.request_messages.get();
                total.response_messages += series.response_messages.get();
            }
            for (labels, series) in store.tcp.lock().iter() {
                let total = totals.tcp.entry(labels.clone()).or_default();
                total.opened += series.opened.get();
                total.closed += series.closed.get();
                total.sent += series.sent.get();
                total.received += series.received.get();
            }
            add_clusters(store, &mut totals);
            for (prefix, series) in store.http.lock().iter() {
                let total = totals.http.entry(prefix.clone()).or_default();
                total.requests += series.requests.get();
                for (total, class) in total.classes.iter_mut().zip(&series.classes) {
                    *total += class.get();
                }
                series.time.add_to(&mut total.time);
                for (why, count) in series.refused.lock().iter() {
                    *total.refused.entry(why.clone()).or_default() += count;
                }
            }
        }
        totals
    }

    /// Sets every counter to zero (`/reset_counters`).
    pub fn reset(&self) {
        for store in self.stores.lock().iter() {
            for series in store.requests.lock().values() {
                for counter in [&series.requests, &series.request_messages, &series.response_messages] {
                    counter.reset();
                }
                for histogram in [&series.duration, &series.request_bytes, &series.response_bytes] {
                    histogram.reset();
                }
            }
            for series in store.tcp.lock().values() {
                for counter in [&series.opened, &series.closed, &series.sent, &series.received] {
                    counter.reset();
                }
            }
            for series in store.clusters.lock().values() {
                for counter in [&series.requests, &series.retries, &series.timeouts] {
                    counter.reset();
                }
                series.codes.lock().values().for_each(|count| count.reset());
                series.time.reset();
            }
            for series in store.http.lock().values() {
                series.requests.reset();
                series.classes.iter().for_each(Counter::reset);
                series.time.reset();
                series.refused.lock().clear();
            }
        }
    }
}

fn add_clusters(store: &Store, totals: &mut Totals) {
    for (name, series) in store.clusters.lock().iter() {
        let total = totals.clusters.entry(name.clone()).or_default();
        total.requests += series.requests.get();
        total.retries += series.retries.get();
        total.timeouts += series.timeouts.get();
        for (code, count) in series.codes.lock().iter().filter(|(code, _)| **code != 0) {
            *total.codes.entry(*code).or_default() += count.get();
        }
        series.time.add_to(&mut total.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_include_their_bound() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 5, 6, 3_600_001] {
            histogram.record(value);
        }
        let mut snapshot = Snapshot::default();
        histogram.add_to(&mut snapshot);
        assert_eq!(snapshot.counts[..4], [1, 1, 2, 1]);
        assert_eq!((snapshot.counts[19], snapshot.sum, snapshot.total()), (1, 3_600_015, 6));
    }

    #[test]
    fn workers_are_summed() {
        let registry = Registry::default();
        let (a, b) = (registry.store(), registry.store());
        a.request("x").requests.add(2);
        b.request("x").requests.add(3);
        b.cluster("c").code(200).add(1);
        assert_eq!(registry.totals().requests["x"].requests, 5);
        assert_eq!(registry.totals().clusters["c"].codes[&200], 1);
        registry.reset();
        assert_eq!(registry.totals().requests["x"].requests, 0);
    }
}
