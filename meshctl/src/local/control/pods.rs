//! Reaching into pods: `exec`, and connections made inside.
//!
//! In: a pod and a container. Out: a process that has the command's own streams, or a connection handed over.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use api::core::Container;

use crate::local::container::beside;
use crate::local::images;
use crate::local::inject::PROXY;
use crate::local::plan::PodPlan;
use crate::local::protocol::Answer;
use crate::local::sandbox::Sandbox;
use crate::local::world::{PodRecord, World};

use super::server::Connection;

/// What is wanted of `exec`.
pub(super) struct Exec {
    pub(super) container: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) terminal: bool,
}

/// A pod by its own name; commands find out which one is meant.
pub(super) fn find<'a>(world: &'a World, namespace: &str, name: &str) -> Result<&'a PodRecord> {
    let pod = world.pods.get(&(namespace.to_owned(), name.to_owned()));
    pod.with_context(|| format!("there is no pod {name:?} in namespace {namespace}"))
}

/// The container that is meant: the named one, the annotated default, or the first that is not the proxy.
pub(super) fn container<'a>(plan: &'a PodPlan, name: Option<&str>) -> Result<&'a Container> {
    let name = name.or_else(|| plan.meta.annotation("kubectl.kubernetes.io/default-container"));
    let mut all = plan.spec.containers.iter().chain(&plan.spec.init_containers);
    let found = match name {
        Some(name) => all.find(|container| container.name == name),
        None => plan.spec.containers.iter().find(|container| container.name != PROXY).or_else(|| all.next()),
    };
    found.with_context(|| {
        let names: Vec<&str> = plan.spec.containers.iter().map(|container| container.name.as_str()).collect();
        format!(
            "pod {} has no container {}; it has {}",
            plan.name,
            name.unwrap_or("at all"),
            names.join(", ")
        )
    })
}

pub(super) fn exec(
    connection: &mut Connection,
    namespace: &str,
    name: &str,
    wanted: Exec,
    fds: Vec<OwnedFd>,
) -> Result<i32> {
    let streams: [OwnedFd; 3] = fds.try_into().map_err(|_| anyhow!("exec needs three streams"))?;
    let (sandbox, spawn) = {
        let world = connection.mesh.world();
        let pod = find(&world, namespace, name)?;
        let container = container(&pod.plan, wanted.container.as_deref())?;
        let state = pod.containers.get(&container.name);
        let pid = state.and_then(|state| state.pid).with_context(|| {
            format!("container {} of pod {} does not run: {}", container.name, pod.plan.name, pod.word())
        })?;
        let mut resolved = pod.plan.resolve(&world, container).map_err(|error| anyhow!(error))?;
        if let (Some(exe), Some(path)) = (std::env::current_exe().ok(), resolved.env.get_mut("PATH"))
            && let Some(own) = exe.parent()
        {
            path.push_str(&format!(":{}", own.display()));
        }
        if wanted.terminal {
            resolved.env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        let mut spawn = beside(&resolved, pid, substitute(wanted.command, container, &resolved.programs)?);
        spawn.terminal = wanted.terminal;
        (pod.sandbox.clone().context("the pod is not up yet")?, spawn)
    };
    run(connection, &sandbox, spawn, streams)
}

/// Programs that this machine lacks are replaced by what `images.yaml` says; the agent of the proxy is the proxy.
fn substitute(
    mut command: Vec<String>,
    container: &Container,
    programs: &std::collections::BTreeMap<String, Vec<String>>,
) -> Result<Vec<String>> {
    let first = command.first().context("exec needs a command")?.clone();
    if first == "pilot-agent" && container.name == PROXY {
        command.splice(0..1, [images::sibling("proxy")?.display().to_string()]);
        return Ok(command);
    }
    if images::look_up(&first, std::path::Path::new("/")).is_none()
        && let Some(argv) = programs.get(&first)
    {
        command.splice(0..1, argv.iter().cloned());
    }
    Ok(command)
}

fn run(
    connection: &mut Connection,
    sandbox: &Arc<Sandbox>,
    spawn: crate::local::wall::Spawn,
    streams: [OwnedFd; 3],
) -> Result<i32> {
    let started = connection.runtime.block_on(sandbox.spawn(spawn, streams));
    let mut process = match started {
        Ok(process) => process,
        Err(error) => {
            connection.problem(format!("Error: {error:#}"))?;
            return Ok(127);
        }
    };
    // When the command goes away, so does what it started.
    let (mut watched, runtime) = (connection.stream.try_clone()?, connection.runtime.clone());
    let (pid, inside) = (process.pid, Arc::downgrade(sandbox));
    std::thread::Builder::new().name("exec".to_owned()).spawn(move || {
        if matches!(watched.read(&mut [0]), Ok(0) | Err(_))
            && let Some(sandbox) = inside.upgrade()
        {
            runtime.block_on(sandbox.signal(pid, 1));
            runtime.block_on(sandbox.signal(pid, 9));
        }
    })?;
    let exit = connection.runtime.block_on(process.wait());
    Ok(match exit {
        Some(exit) => exit.code.unwrap_or_else(|| 128 + exit.signal.unwrap_or(0)),
        None => bail!("the pod has ended"),
    })
}

pub(super) fn dial(connection: &mut Connection, namespace: &str, name: &str, port: u16) -> Result<i32> {
    let sandbox = {
        let world = connection.mesh.world();
        find(&world, namespace, name)?.sandbox.clone().context("the pod is not up yet")?
    };
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let stream = connection
        .runtime
        .block_on(sandbox.connect(to))
        .with_context(|| format!("connect to {to} in {name}"))?;
    let stream = stream.into_std()?;
    connection.say_with(&Answer::Connection, &[stream.as_raw_fd()])?;
    Ok(0)
}
