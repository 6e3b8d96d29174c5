//! One run: load, start, wait for a reason to end, drain, stop.
//!
//! In: [`Settings`]. Out: the process's result. The order of starting is written here and nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use base::drain;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::setup::{cores, keeper, mark, node, plan};
use super::threads::{Acceptor, WorkerStart, thread, work};
use crate::config::Config;
use crate::identity::{Keeper, serve_sds};
use crate::listen::{Fresh, Listeners, Places, StatsTable};
use crate::observe::{self, Own, Registry, Sinks};
use crate::overload::{self, Overload};
use crate::process::{Ending, Process};
use crate::settings::{Bootstrap, Settings, Source};
use crate::tls::Secrets;
use crate::upstream::TcpDialer;
use crate::xds::{self, Boot, Plan, Store};
use crate::{admin, status};

/// Spans that wait for export.
const SPANS: usize = 4096;
/// A drain without an end.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
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
    let runtime = super::threads::runtime()?;
    let result = runtime.block_on(serve(settings, extras));
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

/// Identity and SDS, and nothing else: a stock Envoy does the rest.
async fn serve_agent(settings: &Settings, path: &Path) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let secrets = Secrets::new();
    let keeper = keeper(settings, &secrets, TcpDialer { mark: mark(settings) });
    let keeper = keeper.context("--agent-only: neither a CA (CA_ADDR) nor mounted certificates")?;
    let health = keeper.health();
    tokio::task::spawn_local(keeper.run());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        served = serve_sds(path, secrets, health) => served.with_context(|| path.display().to_string()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn serve(mut settings: Settings, extras: Extras) -> anyhow::Result<()> {
    if let Source::Agent(agent) = &settings.source
        && agent.only
    {
        let path = agent.files.sds_socket.clone();
        return serve_agent(&settings, &path).await;
    }
    let config = base::Live::new(Config::default());
    let secrets = Secrets::new();
    let mut store = Store::new(config.clone(), Arc::new(secrets.clone()));
    let boot = match &mut settings.source {
        Source::Bootstrap(bootstrap) => {
            let boot = load(bootstrap, &mut store)?;
            // What it says is in force now; its text can be as large as all of that.
            (bootstrap.text, bootstrap.overlay) = Default::default();
            boot
        }
        Source::Agent(agent) => Boot { limits: agent.limits.clone(), ..Boot::default() },
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
    let known = wire::Node::from_proto(&node);
    let own = known.as_ref().map(Own::of).unwrap_or_default();
    let introduction = Arc::new(known.as_ref().map(observe::introduction).unwrap_or_default());
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
        overload: Overload::new(boot.limits.clone()),
        levels: extras.levels,
        session: plan.as_ref().map(|_| base::Live::new(xds::Status::default())),
        identity: keeper.as_ref().map(Keeper::health),
        dns: Arc::default(),
        ending: Ending::default(),
        settings,
    });
    let (trigger, watch) = drain::pair();
    let (spans, exported) = mpsc::channel(SPANS);
    let (accept_trigger, accept_watch) = drain::pair();
    let acceptor = Acceptor { process: process.clone(), names, dialer, watch: accept_watch };
    let introduced = Introduced { introduction, spans, dialer, watch };
    let threads = workers(&process, inboxes, introduced, acceptor)?;
    let (ports_trigger, ports_watch) = drain::pair();
    admin::start(&process, boot.admin, &ports_watch).await?;
    status::start(&process, dialer, &ports_watch).await?;
    drop(ports_watch);
    tokio::task::spawn_local(observe::export(exported, config, secrets, dialer));
    tokio::task::spawn_local(async move { resolver.run().await });
    learn(&process, keeper, plan);
    tracing::info!(workers = count, version = crate::settings::VERSION, "proxy started");
    if let Some(started) = extras.started {
        // Nobody waits any more: that is the test's own affair.
        drop(started.send(process.clone()));
    }
    until_end(&process, &trigger, extras.stop).await?;
    finish(&process, trigger).await;
    accept_trigger.immediate();
    ports_trigger.immediate();
    join(&process, threads);
    tracing::info!("proxy ended");
    Ok(())
}

fn join(process: &Process, threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread panicked");
        }
    }
    process.sinks.finish();
}

/// Starts what keeps the proxy told: its load, its certificate, its configuration, files that change.
fn learn(process: &Process, keeper: Option<Keeper>, plan: Option<Plan>) {
    tokio::task::spawn_local(overload::watch(process.overload.clone(), process.places.clone()));
    if let Source::Agent(agent) = &process.settings.source
        && !agent.unhonoured.is_empty()
    {
        tracing::warn!(variables = agent.unhonoured.join(" "), "these have no effect here");
    }
    tokio::task::spawn_local(refresh_files(process.secrets.clone()));
    if let Some(keeper) = keeper {
        tokio::task::spawn_local(keeper.run());
    }
    if let (Some(plan), Some(status)) = (plan, process.session.clone()) {
        tokio::task::spawn_local(xds::follow(plan, process.store.clone(), status));
    }
}

/// What all workers get.
struct Introduced {
    introduction: Arc<crate::worker::Node>,
    spans: mpsc::Sender<observe::Exported>,
    dialer: TcpDialer,
    watch: drain::Watch,
}

fn workers(
    process: &Arc<Process>,
    inboxes: Vec<mpsc::UnboundedReceiver<Fresh>>,
    all: Introduced,
    acceptor: Acceptor,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(inboxes.len() + 1);
    let (mut alone, apart) = if inboxes.len() == 1 { (Some(acceptor), None) } else { (None, Some(acceptor)) };
    if let Some(acceptor) = apart {
        threads.push(acceptor.start()?);
    }
    for (index, inbox) in inboxes.into_iter().enumerate() {
        let start = WorkerStart {
            index,
            inbox,
            process: process.clone(),
            introduction: all.introduction.clone(),
            spans: all.spans.clone(),
            dialer: all.dialer,
            drain: all.watch.clone(),
            acceptor: alone.take(),
        };
        threads.push(thread(&format!("worker-{index}"), move || work(start))?);
    }
    Ok(threads)
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
                if !quit {
                    tracing::info!("draining");
                    // The application goes on, and may take its time.
                    trigger.start(FOREVER);
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

/// Lets connections finish. New ones are still taken while others may not know yet that we are leaving; idle ones are
/// closed at the end of that time, since a request may already be on its way.
async fn finish(process: &Process, trigger: drain::Trigger) {
    let grace = process.settings.drain;
    let minimum = process.settings.exit_on_zero;
    let polite = if process.settings.quits_when_idle() { Duration::ZERO } else { minimum.unwrap_or(grace) };
    trigger.start(polite);
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

async fn refresh_files(secrets: Secrets) {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        secrets.refresh_files();
    }
}
