//! Probes: one question to a container, as a kubelet asks it, from inside the pod's own network.
//!
//! In: a probe and where its container is. Out: healthy, or why not. Asked from inside, a probe does not need the
//! rewriting that a cluster does to get past mutual TLS. HTTPS and gRPC probes ask only whether the port answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::core::{Container, HttpGetAction, Probe};
use api::text::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sandbox::Sandbox;

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
        return Some(http(get, container, sandbox, address).await);
    }
    let port = if let Some(socket) = &probe.tcp_socket {
        port(&socket.port, container)
    } else if let Some(grpc) = &probe.grpc {
        port(&IntOrString::Int(grpc.port.into()), container)
    } else {
        return None;
    };
    Some(match port {
        Ok(port) => connect(sandbox, address, port).await.map(drop),
        Err(error) => Err(error),
    })
}

async fn connect(sandbox: &Sandbox, address: IpAddr, port: u16) -> Result<tokio::net::TcpStream, String> {
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

async fn http(
    get: &HttpGetAction,
    container: &Container,
    sandbox: &Sandbox,
    address: IpAddr,
) -> Result<(), String> {
    let port = port(&get.port, container)?;
    let address = if get.host.is_empty() { address } else { get.host.parse().unwrap_or(address) };
    let mut stream = connect(sandbox, address, port).await?;
    if get.scheme.eq_ignore_ascii_case("HTTPS") {
        return Ok(());
    }
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let mut head = format!("GET {path} HTTP/1.1\r\n");
    if !get.http_headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {}\r\n", SocketAddr::new(address, port)));
    }
    for header in &get.http_headers {
        head.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    head.push_str("User-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while !answer.windows(2).any(|pair| pair == b"\r\n") && answer.len() < 4096 {
        match stream.read(&mut piece).await {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) => return Err(error.to_string()),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
    match status {
        Some(200..400) => Ok(()),
        Some(status) => Err(format!("GET {path}: status {status}")),
        None => Err(format!("GET {path}: the answer is not HTTP")),
    }
}
