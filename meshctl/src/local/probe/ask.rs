//! Probes: one question to a container, as a kubelet asks it, from inside the pod's own network.
//!
//! In: a probe and where its container is. Out: healthy, or why not. Asked from inside, a probe does not need the
//! rewriting that a cluster does to get past mutual TLS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::core::{Container, HttpGetAction, Probe, TcpSocketAction};
use api::text::IntOrString;
use http::HeaderValue;
use tokio::net::TcpStream;

use super::http::AGENT;
use crate::local::sandbox::Sandbox;

/// First question, then ever slower until the first yes.
pub const FIRST_WAIT: Duration = Duration::from_millis(4);

/// When to ask.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Before the first question.
    pub delay: Duration,
    /// Between questions.
    pub period: Duration,
    /// For one answer.
    pub timeout: Duration,
    /// So many yes in a row make it healthy.
    pub successes: u32,
    /// So many no in a row make it unhealthy.
    pub failures: u32,
}

/// The rhythm of a probe, with Kubernetes' defaults.
#[must_use]
pub fn rhythm(probe: &Probe) -> Rhythm {
    let positive = |value: Option<i32>, default: u32| {
        value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
    };
    let seconds = |value: u32| Duration::from_secs(value.into());
    Rhythm {
        delay: seconds(u32::try_from(probe.initial_delay_seconds).unwrap_or(0)),
        period: seconds(positive(probe.period_seconds, 10)),
        timeout: seconds(positive(probe.timeout_seconds, 1)),
        successes: positive(probe.success_threshold, 1),
        failures: positive(probe.failure_threshold, 3),
    }
}

/// Asks over the network; `None` for an `exec` probe, which the caller runs.
pub async fn ask(
    probe: &Probe,
    container: &Container,
    sandbox: &Sandbox,
    address: IpAddr,
) -> Option<Result<(), String>> {
    if let Some(get) = &probe.http_get {
        return Some(http_get(get, container, sandbox, address).await);
    }
    if let Some(socket) = &probe.tcp_socket {
        return Some(tcp_socket(socket, container, sandbox, address).await);
    }
    let grpc = probe.grpc.as_ref()?;
    let service = grpc.service.as_deref().unwrap_or_default();
    Some(match port(&IntOrString::Int(grpc.port.into()), container) {
        Ok(port) => match connect(sandbox, address, port).await {
            Ok(stream) => {
                let at = SocketAddr::new(address, port);
                wire::health::check(stream, at, service, Some(&HeaderValue::from_static(AGENT))).await
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    })
}

/// Whether a port takes connections.
pub async fn tcp_socket(
    socket: &TcpSocketAction,
    container: &Container,
    sandbox: &Sandbox,
    address: IpAddr,
) -> Result<(), String> {
    let address = host(&socket.host, address)?;
    connect(sandbox, address, port(&socket.port, container)?).await.map(drop)
}

/// Whether a page answers with a status from 200 to 399.
pub async fn http_get(
    get: &HttpGetAction,
    container: &Container,
    sandbox: &Sandbox,
    address: IpAddr,
) -> Result<(), String> {
    let port = port(&get.port, container)?;
    let address = host(&get.host, address)?;
    let stream = connect(sandbox, address, port).await?;
    super::http::get(stream, get, SocketAddr::new(address, port)).await
}

/// Only addresses: a pod's names are resolved by itself, not by who asks it.
fn host(word: &str, pod: IpAddr) -> Result<IpAddr, String> {
    match word {
        "" => Ok(pod),
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        word => word.parse().map_err(|_| format!("the probe's host {word:?} is no address")),
    }
}

async fn connect(sandbox: &Sandbox, address: IpAddr, port: u16) -> Result<TcpStream, String> {
    let to = SocketAddr::new(address, port);
    sandbox.connect(to).await.map_err(|error| format!("connect to {to}: {error:#}"))
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port.name() {
        Some(name) => match name.parse::<i64>() {
            Ok(number) => Some(number),
            Err(_) => container.ports.iter().find(|p| p.name == name).map(|p| i64::from(p.container_port)),
        },
        None => port.number(),
    };
    let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("container {} has no port {port:?}", container.name))
}
