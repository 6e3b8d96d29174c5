//! Published ports: what a load balancer does in a cluster, on 127.0.0.1.
//!
//! In: Services of type LoadBalancer and their ready pods. Out: listening ports of the host, each connection relayed
//! to a pod through a socket of the node's network. Service port 80 is published as 8080, 443 as 8443, others as
//! they are; `--publish` changes that. A default port that somebody else has is replaced by the next free one, a
//! chosen one is an error; both say who has it where that can be known.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::core::Service;
use parking_lot::{Mutex, RwLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::egress::relay;
use super::mesh::Mesh;
use super::services::ServiceView;
use super::world::World;
use base::net::nft::L4;

/// How far above a taken default port another one is searched.
const SEARCH: u16 = 100;

/// A wish from the command line: `SERVICE[.NAMESPACE]:PORT=HOSTPORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    service: String,
    namespace: Option<String>,
    port: u16,
    host: u16,
}

impl std::str::FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not SERVICE:PORT=HOSTPORT, such as istio-ingressgateway:80=9000");
        let (left, host) = text.split_once('=').ok_or_else(wrong)?;
        let (service, port) = left.rsplit_once(':').ok_or_else(wrong)?;
        let (service, namespace) = match service.split_once('.') {
            Some((service, namespace)) => (service, Some(namespace.to_owned())),
            None => (service, None),
        };
        let number = |word: &str| word.parse::<u16>().map_err(|_| wrong());
        Ok(Self { service: service.to_owned(), namespace, port: number(port)?, host: number(host)? })
    }
}

/// Which port of which Service.
pub type PortKey = (String, String, u16);

struct Published {
    host: u16,
    task: AbortHandle,
}

/// All published ports.
#[derive(Default)]
pub struct Broker {
    wishes: Vec<Publish>,
    open: Mutex<HashMap<PortKey, Published>>,
    refused: Mutex<HashMap<PortKey, String>>,
    views: RwLock<Arc<Vec<ServiceView>>>,
    turn: AtomicUsize,
}

impl Broker {
    /// A broker with these wishes.
    #[must_use]
    pub fn new(wishes: Vec<Publish>) -> Self {
        Self { wishes, ..Self::default() }
    }

    /// Refuses at once if a chosen port is taken, before anything is started.
    pub fn check(&self) -> Result<()> {
        for wish in self.wishes.iter().filter(|wish| wish.host != 0) {
            if let Err(error) = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, wish.host)) {
                bail!("--publish {}:{}={}: {}", wish.service, wish.port, wish.host, told(wish.host, &error));
            }
        }
        Ok(())
    }

    /// Wishes that no Service fulfils yet, one line each.
    pub fn unmet(&self, world: &World) -> Vec<String> {
        let fulfils = |wish: &Publish, service: &api::Object<Service>| {
            wish.service == service.meta.name
                && wish.namespace.as_ref().is_none_or(|own| *own == service.meta.namespace)
                && service.spec.service_type == "LoadBalancer"
                && service.spec.ports.iter().any(|port| port.port == i32::from(wish.port))
        };
        let unmet = self.wishes.iter().filter(|wish| !world.all::<Service>().any(|one| fulfils(wish, one)));
        unmet
            .map(|wish| {
                format!(
                    "--publish {0}:{1}={2}: no Service {0} of type LoadBalancer has a port {1} yet",
                    wish.service, wish.port, wish.host
                )
            })
            .collect()
    }

    /// Opens and closes ports so that they follow the Services; says what changed, one line each.
    pub fn follow(&self, mesh: &Arc<Mesh>, views: Arc<Vec<ServiceView>>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut wanted: Vec<PortKey> = Vec::new();
        for view in views.iter().filter(|view| view.published) {
            let tcp = view.ports.iter().filter(|port| port.protocol == L4::Tcp);
            wanted.extend(tcp.map(|port| (view.namespace.clone(), view.name.clone(), port.port)));
        }
        *self.views.write() = views;
        let mut open = self.open.lock();
        open.retain(|key, published| {
            let stays = wanted.contains(key);
            if !stays {
                published.task.abort();
                mesh.world().published.remove(key);
            }
            stays
        });
        for key in wanted {
            if open.contains_key(&key) || self.refused.lock().contains_key(&key) {
                continue;
            }
            match self.listen(&key) {
                Ok((listener, note)) => {
                    let Ok(host) = listener.local_addr().map(|address| address.port()) else { continue };
                    lines.extend(note);
                    mesh.world().published.insert(key.clone(), host);
                    let task = tokio::spawn(serve(Arc::clone(mesh), key.clone(), listener)).abort_handle();
                    open.insert(key, Published { host, task });
                }
                Err(error) => {
                    let line =
                        format!("service {}/{} port {} is not published: {error:#}", key.0, key.1, key.2);
                    self.refused.lock().insert(key, line.clone());
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// The host port of a Service port.
    #[must_use]
    pub fn host_port(&self, key: &PortKey) -> Option<u16> {
        self.open.lock().get(key).map(|published| published.host)
    }

    /// Closes everything.
    pub fn close(&self) {
        for (_, published) in self.open.lock().drain() {
            published.task.abort();
        }
    }

    fn listen(&self, (namespace, name, port): &PortKey) -> Result<(TcpListener, Option<String>)> {
        let wish = self.wishes.iter().find(|wish| {
            wish.service == *name
                && wish.port == *port
                && wish.namespace.as_ref().is_none_or(|own| own == namespace)
        });
        if let Some(wish) = wish {
            return Ok((bind(wish.host)?, None));
        }
        let usual = match port {
            80 => 8080,
            443 => 8443,
            other => *other,
        };
        let first = match bind(usual) {
            Ok(listener) => return Ok((listener, None)),
            Err(error) => error,
        };
        let next = (usual.saturating_add(1)..=usual.saturating_add(SEARCH)).find_map(|port| bind(port).ok());
        let listener = next.ok_or_else(|| anyhow::anyhow!("{first:#}"))?;
        let instead = listener.local_addr()?.port();
        let note =
            format!("{first:#}; service {namespace}/{name} port {port} is published on {instead} instead");
        Ok((listener, Some(note)))
    }

    /// The next ready pod of a Service port.
    fn choose(&self, (namespace, name, number): &PortKey) -> Option<SocketAddr> {
        let views = Arc::clone(&self.views.read());
        let view = views.iter().find(|view| view.namespace == *namespace && view.name == *name)?;
        let port = view.ports.iter().find(|port| port.port == *number && port.protocol == L4::Tcp)?;
        let ready: Vec<SocketAddr> =
            view.ready(port).map(|(pod, port)| SocketAddr::new(pod.ip4.into(), port)).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn % ready.len().max(1)).copied()
    }
}

fn bind(port: u16) -> Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    socket
        .bind(&at.into())
        .and_then(|()| socket.listen(1024))
        .map_err(|error| anyhow::anyhow!(told(port, &error)))?;
    TcpListener::from_std(socket.into()).context("publish a port")
}

/// Why a port cannot be had, and who has it.
fn told(port: u16, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => match owner(port, false) {
            Some((pid, name)) => format!("port {port} of 127.0.0.1 is taken by {name} (process {pid})"),
            None => format!("port {port} of 127.0.0.1 is taken by another user's process"),
        },
        _ => format!("port {port} of 127.0.0.1: {error}"),
    }
}

/// The process that listens on a port of all addresses (`wildcard`), or of any, as far as /proc shows it.
pub fn owner(port: u16, wildcard: bool) -> Option<(u32, String)> {
    let mut inodes = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = std::fs::read_to_string(file).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, ..] = fields.as_slice() else { continue };
            let listening = *state == "0A" && local.ends_with(&format!(":{port:04X}"));
            let everywhere =
                local.split(':').next().is_some_and(|address| address.bytes().all(|b| b == b'0'));
            if let (true, Some(inode)) = (listening && (everywhere || !wildcard), fields.get(9)) {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        if has.into_iter().any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str())) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

async fn serve(mesh: Arc<Mesh>, key: PortKey, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((outside, _)) => drop(tokio::spawn(pass(Arc::clone(&mesh), key.clone(), outside))),
            // Out of descriptors: some will be free again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn pass(mesh: Arc<Mesh>, key: PortKey, outside: TcpStream) {
    let inside = match mesh.broker.choose(&key) {
        Some(to) => mesh.ground.connect(to).await.ok(),
        None => None,
    };
    match inside {
        Some(inside) => relay(outside, inside).await,
        // As a load balancer without healthy targets: refused rather than held.
        None => drop(outside.set_zero_linger()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_and_wrong_ones_named() {
        let wish: Publish = "istio-ingressgateway:80=9000".parse().unwrap();
        assert_eq!(
            (wish.service.as_str(), wish.namespace, wish.port, wish.host),
            ("istio-ingressgateway", None, 80, 9000)
        );
        let wish: Publish = "gw.edge:443=0".parse().unwrap();
        assert_eq!(wish.namespace.as_deref(), Some("edge"));
        assert!("80=9000".parse::<Publish>().unwrap_err().contains("SERVICE:PORT=HOSTPORT"));
    }

    #[test]
    fn a_taken_port_names_its_owner() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (pid, _) = owner(taken.local_addr().unwrap().port(), false).unwrap();
        assert_eq!(pid, std::process::id());
    }
}
