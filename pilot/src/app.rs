//! Wiring: builds the parts, starts them, waits. No logic of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use api::Findings;
use base::Live;
use base::drain::{self, Watch};
use base::metrics::Metrics;
use base::ready::Ready;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::authority::Authority;
use crate::debug::{self, Debug};
use crate::model::{self, Snapshot};
use crate::push::{self, Hub, Stats};
use crate::settings::Settings;
use crate::source::{self, Access, Batch, Debounce};
use crate::world::World;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What cannot be started is named: a folder that cannot be read, an address that is taken.
pub fn main(settings: Settings) -> Result<()> {
    let options = base::telemetry::Options {
        json: settings.log_as_json,
        levels: settings.log_output_level.clone(),
        own_crates: &["pilot", "citadel", "wire", "base"],
    };
    let _levels = base::telemetry::init(&options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> Result<()> {
    let (trigger, watch) = drain::pair();
    let metrics = Metrics::new();
    let ready = Ready::new();
    let published = ready.block("configuration");
    let authority = Authority::open(&settings, &metrics, &watch)?;
    let (batches, mut received) = mpsc::channel(16);
    let watching = base::task::spawn("source", objects(settings.clone(), batches));
    let Some(first) = received.recv().await else {
        return watching.await.context("the source of objects ended")?;
    };
    let mut writer = Writer::new(first);
    let hub = Arc::new(Hub::new(writer.snapshot.clone(), Stats::new(&metrics), "istiod"));
    let debug = Debug {
        hub: hub.clone(),
        metrics,
        ready: ready.clone(),
        world: writer.shown.clone(),
        findings: writer.findings.clone(),
    };
    start(&settings, &hub, &authority, &debug, &watch).await?;
    published.clear();
    tracing::info!(objects = writer.world.len(), findings = writer.findings.load().len(), "ready");
    let lane = Debounce::new(settings.debounce_after, settings.debounce_max);
    let _writing =
        base::task::spawn("writer", async move { writer.follow(received, lane, &hub).await }).bound();
    ended().await?;
    tracing::info!("ending");
    drop(watch);
    trigger.drain(settings.shutdown).await;
    Ok(())
}

/// Objects of a folder or of a cluster.
async fn objects(settings: Settings, batches: mpsc::Sender<Batch>) -> Result<()> {
    match settings.config_dir {
        Some(folder) => source::watch(folder, batches).await,
        None => {
            let access = Access { kubeconfig: settings.kubeconfig, root_namespace: settings.namespace };
            source::watch_cluster(access, batches).await
        }
    }
}

/// Opens the four sockets and serves them.
async fn start(
    settings: &Settings,
    hub: &Arc<Hub>,
    authority: &Authority,
    debug: &Debug,
    watch: &Watch,
) -> Result<()> {
    let plain = listen(settings.grpc, "--grpcAddr").await?;
    let secure = listen(settings.secure_grpc, "--secureGRPCAddr").await?;
    let routes = Arc::new(debug::routes(debug));
    for (address, flag) in [(settings.http, "--httpAddr"), (settings.monitoring, "--monitoringAddr")] {
        let listener = listen(address, flag).await?;
        base::task::spawn("debug", base::admin::serve(listener, routes.clone(), watch.clone()));
    }
    let ca: Arc<dyn push::Ca> = Arc::new(authority.clone());
    base::task::spawn("xds plain", push::serve_plain(plain, hub.clone(), ca.clone(), watch.clone()));
    let tls = authority.clone();
    let acceptor = move || tls.acceptor();
    base::task::spawn("xds tls", push::serve_tls(secure, hub.clone(), ca, acceptor, watch.clone()));
    Ok(())
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be listened on"))
}

/// The only writer of objects: takes batches, resolves, publishes.
struct Writer {
    world: World,
    snapshot: Snapshot,
    shown: Arc<Live<World>>,
    findings: Arc<Live<Findings>>,
    /// Mistakes of the source, which knows all of its own.
    read: Findings,
}

impl Writer {
    fn new(first: Batch) -> Self {
        let mut world = World::default();
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

    /// Until the source ends.
    async fn follow(&mut self, mut batches: mpsc::Receiver<Batch>, mut lane: Debounce, hub: &Hub) {
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
                        lane.changed(Instant::now());
                    }
                }
                () = at(due) => {
                    lane.fired(Instant::now());
                    self.publish(hub);
                }
            }
        }
    }

    fn publish(&mut self, hub: &Hub) {
        let (snapshot, found) = model::resolve(Some(&self.snapshot), &self.world);
        self.snapshot = snapshot;
        hub.publish(self.snapshot.clone());
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

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// SIGTERM or SIGINT.
async fn ended() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
