//! A pod: pid 1 of its own process, network and mount namespaces.
//!
//! In: requests to start and signal processes and to make sockets. Out: replies and exit events. It
//! plugs itself into the node's network, starts what it is told, and collects every process that ends
//! inside (children of children are adopted by pid 1). Ends when meshctl closes its control socket.
#![allow(unsafe_code)] // poll on raw descriptors, and the kill system call for a whole group.

use std::io::Read;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::exit;

use anyhow::{Context, Result, anyhow};
use base::net::netlink::Requests;
use base::net::route::{self, End, LOOPBACK, Route};
use base::net::{Netlink, Protocol};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::channel;
use super::node::{make_socket, setting};
use super::process;
use super::proto::{Body, NodeNet, PodNet, Request, Said};

const ETH0: u32 = 2;
/// Node-side link indexes start here, above what a fresh namespace has by itself.
const NODE_LINKS: u32 = 1000;

/// Lives as the pod's pid 1; never returns.
pub(super) fn run(node: &NodeNet, net: &PodNet, control: OwnedFd, node_links: Netlink) -> ! {
    let result = close_others(&[control.as_raw_fd(), node_links.as_fd().as_raw_fd()]).and_then(|()| {
        network(node, net, node_links).with_context(|| format!("connect pod {}", net.hostname))
    });
    let said =
        Said::Reply { id: 0, result: result.as_ref().map(|()| 0).map_err(|error| format!("{error:#}")) };
    if channel::send(control.as_fd(), &said, &[]).is_err() || result.is_err() {
        exit(1);
    }
    exit(i32::from(Init { control, starting: Vec::new() }.serve().is_err()))
}

/// Closes what was inherited from the node, standard streams and `keep` apart: a control socket of
/// another pod kept open here would keep that pod alive.
fn close_others(keep: &[i32]) -> Result<()> {
    // The node's control socket is its standard input.
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut from = 3u32;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if fd > from {
            // SAFETY: closes a range of descriptors that no object of this program owns any more.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
            if closed < 0 {
                return Err(anyhow!("close inherited descriptors: {}", Errno::last()));
            }
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}

fn network(node: &NodeNet, net: &PodNet, node_links: Netlink) -> Result<()> {
    nix::unistd::sethostname(&net.hostname).context("set the host name")?;
    setting("ipv4/ip_unprivileged_port_start", "0")?;
    let gid = nix::unistd::getegid();
    // Lets `ping` work without capabilities; not worth failing for.
    drop(setting("ipv4/ping_group_range", &format!("{gid} {gid}")));
    if net.ip6.is_some() {
        setting("ipv6/conf/default/accept_dad", "0")?;
    }
    let here = std::fs::File::open("/proc/self/ns/net").context("open the network namespace")?;
    let link = NODE_LINKS + u32::from(net.index);
    let [high, low] = net.index.to_be_bytes();
    let name = format!("pod{}", net.index);
    let near = End { name: &name, index: link, mac: [2, 0, 0, 1, high, low] };
    let far = End { name: "eth0", index: ETH0, mac: [2, 0, 0, 2, high, low] };
    let mut pairs: Vec<(IpAddr, IpAddr)> = vec![(node.ip4.into(), net.ip4.into())];
    if let Some(ip6) = net.ip6 {
        pairs.push((node.ip6.into(), ip6.into()));
    }
    let mut outside = Requests::default();
    route::veth(&mut outside, &near, &far, here.as_fd());
    for (gateway, own) in &pairs {
        route::address(&mut outside, link, *gateway);
        route::route(&mut outside, Route { to: (*own, full(*own)), via: None, index: link });
    }
    node_links.send(outside)?;
    let mut inside = Requests::default();
    route::up(&mut inside, LOOPBACK);
    route::up(&mut inside, ETH0);
    for (gateway, own) in &pairs {
        route::address(&mut inside, ETH0, *own);
        route::route(&mut inside, Route { to: (*gateway, full(*gateway)), via: None, index: ETH0 });
        route::route(&mut inside, Route { to: (*own, 0), via: Some(*gateway), index: ETH0 });
    }
    Netlink::open(Protocol::Route)?.send(inside)?;
    Ok(())
}

fn full(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// A process between fork and exec: its pipe says what went wrong, or closes.
struct Starting {
    id: u64,
    pid: i32,
    trouble: std::fs::File,
    said: Vec<u8>,
}

struct Init {
    control: OwnedFd,
    starting: Vec<Starting>,
}

impl Init {
    fn serve(mut self) -> Result<()> {
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        child.thread_block().context("block SIGCHLD")?;
        let signals = SignalFd::with_flags(&child, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        loop {
            let mut polled: Vec<libc::pollfd> = [self.control.as_raw_fd(), signals.as_fd().as_raw_fd()]
                .into_iter()
                .chain(self.starting.iter().map(|starting| starting.trouble.as_raw_fd()))
                .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
                .collect();
            // SAFETY: the array is valid for its length during the call.
            unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
            while let Ok(Some(_)) = signals.read_signal() {}
            self.report()?;
            if polled[0].revents != 0 {
                let Some((request, fds)) = channel::receive::<Request>(self.control.as_fd())? else {
                    return Ok(());
                };
                self.handle(request, fds)?;
            }
        }
    }

    /// Says which processes have started, failed to start, and ended, in this order.
    fn report(&mut self) -> Result<()> {
        let mut ended = Vec::new();
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::Exited(pid, code) => ended.push((pid.as_raw(), Some(code), None)),
                WaitStatus::Signaled(pid, signal, _) => ended.push((pid.as_raw(), None, Some(signal as i32))),
                WaitStatus::StillAlive => break,
                _ => {}
            }
        }
        for mut starting in std::mem::take(&mut self.starting) {
            match starting.trouble.read_to_end(&mut starting.said) {
                // What was read so far stays; the end of the pipe is still to come.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => self.starting.push(starting),
                _ => {
                    let trouble = String::from_utf8_lossy(&starting.said).into_owned();
                    let started = trouble.is_empty();
                    self.reply(
                        starting.id,
                        if started { Ok(starting.pid) } else { Err(anyhow!(trouble)) },
                        &[],
                    )?;
                    if !started {
                        ended.retain(|(pid, ..)| *pid != starting.pid);
                    }
                }
            }
        }
        for (pid, code, signal) in ended {
            channel::send(self.control.as_fd(), &Said::Exited { pid, code, signal }, &[])?;
        }
        Ok(())
    }

    fn reply(&self, id: u64, result: Result<i32>, fds: &[i32]) -> Result<()> {
        let result = result.map_err(|error| format!("{error:#}"));
        Ok(channel::send(self.control.as_fd(), &Said::Reply { id, result }, fds)?)
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) -> Result<()> {
        let id = request.id;
        match request.body {
            Body::Spawn(spawn) => match process::start(&spawn, &fds) {
                Ok((pid, trouble)) => {
                    self.starting.push(Starting { id, pid, trouble, said: Vec::new() });
                    Ok(())
                }
                Err(error) => self.reply(id, Err(error), &[]),
            },
            Body::Signal { pid, signal } => {
                // SAFETY: plain system call. Every started process leads a group of its own.
                let sent = unsafe { libc::kill(-pid, signal) };
                let result =
                    if sent < 0 { Err(anyhow!("signal process {pid}: {}", Errno::last())) } else { Ok(0) };
                self.reply(id, result, &[])
            }
            Body::Socket { domain, kind, protocol } => match make_socket(domain, kind, protocol) {
                Ok(fd) => self.reply(id, Ok(0), &[fd.as_raw_fd()]),
                Err(error) => self.reply(id, Err(error), &[]),
            },
            Body::Pod(_) => self.reply(id, Err(anyhow!("a pod makes no pods")), &[]),
        }
    }
}
