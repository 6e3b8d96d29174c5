//! One running container: its probes while it runs, and how it is asked to end.
//!
//! In: a process that has just started. Out: how it ended; meanwhile its readiness is reported to the mesh, and a
//! failing liveness or startup probe ends it. Called by `pod`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use api::core::{Container, LifecycleHandler, Probe};

use super::plan::Resolved;
use super::pod::PodTask;
use super::probe::{self, Rhythm};
use super::sandbox::Process;
use super::wall::{Exit, Spawn};

const TERM: i32 = 15;
const KILL: i32 = 9;
/// How long a container that failed its probe may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A container that runs.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// Its pod.
    pub task: &'a PodTask,
    /// What it is.
    pub container: &'a Container,
    /// What it was started with.
    pub resolved: &'a Resolved,
    /// Its process.
    pub pid: i32,
}

/// Waits for the end, probing meanwhile.
pub async fn watch(running: Running<'_>, mut process: Process) -> Exit {
    let unhealthy = tokio::select! {
        exit = process.wait() => return exit.unwrap_or(Exit { pid: running.pid, code: None, signal: None }),
        why = health(running) => why,
    };
    running.task.mesh.complain(
        &running.task.plan,
        &format!("container {} is ended because {unhealthy}", running.container.name),
    );
    running.task.sandbox.signal(running.pid, TERM).await;
    let exit = match tokio::time::timeout(PATIENCE, process.wait()).await {
        Ok(exit) => exit,
        Err(_) => {
            running.task.sandbox.signal(running.pid, KILL).await;
            process.wait().await
        }
    };
    exit.unwrap_or(Exit { pid: running.pid, code: None, signal: Some(KILL) })
}

/// Reports readiness; returns, with the reason, only if the container must be ended.
async fn health(running: Running<'_>) -> String {
    let container = running.container;
    if let Some(handler) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref()) {
        handle(running, handler).await;
    }
    if let Some(startup) = &container.startup_probe
        && let Err(error) = until_healthy(running, startup).await
    {
        return format!("its startup probe fails: {error}");
    }
    let Some(probe) = &container.readiness_probe else {
        set_ready(running, true);
        return alive(running).await;
    };
    tokio::select! {
        never = readiness(running, probe) => never,
        reason = alive(running) => reason,
    }
}

fn set_ready(running: Running<'_>, ready: bool) {
    let key = running.task.plan.key();
    running.task.mesh.update_container(&key, &running.container.name, |state| state.ready = ready);
}

/// Follows the readiness probe for ever.
async fn readiness(running: Running<'_>, probe: &Probe) -> String {
    let rhythm = probe::rhythm(probe);
    eager(running, probe, rhythm, None).await.ok();
    set_ready(running, true);
    let (mut yes, mut no, mut ready) = (rhythm.successes, 0, true);
    loop {
        tokio::time::sleep(rhythm.period).await;
        match ask(running, probe, rhythm).await {
            Ok(()) => (yes, no) = (yes + 1, 0),
            Err(_) => (yes, no) = (0, no + 1),
        }
        let now = if ready { no < rhythm.failures } else { yes >= rhythm.successes };
        if now != ready {
            ready = now;
            set_ready(running, ready);
        }
    }
}

/// Follows the liveness probe; returns when it has failed too often.
async fn alive(running: Running<'_>) -> String {
    let Some(probe) = &running.container.liveness_probe else { return std::future::pending().await };
    let rhythm = probe::rhythm(probe);
    tokio::time::sleep(rhythm.delay).await;
    let mut failures = 0;
    loop {
        tokio::time::sleep(rhythm.period).await;
        match ask(running, probe, rhythm).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures >= rhythm.failures {
                    return format!("its liveness probe fails: {error}");
                }
            }
        }
    }
}

/// Asks until the first yes, or until the probe has failed as often as it may.
async fn until_healthy(running: Running<'_>, probe: &Probe) -> Result<(), String> {
    let rhythm = probe::rhythm(probe);
    let patience = rhythm.period * rhythm.failures + rhythm.delay;
    eager(running, probe, rhythm, Some(patience)).await
}

/// Asks often at first and then in the probe's rhythm: a container that is ready at once is seen at once.
async fn eager(
    running: Running<'_>,
    probe: &Probe,
    rhythm: Rhythm,
    patience: Option<Duration>,
) -> Result<(), String> {
    tokio::time::sleep(rhythm.delay).await;
    let begin = tokio::time::Instant::now();
    let mut wait = probe::FIRST_WAIT;
    let mut successes = 0;
    loop {
        match ask(running, probe, rhythm).await {
            Ok(()) => {
                successes += 1;
                if successes >= rhythm.successes {
                    return Ok(());
                }
            }
            Err(error) => {
                successes = 0;
                if patience.is_some_and(|patience| begin.elapsed() >= patience) {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 5 / 4).min(rhythm.period);
    }
}

async fn ask(running: Running<'_>, probe: &Probe, rhythm: Rhythm) -> Result<(), String> {
    let Running { task, container, .. } = running;
    let question = async {
        if let Some(exec) = &probe.exec {
            return match execute(running, &exec.command).await {
                Ok(Some(Exit { code: Some(0), .. })) => Ok(()),
                Ok(Some(exit)) => Err(format!("{}: {exit}", exec.command.join(" "))),
                Ok(None) => Err("the pod has ended".to_owned()),
                Err(error) => Err(error),
            };
        }
        // A probe without a question says yes, as an empty one does in a cluster.
        probe::ask(probe, container, &task.sandbox, task.plan.ip4.into()).await.unwrap_or(Ok(()))
    };
    match tokio::time::timeout(rhythm.timeout, question).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {:?}", rhythm.timeout)),
    }
}

/// Runs a command beside the container's process, in its file system.
async fn execute(running: Running<'_>, command: &[String]) -> Result<Option<Exit>, String> {
    let spawn = beside(running.resolved, running.pid, command.to_vec());
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let streams = [null(), null(), null()].map(|fd| fd.map_err(|error| error.to_string()));
    let [input, output, error] = streams;
    let mut process = running
        .task
        .sandbox
        .spawn(spawn, [input?, output?, error?])
        .await
        .map_err(|error| format!("{error:#}"))?;
    Ok(process.wait().await)
}

/// A process that joins a running container.
#[must_use]
pub fn beside(resolved: &Resolved, pid: i32, argv: Vec<String>) -> Spawn {
    Spawn { argv, env: resolved.env.clone(), cwd: resolved.cwd.clone(), join: Some(pid), ..Spawn::default() }
}

async fn handle(running: Running<'_>, handler: &LifecycleHandler) {
    let Running { task, container, .. } = running;
    let address = task.plan.ip4.into();
    let outcome = if let Some(exec) = &handler.exec {
        execute(running, &exec.command).await.map(drop)
    } else if let Some(get) = &handler.http_get {
        probe::http_get(get, container, &task.sandbox, address).await
    } else if let Some(socket) = &handler.tcp_socket {
        probe::tcp_socket(socket, container, &task.sandbox, address).await
    } else if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        Ok(())
    } else {
        Ok(())
    };
    // A hook that fails is told, and the container goes on.
    if let Err(error) = outcome {
        task.mesh.complain(&task.plan, &format!("hook of {}: {error}", container.name));
    }
}

/// Runs the hooks before the end and asks all running containers of the pod to end.
pub async fn terminate(task: &PodTask) {
    let key = task.plan.key();
    let pids: BTreeMap<String, i32> = {
        let world = task.mesh.world();
        let containers = world.pods.get(&key).map(|pod| &pod.containers);
        containers.into_iter().flatten().filter_map(|(name, c)| Some((name.clone(), c.pid?))).collect()
    };
    for container in &task.plan.spec.containers {
        let Some(pid) = pids.get(&container.name) else { continue };
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        if let Some(hook) = hook {
            let resolved = {
                let world = task.mesh.world();
                task.plan.resolve(&world, container)
            };
            if let Ok(resolved) = resolved {
                handle(Running { task, container, resolved: &resolved, pid: *pid }, hook).await;
            }
        }
    }
    for pid in pids.values() {
        ask_to_end(task, *pid).await;
    }
}

/// Asks one process to end.
pub async fn ask_to_end(task: &PodTask, pid: i32) {
    task.sandbox.signal(pid, TERM).await;
}
