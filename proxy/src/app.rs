//! The running proxy: what is started, on which thread, and in which order it ends.
//!
//! ```text
//!   control thread: xDS, compile, identity, admin and status ports, span export
//!   accept thread:  listening sockets, DNS          worker threads: connections
//! ```
//! In: [`Settings`]. Out: the process's result. Called by `main`; a test may run several in one process.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use base::drain;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::config::Config;
use crate::dice::Dice;
use crate::identity::{CaSettings, Keeper};
use crate::listen::{Admit, Fresh, Listeners, Places, StatsTable};
use crate::observe::{self, Ends, Own, Registry, Shard, Sinks};
use crate::process::{Ending, Process};
use crate::settings::{Agent, Bootstrap, Settings, Source};
use crate::tls::Secrets;
use crate::upstream::TcpDialer;
use crate::worker::{Parts, Worker};
use crate::xds::{self, Boot, Connector, Plan, Security, Store, Target};
use crate::{admin, dns, status};

/// Spans that wait for export.
const SPANS: usize = 4096;
/// Listening starts after this even if configuration is incomplete.
const WARM_LIMIT: Duration = Duration::from_secs(5);
/// Connections that ignore the end of a drain are cut off after this.
const CUT_OFF: Duration = Duration::from_secs(1);

/// What a start needs beyond settings.
#[derive(Default)]
pub struct Extras {
    pub levels: Option<base::telemetry::Levels>,
    /// Ends the proxy, for tests; programs have signals.
    pub stop: Option<tokio::sync::oneshot::Receiver<()>>,
    /// Told when everything is started.
    pub started: Option<tokio::sync::oneshot::Sender<Arc<Process>>>,
}

/// Checks a bootstrap: every mistake, or nothing.
pub fn validate(bootstrap: &Bootstrap) -> anyhow::Result<()> {
    let mut store = Store::new(base::Live::new(Config::default()), Arc::default());
    load(bootstrap, &mut store).map(drop)
}

/// Runs until told to end.
pub fn run(settings: Settings, extras: Extras) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let result = local.block_on(&runtime, serve(settings, extras));
    // Lookups of names run on threads that cannot be stopped.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

fn load(bootstrap: &Bootstrap, store: &mut Store) -> anyhow::Result<Boot> {
    let mut boot =
        xds::boot(&bootstrap.text, &bootstrap.overlay).with_context(|| bootstrap.name().to_owned())?;
    let changed = store.apply_fixed(std::mem::take(&mut boot.batch));
    if !changed.rejects.is_empty() {
        let all: Vec<String> = changed.rejects.iter().map(ToString::to_string).collect();
        bail!("{}: {}", bootstrap.name(), all.join("\n"));
    }
    Ok(boot)
}

async fn serve(settings: Settings, extras: Extras) -> anyhow::Result<()> {
    let config = base::Live::new(Config::default());
    let secrets = Secrets::new();
    let mut store = Store::new(config.clone(), Arc::new(secrets.clone()));
    let boot = match &settings.source {
        Source::Bootstrap(bootstrap) => load(bootstrap, &mut store)?,
        Source::Agent(_) => Boot::default(),
    };
    for field in &boot.ignored {
        tracing::warn!(field, "this part of the bootstrap has no effect here");
    }
    let dialer = TcpDialer { mark: mark(&settings) };
    let keeper = keeper(&settings, &secrets, dialer);
    let mut plan = plan(&settings, &boot, &config, &secrets, dialer)?;
    if let Some(plan) = &mut plan {
        plan.identity = keeper.as_ref().map(Keeper::health);
    }
    let node = node(&settings, &boot);
    let own = wire::Node::from_proto(&node).map(|node| Own::of(&node)).unwrap_or_default();
    let introduction = wire::Node::from_proto(&node).map(|node| observe::introduction(&node));
    let introduction = Arc::new(introduction.unwrap_or_default());
    let count = settings.concurrency.filter(|count| *count > 0).unwrap_or_else(cores);
    let (places, inboxes) = Places::new(count);
    let names = store.names().clone();
    let resolver = store.dns().clone();
    let process = Arc::new(Process {
        own: Arc::new(own),
        node,
        started: SystemTime::now(),
        config: config.clone(),
        store: Arc::new(Mutex::new(store)),
        secrets: secrets.clone(),
        registry: Registry::default(),
        sinks: Sinks::default(),
        listeners: Listeners::default(),
        listener_stats: StatsTable::default(),
        places,
        levels: extras.levels,
        session: plan.as_ref().map(|_| base::Live::new(xds::Status::default())),
        identity: keeper.as_ref().map(Keeper::health),
        dns: Arc::default(),
        ending: Ending::default(),
        settings,
    });
    let (trigger, watch) = drain::pair();
    let (spans, exported) = mpsc::channel(SPANS);
    let mut threads = Vec::new();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let start = WorkerStart {
            index,
            inbox,
            process: process.clone(),
            introduction: introduction.clone(),
            spans: spans.clone(),
            dialer,
            drain: watch.clone(),
        };
        threads.push(thread(&format!("worker-{index}"), move || work(start))?);
    }
    drop(spans);
    let (accept_trigger, accept_watch) = drain::pair();
    threads.push(accept_thread(&process, names, dialer, accept_watch)?);
    let (ports_trigger, ports_watch) = drain::pair();
    admin::start(&process, boot.admin, &ports_watch).await?;
    status::start(&process, dialer, &ports_watch).await?;
    drop(ports_watch);
    tokio::task::spawn_local(observe::export(exported, config.clone(), secrets.clone(), dialer));
    tokio::task::spawn_local(async move { resolver.run().await });
    tokio::task::spawn_local(refresh_files(secrets));
    if let Some(keeper) = keeper {
        tokio::task::spawn_local(keeper.run());
    }
    if let (Some(plan), Some(status)) = (plan, process.session.clone()) {
        tokio::task::spawn_local(xds::follow(plan, process.store.clone(), status));
    }
    tracing::info!(workers = count, version = crate::settings::VERSION, "proxy started");
    if let Some(started) = extras.started {
        // Nobody waits any more: that is the test's own affair.
        drop(started.send(process.clone()));
    }
    drop(watch);
    until_end(&process, &trigger, extras.stop).await?;
    finish(&process, trigger).await;
    accept_trigger.immediate();
    ports_trigger.immediate();
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread panicked");
        }
    }
    process.sinks.finish();
    tracing::info!("proxy ended");
    Ok(())
}

/// Waits for a reason to end; starts the drain when asked to.
async fn until_end(
    process: &Process,
    trigger: &drain::Trigger,
    stop: Option<tokio::sync::oneshot::Receiver<()>>,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        match stop {
            // A dropped sender ends the proxy as well: its test is gone.
            Some(stop) => drop(stop.await),
            None => std::future::pending().await,
        }
    };
    tokio::pin!(stop);
    loop {
        let reason = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = &mut stop => "stopped",
            quit = process.ending.asked() => {
                trigger.start(process.settings.drain);
                if !quit {
                    tracing::info!("draining");
                    continue;
                }
                "asked to quit"
            }
        };
        tracing::info!(reason, "ending");
        process.ending.quit();
        return Ok(());
    }
}

/// Lets connections finish. New ones are still taken while others may not know yet that we are leaving.
async fn finish(process: &Process, trigger: drain::Trigger) {
    let grace = process.settings.drain;
    let minimum = process.settings.exit_on_zero;
    trigger.start(grace);
    let idle = async {
        while process.places.active() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match minimum {
        Some(minimum) => {
            tokio::time::sleep(minimum).await;
            idle.await;
        }
        None if process.settings.quits_when_idle() => {
            // Whether all were done or the time was up makes no difference now.
            drop(tokio::time::timeout(grace, idle).await);
        }
        None => tokio::time::sleep(grace).await,
    }
    process.listeners.close();
    trigger.immediate();
    let cut_off = tokio::time::Instant::now() + CUT_OFF;
    while process.places.active() > 0 && tokio::time::Instant::now() < cut_off {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).with_context(|| format!("thread {name}"))
}

/// A runtime for one thread. Failing here means that the machine has no descriptors or memory left.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

struct WorkerStart {
    index: usize,
    inbox: mpsc::UnboundedReceiver<Fresh>,
    process: Arc<Process>,
    introduction: Arc<crate::worker::Node>,
    spans: mpsc::Sender<observe::Exported>,
    dialer: TcpDialer,
    drain: drain::Watch,
}

/// The life of a worker thread.
fn work(start: WorkerStart) {
    let WorkerStart { index, mut inbox, process, introduction, spans, dialer, drain } = start;
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, index, "a worker could not start"),
    };
    let local = LocalSet::new();
    let mut end = drain.clone();
    local.block_on(&runtime, async {
        let ends = Ends { own: process.own.clone(), sinks: process.sinks.clone(), spans };
        let shard = Shard::new(ends, process.registry.store());
        let worker = Worker::new(Parts {
            index,
            config: process.config.reader(),
            dialer: Rc::new(dialer),
            secrets: process.secrets.clone(),
            observer: shard.clone(),
            drain,
            node: introduction,
            dice: Dice::random(),
        });
        let admit = Admit::new(worker, process.listener_stats.clone(), shard.clone());
        tokio::task::spawn_local(shard.clone().flush_for_ever());
        loop {
            tokio::select! {
                fresh = inbox.recv() => match fresh {
                    Some(fresh) => drop(tokio::task::spawn_local(admit.clone().run(fresh))),
                    None => break,
                },
                () = end.immediate() => break,
            }
        }
        // Connections that heard the end write their last lines within this.
        tokio::time::sleep(Duration::from_millis(50)).await;
        shard.flush();
    });
}

fn accept_thread(
    process: &Arc<Process>,
    names: base::Live<wire::nds::NameTable>,
    dialer: TcpDialer,
    watch: drain::Watch,
) -> anyhow::Result<JoinHandle<()>> {
    let process = process.clone();
    thread("accept", move || {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the acceptor could not start"),
        };
        let mut end = watch.clone();
        LocalSet::new().block_on(&runtime, async {
            if let Source::Agent(agent) = &process.settings.source
                && let Some(address) = agent.ports.dns
            {
                dns::start(dns::Settings::of(agent, address, dialer.mark), names, process.dns.clone());
            }
            let listeners = process.listeners.clone();
            let follow = async {
                warm(&process).await;
                listeners.follow(process.config.clone(), process.places.clone()).await;
            };
            tokio::select! {
                () = follow => {}
                () = end.immediate() => {}
            }
        });
    })
}

/// Listening before routes have come would answer 404 to the first requests.
async fn warm(process: &Process) {
    let Some(session) = &process.session else { return };
    let mut reader = session.reader();
    let work = async {
        while !reader.load().warm {
            reader.changed().await;
        }
    };
    if tokio::time::timeout(WARM_LIMIT, work).await.is_err() {
        tracing::warn!("configuration is incomplete; listening on what there is");
    }
}

async fn refresh_files(secrets: Secrets) {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        secrets.refresh_files();
    }
}

/// Interception redirects our own connections too, unless they carry a mark. Setting it needs a capability; where that
/// is missing the mesh exempts us by our user.
fn mark(settings: &Settings) -> Option<u32> {
    const MARK: u32 = 1337;
    let Source::Agent(agent) = &settings.source else { return None };
    if !agent.intercepts {
        return None;
    }
    let probe = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    match probe.set_mark(MARK) {
        Ok(()) => Some(MARK),
        Err(error) => {
            tracing::info!(%error, "sockets cannot be marked; interception must exempt this user");
            None
        }
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn node(settings: &Settings, boot: &Boot) -> wire::pb::envoy::config::core::v3::Node {
    match &settings.source {
        Source::Agent(agent) => agent.node.to_proto(),
        Source::Bootstrap(bootstrap) => bootstrap.introduce(boot.node.clone().unwrap_or_default()),
    }
}

fn plan(
    settings: &Settings,
    boot: &Boot,
    config: &base::Live<Config>,
    secrets: &Secrets,
    dialer: TcpDialer,
) -> anyhow::Result<Option<Plan>> {
    use wire::Kind;
    let node = node(settings, boot);
    let mut follow = std::collections::BTreeSet::from([Kind::Cluster, Kind::Listener]);
    let (target, security, delta) = match &settings.source {
        Source::Agent(agent) if agent.only => return Ok(None),
        Source::Agent(agent) => {
            if agent.ports.dns.is_some() {
                follow.insert(Kind::NameTable);
            }
            let plain = agent.discovery.ends_with(":15010");
            let tls = Security::Tls { roots: agent.files.root_cert.clone() };
            (Target::of(&agent.discovery), if plain { Security::Plain } else { tls }, true)
        }
        Source::Bootstrap(_) => {
            let Some(ads) = &boot.ads else { return Ok(None) };
            let now = config.load();
            let slot = now.cluster_slots.get(&*ads.cluster).copied();
            let cluster = slot.and_then(|slot| now.cluster(slot));
            let cluster =
                cluster.with_context(|| format!("ads_config: no static cluster {:?}", ads.cluster))?;
            if !boot.dynamic_clusters {
                follow.remove(&Kind::Cluster);
            }
            if !boot.dynamic_listeners {
                follow.remove(&Kind::Listener);
            }
            (Target::Cluster(cluster.clone()), Security::Cluster, ads.delta)
        }
    };
    let connector = Connector { address: target, security, secrets: secrets.clone(), dialer };
    Ok(Some(Plan { node, connector, delta, follow, identity: None }))
}

fn keeper(settings: &Settings, secrets: &Secrets, dialer: TcpDialer) -> Option<Keeper> {
    let Source::Agent(agent) = &settings.source else { return None };
    let mounted = agent.files.mounted_certs.join("cert-chain.pem").exists();
    let connector = agent.ca.as_ref().map(|address| Connector {
        address: Target::of(address),
        security: if address.ends_with(":15010") {
            Security::Plain
        } else {
            Security::Tls { roots: agent.files.root_cert.clone() }
        },
        secrets: secrets.clone(),
        dialer,
    });
    if connector.is_none() && !mounted {
        return None;
    }
    Some(Keeper::new(ca_settings(agent), connector, secrets.clone(), base::clock::Real::shared()))
}

fn ca_settings(agent: &Agent) -> CaSettings {
    let metadata = &agent.node.metadata;
    let account = if metadata.service_account.is_empty() { "default" } else { &metadata.service_account };
    CaSettings {
        token: agent.files.token.clone(),
        mounted: agent.files.mounted_certs.clone(),
        identity: format!("spiffe://{}/ns/{}/sa/{account}", agent.trust_domain, metadata.namespace),
        cluster_id: metadata.cluster_id.clone(),
        ttl: agent.certificate_ttl,
        ratio: agent.renew_ratio,
        jitter: agent.renew_jitter,
    }
}

#[cfg(test)]
mod tests;
