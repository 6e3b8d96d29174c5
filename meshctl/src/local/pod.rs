//! The life of one pod: namespaces, interception, init containers, containers, end.
//!
//! In: a plan, and a signal to stop. Out: states reported to the mesh; when it returns, nothing of the pod is left.
//! One task per pod. Containers are started again when they end, with a growing pause, as their restart policy says.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Time;
use api::core::Container;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::container::{self, Running};
use super::ground;
use super::inject::PROXY;
use super::logs::Stream;
use super::mesh::Mesh;
use super::plan::{PodPlan, Resolved};
use super::sandbox::{Process, Sandbox};
use super::volumes;
use super::wall::{Exit, PodNet, Spawn};
use super::world::State;

/// Longest pause between two starts of a container.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A container that ran so long begins with short pauses again.
const STEADY: Duration = Duration::from_secs(60);

/// Whether a container is started again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    Always,
    OnFailure,
    Never,
}

fn restart_policy(word: &str) -> Restart {
    match word {
        "Never" => Restart::Never,
        "OnFailure" => Restart::OnFailure,
        _ => Restart::Always,
    }
}

/// What the tasks of one pod share.
pub struct PodTask {
    /// The mesh.
    pub mesh: Arc<Mesh>,
    /// What the pod is made of.
    pub plan: Arc<PodPlan>,
    /// Its namespaces.
    pub sandbox: Arc<Sandbox>,
    stop: watch::Receiver<bool>,
    /// Ends the proxies of a pod whose application is done.
    finish: watch::Sender<bool>,
}

/// Runs a pod until it is told to stop; then takes it out of the mesh.
pub async fn run(mesh: Arc<Mesh>, plan: Arc<PodPlan>, mut stop: watch::Receiver<bool>) {
    match start(&mesh, &plan).await {
        Ok(sandbox) => {
            mesh.update_pod(&plan.key(), |pod| pod.sandbox = Some(Arc::clone(&sandbox)));
            let (finish, _) = watch::channel(false);
            let task = PodTask {
                mesh: Arc::clone(&mesh),
                plan: Arc::clone(&plan),
                sandbox,
                stop: stop.clone(),
                finish,
            };
            Arc::new(task).live().await;
        }
        Err(error) => {
            mesh.complain(&plan, &error);
            for container in &plan.spec.containers {
                let state = State::Waiting("CreatePodSandboxError".to_owned(), error.clone());
                mesh.update_container(&plan.key(), &container.name, |c| c.state = state);
            }
        }
    }
    // A pod that is over stays visible until somebody removes it.
    told(&mut stop).await;
    volumes::remove(&plan, mesh.paths.pods());
    mesh.pod_gone(&plan);
}

async fn start(mesh: &Arc<Mesh>, plan: &PodPlan) -> Result<Arc<Sandbox>, String> {
    let net = PodNet {
        index: plan.number,
        ip4: plan.ip4,
        ip6: plan.ip6,
        hostname: plan.hostname().chars().take(63).collect(),
    };
    let sandbox = Sandbox::start(&mesh.ground, net).await.map_err(|error| format!("{error:#}"))?;
    let socket = match &plan.interception {
        Some(_) => sandbox.inside().netfilter().await.map_err(|error| format!("{error:#}"))?,
        None => None,
    };
    if let (Some(rules), Some(socket)) = (&plan.interception, socket) {
        rules.apply(&socket).map_err(|error| format!("intercept traffic: {error}"))?;
    }
    Ok(Arc::new(sandbox))
}

impl PodTask {
    async fn live(self: Arc<Self>) {
        let plan = &self.plan;
        let key = plan.key();
        if !self.prepare().await {
            return;
        }
        let mut side = JoinSet::new();
        let is_side = |container: &Container| container.restart_policy.as_deref() == Some("Always");
        for container in &plan.spec.init_containers {
            if is_side(container) {
                side.spawn(Arc::clone(&self).keep(container.clone(), Restart::Always));
                if !self.wait_ready(&container.name).await {
                    return;
                }
            } else if !self.initialize(container).await {
                side.abort_all();
                return;
            }
        }
        self.mesh.update_pod(&key, |pod| pod.initialized = true);
        let policy = restart_policy(&plan.spec.restart_policy);
        let gateway = plan.proxy == super::inject::Wanted::Gateway;
        let mut apps = JoinSet::new();
        for container in &plan.spec.containers {
            if container.name == PROXY && !gateway {
                side.spawn(Arc::clone(&self).keep(container.clone(), Restart::Always));
            }
        }
        if self.holds_application() && !self.wait_ready(PROXY).await {
            return;
        }
        for container in plan.spec.containers.iter().filter(|c| c.name != PROXY || gateway) {
            apps.spawn(Arc::clone(&self).keep(container.clone(), policy));
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            well = all_done(&mut apps) => {
                if !*self.stop.borrow() {
                    self.finish.send_replace(true);
                    self.end(&mut side, true).await;
                    self.mesh.update_pod(&key, |pod| pod.over = Some(well));
                    return;
                }
            }
            () = told(&mut stop) => {}
        }
        self.finish.send_replace(true);
        self.end(&mut apps, gateway).await;
        self.end(&mut side, true).await;
    }

    /// Writes the volumes, and tries again while something they need is missing.
    async fn prepare(&self) -> bool {
        let mut told = None;
        loop {
            let written = {
                let world = self.mesh.world();
                volumes::write(&self.plan, &world, self.mesh.place(), true)
            };
            let Err(error) = written else { return true };
            if told.as_ref() != Some(&error) {
                self.mesh.complain(&self.plan, &error);
            }
            for container in &self.plan.spec.containers {
                let state = State::Waiting("CreateContainerConfigError".to_owned(), error.clone());
                self.mesh.update_container(&self.plan.key(), &container.name, |c| c.state = state);
            }
            told = Some(error);
            if !self.pause(Duration::from_secs(1)).await {
                return false;
            }
        }
    }

    fn holds_application(&self) -> bool {
        let config = self.plan.meta.annotation("proxy.istio.io/config").unwrap_or_default();
        self.plan.proxy == super::inject::Wanted::Sidecar
            && serde_saphyr::from_str::<serde_json::Value>(config)
                .is_ok_and(|config| config["holdApplicationUntilProxyStarts"] == true)
    }

    /// Waits until a container is ready; false if the pod stops before.
    async fn wait_ready(&self, name: &str) -> bool {
        let mut changes = self.mesh.changes();
        let mut stop = self.stop.clone();
        loop {
            let world_says = {
                let world = self.mesh.world();
                world
                    .pods
                    .get(&self.plan.key())
                    .is_some_and(|pod| pod.containers.get(name).is_some_and(|c| c.ready))
            };
            if world_says {
                return true;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = told(&mut stop) => return false,
            }
        }
    }

    /// Runs an init container until it succeeds; false if it may not be tried again, or the pod stops.
    async fn initialize(self: &Arc<Self>, container: &Container) -> bool {
        let policy = match restart_policy(&self.plan.spec.restart_policy) {
            Restart::Never => Restart::Never,
            Restart::Always | Restart::OnFailure => Restart::OnFailure,
        };
        let well = Arc::clone(self).keep(container.clone(), policy).await;
        if !well && !*self.stop.borrow() {
            self.mesh.update_pod(&self.plan.key(), |pod| pod.over = Some(false));
        }
        well
    }

    /// Runs a container, again and again as the policy says; whether it ended well.
    async fn keep(self: Arc<Self>, container: Container, policy: Restart) -> bool {
        let key = self.plan.key();
        let mut pause = Duration::ZERO;
        let mut finish = self.finish.subscribe();
        loop {
            if self.stopping() {
                return false;
            }
            let since = Instant::now();
            let exit = match self.start_container(&container).await {
                Ok((process, resolved)) => {
                    let pid = process.pid;
                    self.mesh.update_container(&key, &container.name, |c| {
                        c.state = State::Running(Time::now());
                        c.pid = Some(pid);
                    });
                    // Those who ended the pod while this process was being made could not ask it to end.
                    if self.stopping() {
                        container::ask_to_end(&self, pid).await;
                    }
                    let running = Running { task: &self, container: &container, resolved: &resolved, pid };
                    Some(container::watch(running, process).await)
                }
                Err(error) => {
                    self.mesh.complain(&self.plan, &format!("container {}: {error}", container.name));
                    let state = State::Waiting("RunContainerError".to_owned(), error);
                    self.mesh.update_container(&key, &container.name, |c| c.state = state);
                    None
                }
            };
            let well = matches!(exit, Some(Exit { code: Some(0), .. }));
            if !well {
                self.name_port_taken(&container);
            }
            let over = match policy {
                Restart::Always => false,
                Restart::OnFailure => well,
                Restart::Never => exit.is_some(),
            };
            self.mesh.update_container(&key, &container.name, |c| {
                c.ready = false;
                c.pid = None;
                c.last = exit;
                match exit {
                    Some(exit) if over => c.state = State::Ended(exit),
                    Some(exit) => {
                        let reason = if pause.is_zero() { "Restarting" } else { "CrashLoopBackOff" };
                        c.state = State::Waiting(reason.to_owned(), exit.to_string());
                    }
                    None => {}
                }
            });
            if over || *finish.borrow() || *self.stop.borrow() {
                return well;
            }
            if since.elapsed() > STEADY {
                pause = Duration::ZERO;
            }
            tokio::select! {
                going_on = self.pause(pause) => if !going_on { return false },
                () = told(&mut finish) => return false,
            }
            pause = (pause * 2).clamp(Duration::from_millis(500), LONGEST_PAUSE);
            self.mesh.update_container(&key, &container.name, |c| c.restarts += 1);
        }
    }

    /// Where pods share the host's network: says who has a port of all addresses that this container wants, too.
    fn name_port_taken(&self, container: &Container) {
        if self.mesh.ground.node().is_some() {
            return;
        }
        for port in container.ports.iter().filter_map(|port| u16::try_from(port.container_port).ok()) {
            if let Some((pid, name)) = super::broker::owner(port, true) {
                let text = format!(
                    "container {}: port {port} is taken on all addresses by {name} (process {pid}); without namespaces \
                     an application must bind the address in BIND_IP ({})",
                    container.name, self.plan.ip4
                );
                self.mesh.complain(&self.plan, &text);
            }
        }
    }

    /// Sleeps; false if the pod stops meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = told(&mut stop) => false,
        }
    }

    async fn start_container(&self, container: &Container) -> Result<(Process, Resolved), String> {
        let mut resolved = {
            let world = self.mesh.world();
            self.plan.resolve(&world, container)?
        };
        let folders = program_folders(&mut resolved);
        let mounts = volumes::mounts(&self.plan, container, self.mesh.place(), &folders)?;
        let mut spawn = Spawn {
            argv: resolved.argv.clone(),
            env: resolved.env.clone(),
            cwd: resolved.cwd.clone(),
            mounts,
            net_admin: container.name == PROXY,
            ..Spawn::default()
        };
        if self.mesh.ground.node().is_none() {
            let root = self.mesh.paths.pods().join(&self.plan.uid).join(format!("files-{}", container.name));
            ground::link_files(&spawn, &root).map_err(|error| format!("{error:#}"))?;
            spawn.env.insert("POD_FILES".to_owned(), root.display().to_string());
        }
        let stream = Stream {
            namespace: self.plan.namespace.clone(),
            pod: self.plan.name.clone(),
            container: container.name.clone(),
        };
        let streams = self.output(stream).map_err(|error| format!("{error:#}"))?;
        let process = self.sandbox.spawn(spawn, streams).await.map_err(|error| format!("{error:#}"))?;
        Ok((process, resolved))
    }

    fn output(&self, stream: Stream) -> anyhow::Result<[OwnedFd; 3]> {
        let (read, write) = std::io::pipe()?;
        self.mesh.logs.collect(stream, read.into())?;
        let null = std::fs::File::open("/dev/null")?;
        let write = OwnedFd::from(write);
        Ok([null.into(), write.try_clone()?, write])
    }

    /// Ends what still runs of these containers: asks, waits for the grace period, and lets go.
    async fn end(&self, tasks: &mut JoinSet<bool>, proxies: bool) {
        if tasks.is_empty() {
            return;
        }
        let seconds = self.plan.spec.termination_grace_period_seconds.unwrap_or(30);
        let grace =
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(self.mesh.longest_grace(proxies));
        let asked = container::terminate(self);
        tokio::time::timeout(grace, async {
            asked.await;
            while tasks.join_next().await.is_some() {}
        })
        .await
        .ok();
        // What has not ended by now ends with the pod's namespaces.
        tasks.abort_all();
    }

    /// Told to stop.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.stop.borrow() || *self.finish.borrow()
    }
}

/// Waits for a signal. Its sender outlives the pod; if not, that is a signal too.
async fn told(signal: &mut watch::Receiver<bool>) {
    signal.wait_for(|given| *given).await.ok();
}

async fn all_done(tasks: &mut JoinSet<bool>) -> bool {
    let mut well = true;
    while let Some(ended) = tasks.join_next().await {
        well &= ended.unwrap_or(false);
    }
    well
}

/// Folders of programs that lie where a container has folders of its own; and the search path to meshctl's siblings.
fn program_folders(resolved: &mut Resolved) -> Vec<PathBuf> {
    let own = std::env::current_exe().ok().and_then(|exe| exe.parent().map(std::path::Path::to_path_buf));
    if let (Some(own), Some(path)) = (&own, resolved.env.get_mut("PATH")) {
        path.push_str(&format!(":{}", own.display()));
    }
    let firsts = resolved.programs.values().filter_map(|argv| argv.first()).chain(resolved.argv.first());
    let mut folders: Vec<PathBuf> = firsts
        .filter_map(|program| std::path::Path::new(program).parent().map(std::path::Path::to_path_buf))
        .collect();
    folders.extend(own);
    folders.sort();
    folders.dedup();
    let hidden = ["/tmp", "/run", "/var/tmp", "/var/run", "/var/log", "/var/cache"];
    folders.retain(|folder| hidden.iter().any(|own| folder.starts_with(own) && folder.as_os_str() != *own));
    folders
}
