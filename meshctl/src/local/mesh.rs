//! A running mesh: what its tasks share.
//!
//! In: objects from `up` and `apply`, states from pods. Out: the reconciler is woken, watchers are told. The world is
//! behind one lock that nobody holds across an await.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use citadel::ca::RootPolicy;
use citadel::token::Signer;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::addresses::Addresses;
use super::broker::Broker;
use super::config_dir::ConfigDir;
use super::dns;
use super::egress;
use super::ground::Ground;
use super::logs::{LogBook, Stream};
use super::paths::Paths;
use super::plan::PodPlan;
use super::volumes::Place;
use super::world::{ContainerState, PodRecord, State, World};

/// How long pods may take to end when the whole mesh ends.
const LAST_GRACE: Duration = Duration::from_millis(1500);
const USUAL_GRACE: Duration = Duration::from_secs(3600);

/// A running mesh.
pub struct Mesh {
    /// Its folders.
    pub paths: Paths,
    /// What its pods stand on.
    pub ground: Ground,
    /// Its key for tokens.
    pub signer: Signer,
    /// What its containers print.
    pub logs: Arc<LogBook>,
    /// Its DNS, where pods have a network of their own.
    pub dns: Option<Arc<dns::Server>>,
    /// Its published ports.
    pub broker: Broker,
    /// What pilot reads.
    pub config: Mutex<ConfigDir>,
    world: Mutex<World>,
    wake: Notify,
    changed: watch::Sender<u64>,
    ending: watch::Sender<bool>,
    written: AtomicU64,
    asked: AtomicU64,
    done: watch::Sender<u64>,
}

impl Mesh {
    /// Makes the network and what serves it; nothing runs in it yet.
    pub async fn start(paths: Paths, ground: Ground, broker: Broker) -> Result<Arc<Self>> {
        let signer = Signer::load_or_create(&paths.state).map_err(|error| anyhow!(error))?;
        // Made here and not by pilot, so that proxies have its root from their first moment.
        citadel::ca::load_or_create(&paths.ca(), &RootPolicy::default(), SystemTime::now())
            .map_err(|error| anyhow!("make the certificate authority: {error}"))?;
        let dns = match ground.node() {
            Some(node) => {
                egress::start(node).await.context("start the way out")?;
                Some(dns::Server::start(node).await.context("start the DNS server")?)
            }
            None => None,
        };
        let config = ConfigDir::new(paths.config())?;
        let logs = Arc::new(LogBook::new(paths.logs()));
        let world = Mutex::new(World::new(Addresses::open(&paths.state)));
        Ok(Arc::new(Self {
            paths,
            ground,
            signer,
            logs,
            dns,
            broker,
            config: Mutex::new(config),
            world,
            wake: Notify::new(),
            changed: watch::channel(0).0,
            ending: watch::channel(false).0,
            written: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            done: watch::channel(0).0,
        }))
    }

    /// The world, locked. Never held across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock()
    }

    /// Wakes the reconciler.
    pub fn wake(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// How often the reconciler was woken so far; it says so again when it has done all of that.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// The reconciler has done what was asked up to here.
    pub fn done(&self, asked: u64) {
        self.done.send_replace(asked);
    }

    /// Waits until everything known by now is in the translation table, in DNS and in pilot's folder.
    pub async fn caught_up(&self) {
        let asked = self.asked();
        // The sender is ours, so this cannot fail.
        self.done.subscribe().wait_for(|done| *done >= asked).await.ok();
    }

    /// Waits for the next wake-up.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Up to which revision of the world everything is written for pilot.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Everything up to this revision is written.
    pub fn set_written(&self, revision: u64) {
        self.written.store(revision, Ordering::Release);
    }

    /// Changes whenever something about pods changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells watchers.
    pub fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes a pod's record, if it is still there.
    pub fn update_pod(&self, key: &(String, String), change: impl FnOnce(&mut PodRecord)) {
        if let Some(pod) = self.world.lock().pods.get_mut(key) {
            change(pod);
        }
        self.wake();
        self.tell();
    }

    /// Changes a container's state.
    pub fn update_container(
        &self,
        key: &(String, String),
        name: &str,
        change: impl FnOnce(&mut ContainerState),
    ) {
        self.update_pod(key, |pod| {
            let state = pod.containers.entry(name.to_owned()).or_insert_with(|| ContainerState {
                state: State::Waiting("ContainerCreating".to_owned(), String::new()),
                ready: false,
                restarts: 0,
                pid: None,
                last: None,
            });
            change(state);
        });
    }

    /// Takes a pod out, after its end.
    pub fn pod_gone(&self, plan: &PodPlan) {
        let mut world = self.world.lock();
        world.pods.remove(&plan.key());
        world.addresses.release_pod(plan.number);
        drop(world);
        self.logs.forget(&plan.namespace, &plan.name);
        self.wake();
        self.tell();
    }

    /// Says something about a pod in its log, under the name of the mesh.
    pub fn complain(&self, plan: &PodPlan, text: &str) {
        let stream = Stream {
            namespace: plan.namespace.clone(),
            pod: plan.name.clone(),
            container: "mesh".to_owned(),
        };
        self.logs.say(&Arc::new(stream), text.into());
    }

    /// Where volumes are written.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place { pods: self.paths.pods(), state: &self.paths.state, signer: &self.signer }
    }

    /// The longest time that containers may take to end; a proxy has nobody to drain for when all end.
    #[must_use]
    pub fn longest_grace(&self, proxies: bool) -> Duration {
        match (*self.ending.borrow(), proxies) {
            (false, _) => USUAL_GRACE,
            (true, false) => LAST_GRACE,
            (true, true) => Duration::ZERO,
        }
    }

    /// Asks for the end of the mesh.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when the end of the mesh was asked for.
    pub async fn ended(&self) {
        // The sender is ours, so this cannot fail.
        self.ending.subscribe().wait_for(|ending| *ending).await.ok();
    }

    /// Whether the mesh is being ended.
    #[must_use]
    pub fn ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// Ends all pods and waits until they have gone.
    pub async fn shut_down(&self) {
        self.end();
        let mut changes = self.changes();
        for pod in self.world().pods.values() {
            pod.stop.send_replace(true);
        }
        let all_gone = async {
            while !self.world().pods.is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whatever has not ended by then ends with the node.
        tokio::time::timeout(LAST_GRACE * 2, all_gone).await.ok();
        self.broker.close();
    }
}
