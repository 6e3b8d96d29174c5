//! What pods stand on: namespaces, or, where a system does not allow them, the host's own network.
//!
//! In: the system as it is, found out by trying. Out: a way to make pods and to reach them. Without namespaces every
//! pod has a loopback address of its own; nothing is intercepted, names do not resolve, no files are placed and
//! nothing is encrypted: HTTP goes through the proxy's HTTP proxy port, for applications that honour `http_proxy`
//! and bind `BIND_IP`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow};
use base::net::Netlink;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::addresses;
use super::wall::{Exit, Node, Pod, PodNet, Source, Spawn};

/// Port of the HTTP proxy of a sidecar without interception.
pub const HTTP_PROXY_PORT: u16 = 15002;

/// Which addresses pods get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Those of a cluster, with IPv6 beside them or not.
    Cluster { ipv6: bool },
    /// Loopback addresses that begin so.
    Loopback([u8; 2]),
}

impl Addressing {
    /// Address of the pod with this number.
    #[must_use]
    pub fn of(self, number: u16) -> Ipv4Addr {
        match self {
            Self::Cluster { .. } => addresses::of_pod(number).0,
            Self::Loopback([a, b]) => {
                let [high, low] = number.to_be_bytes();
                Ipv4Addr::new(a, b, high, low)
            }
        }
    }
}

/// Where pods run.
pub enum Ground {
    /// In namespaces, behind this node.
    Namespaces(Box<Node>),
    /// In the host's network, on loopback addresses that begin so.
    Loopback([u8; 2]),
}

impl Ground {
    /// Tries namespaces. `Err` holds why they are not to be had, and the ground to use instead.
    pub async fn find(program: &Path, mesh: &str) -> Result<Self, (anyhow::Error, Self)> {
        match Node::start(program, addresses::NODE, addresses::NODE6, &[addresses::DNS]).await {
            Ok(node) => Ok(Self::Namespaces(Box::new(node))),
            Err(error) => Err((error, Self::loopback(mesh))),
        }
    }

    /// The host's network. Meshes of different names get different addresses.
    #[must_use]
    pub fn loopback(mesh: &str) -> Self {
        let hash = mesh.bytes().fold(7u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte));
        Self::Loopback([127, 16 + hash % 200])
    }

    /// The node, where there are namespaces.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        match self {
            Self::Namespaces(node) => Some(node),
            Self::Loopback(_) => None,
        }
    }

    /// Whether pods have IPv6 addresses.
    #[must_use]
    pub fn ipv6(&self) -> bool {
        self.node().is_some_and(Node::ipv6)
    }

    /// Which addresses pods get here.
    #[must_use]
    pub fn addressing(&self) -> Addressing {
        match self {
            Self::Namespaces(node) => Addressing::Cluster { ipv6: node.ipv6() },
            Self::Loopback(start) => Addressing::Loopback(*start),
        }
    }

    /// Connects to a pod as a kubelet would.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        match self {
            Self::Namespaces(node) => node.connect(to).await,
            Self::Loopback(_) => Ok(TcpStream::connect(to).await?),
        }
    }

    /// Makes a pod.
    pub async fn pod(&self, net: PodNet) -> Result<(Inside, mpsc::UnboundedReceiver<Exit>)> {
        match self {
            Self::Namespaces(node) => {
                let (pod, exits) = node.pod(net).await?;
                Ok((Inside::Namespaces(pod), exits))
            }
            Self::Loopback(_) => {
                let (sender, exits) = mpsc::unbounded_channel();
                let pod = HostPod { address: net.ip4, sender, running: Mutex::default() };
                Ok((Inside::Host(pod), exits))
            }
        }
    }
}

/// A pod on either ground.
pub enum Inside {
    /// In namespaces.
    Namespaces(Pod),
    /// In the host's network.
    Host(HostPod),
}

impl Inside {
    /// Starts a process; returns its number.
    pub async fn spawn(&self, spawn: Spawn, streams: [OwnedFd; 3]) -> Result<i32> {
        match self {
            Self::Namespaces(pod) => pod.spawn(spawn, streams).await,
            Self::Host(pod) => pod.spawn(&spawn, streams),
        }
    }

    /// Signals a process and its children.
    pub async fn signal(&self, pid: i32, signal: i32) -> Result<()> {
        match self {
            Self::Namespaces(pod) => pod.signal(pid, signal).await,
            Self::Host(_) => {
                let signal = nix::sys::signal::Signal::try_from(signal)?;
                Ok(nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), signal)?)
            }
        }
    }

    /// Connects from inside the pod.
    pub async fn connect(&self, mut to: SocketAddr) -> Result<TcpStream> {
        match self {
            Self::Namespaces(pod) => pod.connect(to).await,
            Self::Host(pod) => {
                if to.ip() == Ipv4Addr::LOCALHOST {
                    to.set_ip(pod.address.into());
                }
                Ok(TcpStream::connect(to).await?)
            }
        }
    }

    /// A socket for the pod's nftables, where it has a network of its own.
    pub async fn netfilter(&self) -> Result<Option<Netlink>> {
        match self {
            Self::Namespaces(pod) => pod.netfilter().await.map(Some),
            Self::Host(_) => Ok(None),
        }
    }
}

/// A pod that is only a set of processes with one loopback address.
pub struct HostPod {
    address: Ipv4Addr,
    sender: mpsc::UnboundedSender<Exit>,
    running: Mutex<BTreeMap<i32, ()>>,
}

impl HostPod {
    #[allow(unsafe_code)] // What ties a process to this one can only be said between fork and exec.
    fn spawn(&self, spawn: &Spawn, [input, output, error]: [OwnedFd; 3]) -> Result<i32> {
        let (program, arguments) = spawn.argv.split_first().context("no program")?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).env_clear().envs(&spawn.env).process_group(0);
        command.stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::from(error));
        if Path::new(&spawn.cwd).is_dir() {
            command.current_dir(&spawn.cwd);
        }
        // SAFETY: prctl is async-signal-safe and touches nothing of this process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().map_err(|error| anyhow!("run {program}: {error}"))?;
        let pid = i32::try_from(child.id()).context("a process number is small")?;
        self.running.lock().insert(pid, ());
        let sender = self.sender.clone();
        // Waiting blocks; a thread per process is cheap enough for a handful of pods.
        std::thread::Builder::new().name("wait".to_owned()).spawn(move || {
            let status = child.wait().ok();
            let code = status.and_then(|status| status.code());
            let signal = status.and_then(|status| status.signal());
            // The pod may have been given up.
            sender.send(Exit { pid, code, signal }).ok();
        })?;
        Ok(pid)
    }
}

impl Drop for HostPod {
    fn drop(&mut self) {
        for pid in self.running.lock().keys() {
            // Those that have ended are no longer there to be signalled.
            nix::sys::signal::killpg(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL)
                .ok();
        }
    }
}

/// Makes a tree of links that has a pod's files where a container would have them; for programs that look below
/// `POD_FILES`.
pub fn link_files(spawn: &Spawn, root: &Path) -> Result<()> {
    for mount in &spawn.mounts {
        let Source::Host(source) = &mount.source else { continue };
        let at = root.join(mount.target.trim_start_matches('/'));
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent)?;
        }
        if !at.is_symlink() {
            std::os::unix::fs::symlink(source, at)?;
        }
    }
    Ok(())
}
