//! meshctl's side of the wall: asks the node for pods and the pods for processes and sockets.
//!
//! In: async calls from any task. Out: pids, connected or listening sockets of another network
//! namespace, exit events. One reader task per control socket; calls may be made concurrently.
//! Dropping a `Pod` ends everything in it.
#![allow(unsafe_code)] // Registration of a descriptor asks for a promise that `OwnedFd` keeps.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use base::net::Netlink;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use super::channel;
use super::helper::HELPER_ARGUMENT;
use super::proto::{Body, NodeNet, PodNet, Request, Said, Spawn};

type Reply = Result<(i32, Vec<OwnedFd>), String>;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The process, as numbered in its pod.
    pub pid: i32,
    /// Exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => write!(f, "end unknown"),
        }
    }
}

/// One control socket.
struct Link {
    socket: AsyncFd<OwnedFd>,
    next: AtomicU64,
    /// `None` once the other side has gone.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>,
}

impl Link {
    fn new(socket: OwnedFd) -> io::Result<Arc<Self>> {
        nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it is registered.
        let socket = unsafe { AsyncFd::register(socket)? };
        Ok(Arc::new(Self { socket, next: AtomicU64::new(1), waiting: Mutex::new(Some(HashMap::new())) }))
    }

    /// Waits for the greeting: whether the other side could set itself up.
    async fn greeting(&self) -> Result<i32> {
        match self.next_message().await? {
            Some((Said::Reply { id: 0, result }, _)) => result.map_err(|text| anyhow!(text)),
            Some(_) => bail!("the helper did not begin with its greeting"),
            None => bail!("the helper ended before it was ready"),
        }
    }

    async fn next_message(&self) -> io::Result<Option<(Said, Vec<OwnedFd>)>> {
        self.socket.async_io(Interest::READABLE, |fd| channel::receive(fd.as_fd())).await
    }

    /// Distributes replies and events until the other side ends.
    async fn pump(self: Arc<Self>, events: mpsc::UnboundedSender<Exit>) {
        while let Ok(Some((said, fds))) = self.next_message().await {
            match said {
                Said::Reply { id, result } => {
                    let waiter = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
                    if let Some(waiter) = waiter {
                        // A caller that no longer waits does not want the answer.
                        drop(waiter.send(result.map(|number| (number, fds))));
                    }
                }
                // Nobody listens for exits when the pod is being given up.
                Said::Exited { pid, code, signal } => drop(events.send(Exit { pid, code, signal })),
            }
        }
        self.waiting.lock().take();
    }

    async fn ask(&self, body: Body, fds: &[RawFd]) -> Result<(i32, Vec<OwnedFd>)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => bail!("it has ended"),
        };
        let request = Request { id, body };
        self.socket.async_io(Interest::WRITABLE, |fd| channel::send(fd.as_fd(), &request, fds)).await?;
        receiver.await.map_err(|_| anyhow!("it has ended"))?.map_err(|text| anyhow!(text))
    }

    async fn socket(&self, kind: SocketKind) -> Result<OwnedFd> {
        let (domain, kind, protocol) = kind.numbers();
        let (_, mut fds) = self.ask(Body::Socket { domain, kind, protocol }, &[]).await?;
        fds.pop().context("the helper sent no socket")
    }
}

/// What kind of socket is wanted.
#[derive(Clone, Copy, Debug)]
pub enum SocketKind {
    /// TCP, for addresses like this one.
    Tcp(SocketAddr),
    /// UDP, for addresses like this one.
    Udp(SocketAddr),
    /// nftables.
    Netfilter,
}

impl SocketKind {
    fn numbers(self) -> (i32, i32, i32) {
        let domain = |address: SocketAddr| if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        match self {
            Self::Tcp(address) => (domain(address), libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0),
            Self::Udp(address) => (domain(address), libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0),
            Self::Netfilter => (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER),
        }
    }
}

fn tcp_socket(fd: OwnedFd) -> TcpSocket {
    TcpSocket::from_std_stream(std::net::TcpStream::from(fd))
}

async fn connect(link: &Link, to: SocketAddr) -> Result<TcpStream> {
    let stream = tcp_socket(link.socket(SocketKind::Tcp(to)).await?).connect(to).await?;
    // Only latency is lost where it is refused.
    drop(stream.set_nodelay(true));
    Ok(stream)
}

/// The node: where pods are made and their network meets.
pub struct Node {
    link: Arc<Link>,
    helper: Mutex<Child>,
    ipv6: bool,
}

impl Node {
    /// Starts the helper, which is `program` (this one: `/proc/self/exe`). `own` are addresses of the node that meshctl itself will listen on.
    /// Fails in words that name the step if the system does not allow namespaces.
    pub async fn start(program: &Path, ip4: Ipv4Addr, ip6: Ipv6Addr, own: &[Ipv4Addr]) -> Result<Self> {
        let (ours, theirs) = channel::pair()?;
        let net = serde_json::to_string(&NodeNet { ip4, ip6, own: own.to_vec() })?;
        let helper = Command::new(program)
            .args([HELPER_ARGUMENT, &net])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .process_group_zero()
            .spawn()
            .context("start the namespace helper")?;
        let link = Link::new(ours)?;
        let ipv6 = link.greeting().await? != 0;
        tokio::spawn(Arc::clone(&link).pump(mpsc::unbounded_channel().0));
        Ok(Self { link, helper: Mutex::new(helper), ipv6 })
    }

    /// Whether the kernel has IPv6.
    #[must_use]
    pub fn ipv6(&self) -> bool {
        self.ipv6
    }

    /// Process id of the helper on the host.
    #[must_use]
    pub fn helper_pid(&self) -> u32 {
        self.helper.lock().id()
    }

    /// Makes a pod and waits until its network stands. Exits of its processes come on the receiver.
    pub async fn pod(&self, net: PodNet) -> Result<(Pod, mpsc::UnboundedReceiver<Exit>)> {
        let (_, mut fds) = self.link.ask(Body::Pod(net), &[]).await?;
        let link = Link::new(fds.pop().context("the helper sent no control socket")?)?;
        link.greeting().await?;
        let (sender, exits) = mpsc::unbounded_channel();
        let pump = tokio::spawn(Arc::clone(&link).pump(sender)).abort_handle();
        Ok((Pod { link, pump }, exits))
    }

    /// Connects from the node's network, as a kubelet would.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        connect(&self.link, to).await
    }

    /// Listens in the node's network.
    pub async fn listen(&self, at: SocketAddr) -> Result<TcpListener> {
        let socket = tcp_socket(self.link.socket(SocketKind::Tcp(at)).await?);
        socket.set_reuseaddr(true)?;
        socket.bind(at).with_context(|| format!("listen on {at} inside"))?;
        Ok(socket.listen(1024)?)
    }

    /// As `listen`, and leaves the same port of IPv4 alone.
    pub async fn listen_v6_only(&self, at: SocketAddr) -> Result<TcpListener> {
        let socket = tcp_socket(self.link.socket(SocketKind::Tcp(at)).await?);
        socket2::SockRef::from(&socket).set_only_v6(true)?;
        socket.bind(at).with_context(|| format!("listen on {at} inside"))?;
        Ok(socket.listen(1024)?)
    }

    /// A UDP socket in the node's network.
    pub async fn udp(&self, at: SocketAddr) -> Result<UdpSocket> {
        let socket = socket2::Socket::from(self.link.socket(SocketKind::Udp(at)).await?);
        socket.bind(&at.into()).with_context(|| format!("listen on {at} inside"))?;
        Ok(UdpSocket::from_std(socket.into())?)
    }

    /// A socket for the node's nftables.
    pub async fn netfilter(&self) -> Result<Netlink> {
        Ok(Netlink::from(self.link.socket(SocketKind::Netfilter).await?))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut helper = self.helper.lock();
        // Both only fail if it has ended already. The kernel ends everything inside with it.
        drop(helper.kill());
        drop(helper.wait());
    }
}

/// Puts a command into a process group of its own: Ctrl-C on the terminal is meshctl's to handle.
trait OwnGroup {
    fn process_group_zero(&mut self) -> &mut Self;
}

impl OwnGroup for Command {
    fn process_group_zero(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}

/// A pod: a network, and processes in it.
pub struct Pod {
    link: Arc<Link>,
    pump: tokio::task::AbortHandle,
}

impl Pod {
    /// Starts a process with these standard streams; returns its number once its program runs.
    pub async fn spawn(&self, spawn: Spawn, streams: [OwnedFd; 3]) -> Result<i32> {
        let fds = streams.each_ref().map(AsRawFd::as_raw_fd);
        let (pid, _) = self.link.ask(Body::Spawn(Box::new(spawn)), &fds).await?;
        Ok(pid)
    }

    /// Signals a process and its children.
    pub async fn signal(&self, pid: i32, signal: i32) -> Result<()> {
        self.link.ask(Body::Signal { pid, signal }, &[]).await.map(drop)
    }

    /// A socket of the pod's network namespace.
    pub async fn socket(&self, kind: SocketKind) -> Result<OwnedFd> {
        self.link.socket(kind).await
    }

    /// Connects from inside the pod.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        connect(&self.link, to).await
    }

    /// A socket for the pod's nftables.
    pub async fn netfilter(&self) -> Result<Netlink> {
        Ok(Netlink::from(self.link.socket(SocketKind::Netfilter).await?))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Lets go of the control socket, which ends the pod's pid 1 and with it the pod.
        self.pump.abort();
    }
}
