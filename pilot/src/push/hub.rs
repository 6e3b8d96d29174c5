//! What all connections share: the published snapshot, what was said of it per view, and who is connected.
//!
//! In: each new Snapshot, from the writer. Out: a wake for every connection, and answers to the two questions that a
//! connection asks: what does my class of proxies get ([`Hub::layers`]), and what changed since ([`Hub::diff`]). Both
//! are answered once for all who ask the same.

use std::collections::HashMap;
use std::sync::Arc;

use base::Live;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::diff::{self, Diff};
use super::registry::Registry;
use super::stats::Stats;
use crate::model::Snapshot;
use crate::xds::{Layers, Memo, View, say};

/// One published state of the mesh.
pub struct Published {
    pub snapshot: Snapshot,
    /// Counts the publications of this process, from 1. Shown, never compared.
    pub generation: u64,
    /// When the first of its changes was known.
    pub(crate) since: Instant,
    /// Layers by view: said when first asked for. Nobody waits for a first asker at work, so two may say the same; the
    /// memo makes the second one cheap.
    said: Mutex<HashMap<View, Arc<Layers>>>,
}

/// Comparisons that are kept: connections move from one pair of layers to the next more or less together.
const DIFFS: usize = 64;

type Pair = (Arc<Layers>, Arc<Layers>);

/// Shared by all connections.
pub struct Hub {
    published: Live<Published>,
    memo: Memo,
    /// Recent comparisons. The layers are held, so that an address is never that of other, newer layers.
    diffs: Mutex<Vec<(Pair, Arc<Diff>)>>,
    pub(crate) registry: Registry,
    pub stats: Stats,
    /// `identifier` of the control plane in every response.
    pub(crate) identifier: Arc<str>,
}

impl Hub {
    /// A hub whose first publication is `snapshot`.
    pub fn new(snapshot: Snapshot, stats: Stats, identifier: &str) -> Self {
        let first = Published { snapshot, generation: 1, since: Instant::now(), said: Mutex::default() };
        Self {
            published: Live::new(first),
            memo: Memo::default(),
            diffs: Mutex::default(),
            registry: Registry::default(),
            stats,
            identifier: identifier.into(),
        }
    }

    /// Makes `snapshot`, whose first change was known at `since`, the one in force and wakes every connection.
    pub fn publish(&self, snapshot: Snapshot, since: Instant) {
        let generation = self.published.load().generation + 1;
        self.published.set(Published { snapshot, generation, since, said: Mutex::default() });
    }

    /// The state in force.
    pub fn published(&self) -> Arc<Published> {
        self.published.load()
    }

    pub(crate) fn reader(&self) -> base::live::Reader<Published> {
        self.published.reader()
    }

    /// What proxies of this class get of this state.
    pub fn layers(&self, published: &Published, view: &View) -> Arc<Layers> {
        if let Some(layers) = published.said.lock().get(view) {
            return layers.clone();
        }
        let layers = Arc::new(say(&published.snapshot, view, &self.memo));
        published.said.lock().entry(view.clone()).or_insert(layers).clone()
    }

    /// The change from one set of layers to another, compared once for all connections that make the same step.
    pub(crate) fn diff(&self, old: &Arc<Layers>, new: &Arc<Layers>) -> Arc<Diff> {
        let mut diffs = self.diffs.lock();
        let known = diffs.iter().find(|((a, b), _)| Arc::ptr_eq(a, old) && Arc::ptr_eq(b, new));
        if let Some((_, diff)) = known {
            return diff.clone();
        }
        let diff = Arc::new(diff::diff(old, new));
        if diffs.len() == DIFFS {
            diffs.remove(0);
        }
        diffs.push(((old.clone(), new.clone()), diff.clone()));
        diff
    }

    /// Number of classes of proxies in the state in force: what decides how pilot scales.
    pub fn views(&self) -> usize {
        self.published.load().said.lock().len()
    }

    /// Connected clients, by node id.
    pub fn clients(&self) -> Vec<super::Client> {
        self.registry.list()
    }
}
