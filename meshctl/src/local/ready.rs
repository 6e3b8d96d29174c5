//! Whether a mesh is ready, and where to point the browser.
//!
//! In: the world and its changes. Out: what is not ready and why; the address of the first route of the ingress
//! gateway, asked until it answers 200. Called by `up` and by the `Ready` command.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::AnyObject;
use api::networking::VirtualService;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::mesh::Mesh;
use super::settle::settle;
use super::system::SYSTEM_NAMESPACE;
use super::workloads::{self, template_of};
use super::world::{State, World};

/// How long pods may take before `up` stops to wait for them.
const PATIENCE: Duration = Duration::from_secs(120);
/// A container that was started again so often does not become ready by itself.
const HOPELESS: u32 = 5;
/// How long the first route may take after that.
const ROUTE_PATIENCE: Duration = Duration::from_secs(60);

/// How the waiting ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Everything runs, and the gateway answers if anything is routed.
    pub ready: bool,
    /// What is in the way.
    pub problems: Vec<String>,
    /// When the gateway answered 200.
    pub answered: Option<Instant>,
}

/// Pods that are not ready, with the reason.
#[must_use]
pub fn unready(world: &World) -> Vec<String> {
    let mut problems = Vec::new();
    for pod in world.pods.values().filter(|pod| !pod.ready() && pod.over != Some(true) && !pod.terminating())
    {
        let mut why = Vec::new();
        for container in &pod.plan.spec.containers {
            match pod.containers.get(&container.name) {
                Some(state) if state.ready => {}
                Some(state) => match &state.state {
                    State::Waiting(reason, message) => {
                        why.push(format!("{}: {reason} {message}", container.name))
                    }
                    State::Running(_) => why.push(format!("{}: not ready yet", container.name)),
                    State::Ended(exit) => why.push(format!("{}: {exit}", container.name)),
                },
                None => why.push(format!("{}: not started yet", container.name)),
            }
        }
        problems.push(format!("pod {}/{}: {}", pod.plan.namespace, pod.plan.name, why.join("; ")));
    }
    problems
}

/// Whether every workload has its pods and all of them are ready.
fn all_ready(world: &World) -> bool {
    let pending = workloads::steps(world).iter().any(|step| matches!(step, workloads::Step::Start(..)));
    let runs = |object: &AnyObject| template_of(object).is_some();
    let any = world.objects.values().any(|stored| runs(&stored.object));
    !pending && unready(world).is_empty() && (!any || !world.pods.is_empty())
}

/// Whether some container has failed so often that waiting for it is vain.
fn hopeless(world: &World) -> bool {
    world.pods.values().any(|pod| pod.containers.values().any(|c| !c.ready && c.restarts >= HOPELESS))
}

/// Waits until the mesh is ready.
pub async fn wait(mesh: &Arc<Mesh>) -> Outcome {
    let mut changes = mesh.changes();
    let ready = async {
        while !all_ready(&mesh.world()) {
            if hopeless(&mesh.world()) || changes.changed().await.is_err() {
                return false;
            }
        }
        true
    };
    if !tokio::time::timeout(PATIENCE, ready).await.unwrap_or(false) {
        return Outcome { ready: false, problems: unready(&mesh.world()), answered: None };
    }
    if let Err(behind) = settle(mesh, ROUTE_PATIENCE).await {
        return Outcome { ready: false, problems: vec![behind], answered: None };
    }
    let Some(route) = first_route(mesh) else { return Outcome { ready: true, ..Outcome::default() } };
    let begin = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let answer = ask(&route).await;
        if answer == Ok(200) {
            return Outcome { ready: true, problems: Vec::new(), answered: Some(Instant::now()) };
        }
        if begin.elapsed() > ROUTE_PATIENCE || mesh.ending() {
            let why = match answer {
                Ok(status) => format!("{} answers {status}", route.url()),
                Err(error) => format!("{} does not answer: {error}", route.url()),
            };
            return Outcome { ready: false, problems: vec![why], answered: None };
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_millis(200));
    }
}

/// What a browser would ask first.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Host port of the ingress gateway's HTTP port.
    pub port: u16,
    /// Host header; none for any host.
    pub host: Option<String>,
    /// The path.
    pub path: String,
}

impl Route {
    /// The address for people.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }
}

/// The first path that a VirtualService serves on a gateway.
#[must_use]
pub fn first_route(mesh: &Mesh) -> Option<Route> {
    let port =
        mesh.broker.host_port(&(SYSTEM_NAMESPACE.to_owned(), "istio-ingressgateway".to_owned(), 80))?;
    let world = mesh.world();
    let mut services: Vec<_> = world
        .all::<VirtualService>()
        .filter(|service| {
            service.spec.gateways.iter().any(|gateway| gateway != "mesh") && !service.spec.http.is_empty()
        })
        .collect();
    services.sort_by(|a, b| a.meta.age(&b.meta));
    services.into_iter().find_map(|service| {
        let value = serde_json::to_value(&service.spec).ok()?;
        let host = service.spec.hosts.first().filter(|host| !host.starts_with('*')).cloned();
        let matches = value.pointer("/http/0/match").and_then(Value::as_array);
        let path = match matches.and_then(|matches| matches.first()) {
            // Conditions that a plain request does not meet cannot be asked for.
            Some(first)
                if first.get("headers").is_some()
                    || first.get("method").is_some_and(|m| m["exact"] != "GET") =>
            {
                return None;
            }
            Some(first) => {
                let uri = first.get("uri");
                let word = |kind: &str| uri.and_then(|uri| uri.get(kind)).and_then(Value::as_str);
                word("exact").or_else(|| word("prefix")).unwrap_or("/").to_owned()
            }
            None => "/".to_owned(),
        };
        Some(Route { port, host, path })
    })
}

async fn ask(route: &Route) -> Result<u16, String> {
    let question = async {
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), route.port);
        let mut stream = TcpStream::connect(at).await?;
        let host = route.host.clone().unwrap_or_else(|| at.to_string());
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: meshctl\r\nConnection: close\r\n\r\n",
            route.path
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut piece = [0; 256];
        while answer.len() < 12 {
            match stream.read(&mut piece).await? {
                0 => break,
                length => answer.extend_from_slice(&piece[..length]),
            }
        }
        std::io::Result::Ok(answer)
    };
    match tokio::time::timeout(Duration::from_secs(10), question).await {
        Ok(Ok(answer)) => {
            let line = String::from_utf8_lossy(&answer);
            line.split(' ')
                .nth(1)
                .and_then(|word| word.parse().ok())
                .ok_or_else(|| "no HTTP answer".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 10 s".to_owned()),
    }
}

/// What a command is told of a running mesh.
#[must_use]
pub fn status(mesh: &Mesh) -> Value {
    let route = first_route(mesh);
    let gateway = |port: u16| {
        mesh.broker.host_port(&(SYSTEM_NAMESPACE.to_owned(), "istio-ingressgateway".to_owned(), port))
    };
    let world = mesh.world();
    json!({
        "name": mesh.paths.name,
        "pid": std::process::id(),
        "url": route.map(|route| route.url()),
        "http": gateway(80),
        "https": gateway(443),
        "pods": world.pods.len(),
        "unready": unready(&world),
        "state": mesh.paths.state,
    })
}
