//! The only writer of objects.
//!
//! In: batches of a source, in their order. Out: the World as it is now, and a publication when the lane says that it
//! is time: `model::resolve`, then `push::Hub::publish`. One task, started by `app`. Promises: a batch is published
//! whole, and what is shown to debug pages and `meshctl` is what was published.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Findings, Kind};
use base::Live;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::model::{self, Snapshot};
use crate::push::{Hub, TypeLabel};
use crate::source::{Batch, Debounce};
use crate::world::{Dirty, World};

/// The only writer of objects: takes batches, resolves, publishes.
pub(crate) struct Writer {
    pub(crate) world: World,
    pub(crate) snapshot: Snapshot,
    /// The World as it was published last.
    pub(crate) shown: Arc<Live<World>>,
    /// Everything that is wrong with it.
    pub(crate) findings: Arc<Live<Findings>>,
    /// Mistakes of the source, which knows all of its own.
    read: Findings,
}

impl Writer {
    /// Understands the first batch, which is complete, in an empty world.
    pub(crate) fn new(mut world: World, first: Batch) -> Self {
        world.apply(first.changes);
        let (snapshot, found) = model::resolve(None, &world);
        let writer = Self {
            shown: Arc::new(Live::new(world.clone())),
            findings: Arc::new(Live::new(Findings::new())),
            world,
            snapshot,
            read: first.findings,
        };
        writer.tell(found);
        writer
    }

    /// Takes batches and publishes, until the source ends.
    pub(crate) async fn follow(&mut self, mut batches: mpsc::Receiver<Batch>, mut lane: Debounce, hub: &Hub) {
        loop {
            let due = lane.due();
            tokio::select! {
                biased;
                batch = batches.recv() => {
                    let Some(batch) = batch else { return };
                    let told = std::mem::replace(&mut self.read, batch.findings) != self.read;
                    let dirty = self.world.apply(batch.changes);
                    // A list that was read anew and holds nothing new is no change.
                    if told || !dirty.is_empty() {
                        count(hub, &dirty);
                        lane.changed(Instant::now());
                    }
                }
                () = at(due) => {
                    let now = Instant::now();
                    let since = lane.waits_since().unwrap_or(now);
                    lane.fired(now);
                    self.publish(hub, since);
                }
            }
        }
    }

    fn publish(&mut self, hub: &Hub, since: Instant) {
        let (snapshot, found) = model::resolve(Some(&self.snapshot), &self.world);
        self.snapshot = snapshot;
        hub.publish(self.snapshot.clone(), since);
        // After it is in force: who sees an object here knows that the publication has it.
        self.shown.set(self.world.clone());
        self.tell(found);
    }

    /// Logs mistakes that are new and shows all of them.
    fn tell(&self, found: Findings) {
        let mut all = self.read.clone();
        found.iter().for_each(|finding| all.push(finding.clone()));
        let before = self.findings.load();
        for finding in all.iter().filter(|finding| !before.iter().any(|old| old == *finding)) {
            match finding.severity {
                api::Severity::Info => tracing::info!("{finding}"),
                api::Severity::Warning | api::Severity::Error => tracing::warn!("{finding}"),
            }
        }
        self.findings.set(all);
    }
}

/// Counts changes that make a publication necessary, under the names of Istio's triggers.
fn count(hub: &Hub, dirty: &Dirty) {
    let of = |kind: Kind| match kind {
        Kind::EndpointSlice | Kind::Endpoints | Kind::Pod | Kind::WorkloadEntry => "endpoint",
        Kind::Service => "service",
        _ => "config",
    };
    for r#type in dirty.kinds().map(of).collect::<BTreeSet<_>>() {
        hub.stats.triggers.get_or_create_owned(&TypeLabel { r#type }).inc();
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
