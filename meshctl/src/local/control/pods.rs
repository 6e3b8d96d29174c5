//! Looking into pods: `logs`, `exec`, and connections made inside.
//!
//! In: a target (`POD`, `pod/POD`, `deploy/NAME`, `svc/NAME`) and a container. Out: lines, a process that has the
//! command's own streams, or a connection handed over.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use api::core::{Container, Service};
use api::{Kind, meta};

use crate::local::container::beside;
use crate::local::images;
use crate::local::inject::PROXY;
use crate::local::logs::Stream;
use crate::local::plan::PodPlan;
use crate::local::protocol::Answer;
use crate::local::sandbox::Sandbox;
use crate::local::world::{PodRecord, World};

use super::server::Connection;

/// What is wanted of logs.
pub(super) struct Logs {
    pub(super) container: Option<String>,
    pub(super) follow: bool,
    pub(super) tail: Option<usize>,
    pub(super) all: bool,
}

/// What is wanted of `exec`.
pub(super) struct Exec {
    pub(super) container: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) terminal: bool,
}

/// The pod that a target means; ready ones before others.
fn find<'a>(world: &'a World, namespace: &str, target: &str) -> Result<&'a PodRecord> {
    let (kind, name) = match target.split_once('/') {
        Some((word, name)) => {
            (Kind::from_word(word).with_context(|| format!("there is no kind {word:?}"))?, name)
        }
        None => (Kind::Pod, target),
    };
    if kind == Kind::Pod {
        let (name, namespace) = match name.rsplit_once('.') {
            // istioctl's form POD.NAMESPACE, where there is no pod of the whole name.
            Some((pod, own)) if !world.pods.contains_key(&(namespace.to_owned(), name.to_owned())) => {
                (pod, own)
            }
            _ => (name, namespace),
        };
        let pod = world.pods.get(&(namespace.to_owned(), name.to_owned()));
        return pod.with_context(|| format!("there is no pod {name} in namespace {namespace}"));
    }
    let selector = match kind {
        Kind::Service => world.find::<Service>(namespace, name).map(|service| service.spec.selector.clone()),
        _ => None,
    };
    let belongs = |pod: &&PodRecord| {
        let plan = &pod.plan;
        plan.namespace == namespace
            && match &selector {
                Some(selector) => !selector.is_empty() && meta::labels_match(selector, &plan.meta.labels),
                None => plan.owner.kind == kind && plan.owner.name == name,
            }
    };
    let mut pods: Vec<&PodRecord> = world.pods.values().filter(belongs).collect();
    pods.sort_by_key(|pod| (pod.terminating(), !pod.ready(), pod.plan.created));
    pods.first().copied().with_context(|| format!("{target} has no pods in namespace {namespace}"))
}

/// The container that is meant: the named one, the annotated default, or the first that is not the proxy.
fn container<'a>(plan: &'a PodPlan, name: Option<&str>) -> Result<&'a Container> {
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

pub(super) fn logs(connection: &mut Connection, namespace: &str, target: &str, wanted: &Logs) -> Result<i32> {
    let plan = {
        let world = connection.mesh.world();
        Arc::clone(&find(&world, namespace, target)?.plan)
    };
    let containers: Vec<String> = if wanted.all {
        plan.spec.init_containers.iter().chain(&plan.spec.containers).map(|c| c.name.clone()).collect()
    } else {
        vec![match wanted.container.as_deref() {
            // What the mesh itself says about a pod.
            Some("mesh") => "mesh".to_owned(),
            name => container(&plan, name)?.name.clone(),
        }]
    };
    let stream = |container: &String| Stream {
        namespace: plan.namespace.clone(),
        pod: plan.name.clone(),
        container: container.clone(),
    };
    let mut live = connection.mesh.logs.follow();
    let mut seen = None;
    for name in &containers {
        let (lines, receiver) = connection.mesh.logs.read(&stream(name));
        let skip = wanted.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        for line in &lines[skip..] {
            connection.line(line.to_string())?;
        }
        if seen.is_none() {
            seen = Some(receiver);
        }
    }
    if !wanted.follow {
        return Ok(0);
    }
    if let (1, Some(receiver)) = (containers.len(), seen) {
        live = receiver;
    }
    loop {
        let next = connection.runtime.block_on(live.recv());
        match next {
            Ok(line) => {
                let own = line.stream.namespace == plan.namespace && line.stream.pod == plan.name;
                if own && containers.contains(&line.stream.container) {
                    connection.line(line.text.to_string())?;
                }
            }
            Err(tokio::sync::broadcast::error::RecvError::Lagged(lost)) => {
                connection.problem(format!("({lost} lines were too fast and are not shown)"))?;
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(0),
        }
    }
}

pub(super) fn exec(
    connection: &mut Connection,
    namespace: &str,
    target: &str,
    wanted: Exec,
    fds: Vec<OwnedFd>,
) -> Result<i32> {
    let streams: [OwnedFd; 3] = fds.try_into().map_err(|_| anyhow!("exec needs three streams"))?;
    let (sandbox, spawn) = {
        let world = connection.mesh.world();
        let pod = find(&world, namespace, target)?;
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
            connection.problem(format!("error: {error:#}"))?;
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

pub(super) fn dial(connection: &mut Connection, namespace: &str, target: &str, port: u16) -> Result<i32> {
    let sandbox = {
        let world = connection.mesh.world();
        find(&world, namespace, target)?.sandbox.clone().context("the pod is not up yet")?
    };
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let stream = connection
        .runtime
        .block_on(sandbox.connect(to))
        .with_context(|| format!("connect to {to} in {target}"))?;
    let stream = stream.into_std()?;
    connection.say_with(&Answer::Connection, &[stream.as_raw_fd()])?;
    Ok(0)
}
