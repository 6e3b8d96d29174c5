//! Wiring: builds the parts, starts them, waits. No logic of its own.
//!
//! In: settings. Out: the process's end. The order of starting is written here: the CA, the first batch of objects, the
//! four sockets, and only then `/ready`, so that no proxy ever meets a pilot that knows nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base::drain::{self, Watch};
use base::metrics::Metrics;
use base::ready::Ready;
use base::task::Bound;
use base::telemetry::Levels;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::cluster::{self, Cluster};
use crate::debug::{self, Debug};
use crate::environment;
use crate::push::{self, Admission, Hub, Stats};
use crate::settings::Settings;
use crate::source::{self, Batch, Debounce};
use crate::webhook::{self, Parts};
use crate::world::World;
use crate::writer::Writer;

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
    let levels = base::telemetry::init(&options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings, &levels))
}

async fn run(settings: Settings, levels: &Levels) -> Result<()> {
    for (name, value) in environment::unhonoured(|name| std::env::var(name).ok()) {
        tracing::warn!("{name}={value} is not honoured; pilot does what istiod does without it");
    }
    let (trigger, watch) = drain::pair();
    let mut signals = Signals::new()?;
    let shutdown = settings.shutdown;
    let running = tokio::select! {
        running = up(settings, levels, watch) => running?,
        // Nobody was served yet, and nothing is held.
        () = signals.ended() => return Ok(()),
    };
    signals.ended().await;
    tracing::info!("ending");
    let outcome = trigger.drain(shutdown).await;
    tracing::info!(?outcome, "ended");
    drop(running);
    Ok(())
}

/// Starts everything; what is returned publishes until it is dropped.
async fn up(settings: Settings, levels: &Levels, watch: Watch) -> Result<Bound> {
    let metrics = Metrics::new();
    let ready = Ready::new();
    let published = ready.block("configuration");
    let cluster = Cluster::open(&settings).await?;
    let authority = Authority::open(&settings, cluster.as_ref(), &metrics, &watch).await?;
    let (batches, mut received) = mpsc::channel(16);
    let watching = base::task::spawn("source", objects(settings.clone(), cluster.clone(), batches));
    let Some(first) = received.recv().await else {
        watching.await.context("the source of objects ended")??;
        bail!("the source of objects ended");
    };
    let mut writer = Writer::new(World::at(settings.home()), first);
    let hub = Arc::new(Hub::new(writer.snapshot.clone(), Stats::new(&metrics), "istiod"));
    let injection = match &cluster {
        Some(cluster) => {
            let parts = Parts {
                cluster,
                authority: &authority,
                world: writer.shown.clone(),
                metrics: &metrics,
                ready: &ready,
                drain: &watch,
            };
            webhook::start(&settings.webhook, parts).await?
        }
        None => None,
    };
    let debug = Debug {
        hub: hub.clone(),
        metrics,
        ready: ready.clone(),
        world: writer.shown.clone(),
        findings: writer.findings.clone(),
        injection,
    };
    start(&settings, &hub, &authority, &debug, &watch).await?;
    if let Some(cluster) = &cluster {
        let (authority, world) = (authority.live(), writer.shown.clone());
        let findings = writer.findings.clone();
        cluster::start(&settings, cluster::Parts { cluster, authority, world, findings, drain: &watch });
    }
    control(settings.control_port, levels, &debug.metrics, &watch).await;
    published.clear();
    tracing::info!(objects = writer.world.len(), findings = writer.findings.load().len(), "ready");
    let lane = Debounce::new(settings.debounce_after, settings.debounce_max);
    let writing = base::task::spawn("writer", async move { writer.follow(received, lane, &hub).await });
    Ok(writing.bound())
}

/// Objects of a folder or of a cluster.
async fn objects(settings: Settings, cluster: Option<Cluster>, batches: mpsc::Sender<Batch>) -> Result<()> {
    let home = settings.home();
    match (settings.config_dir, cluster) {
        (Some(folder), _) => source::watch(folder, batches).await,
        (None, Some(Cluster { client, .. })) => {
            source::watch_cluster(client, &home, batches).await;
            Ok(())
        }
        (None, None) => Ok(()),
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
    let service = push::Service { hub: hub.clone(), ca, drain: watch.clone(), age: settings.connection_age };
    base::task::spawn("xds plain", push::serve_plain(plain, service.clone()));
    let tls = authority.clone();
    let acceptor = move || tls.acceptor();
    let admission =
        Admission { authenticate: settings.xds_auth, check_identity: settings.xds_identity_check };
    let serving = push::serve_tls(secure, service, acceptor, admission);
    base::task::spawn("xds tls", serving);
    base::task::spawn("trust", follow_mesh(hub.clone(), authority.clone(), watch.clone()));
    Ok(())
}

/// Tells the authority what the mesh settings say of it.
async fn follow_mesh(hub: Arc<Hub>, authority: Authority, mut drain: Watch) {
    let mut published = hub.reader();
    authority.trust(&published.load().snapshot.mesh.value);
    loop {
        tokio::select! {
            now = published.changed() => authority.trust(&now.snapshot.mesh.value),
            () = drain.graceful() => return,
        }
    }
}

/// Serves ControlZ. On a machine with several pilots only one can have the port; nothing else depends on it.
async fn control(port: u16, levels: &Levels, metrics: &Metrics, watch: &Watch) {
    if port == 0 {
        return;
    }
    let routes = Arc::new(debug::control(levels, metrics));
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => {
            drop(base::task::spawn("control", base::admin::serve(listener, routes, watch.clone())))
        }
        Err(error) => tracing::warn!(port, %error, "no ControlZ: the port cannot be listened on"),
    }
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be listened on"))
}

/// SIGTERM and SIGINT, heard from the start: a program that is pid 1 of its pod would ignore them otherwise.
struct Signals(Signal, Signal);

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn ended(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
