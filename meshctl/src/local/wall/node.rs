//! The node: pid 1 of the mesh, in whose network the links of all pods end.
//!
//! In: requests for pods and sockets. Out: a control socket per pod. It routes between its links (one
//! per pod), so a pod's packets to a Service pass its translation table, and the answers too. Ends
//! when meshctl's side closes; the kernel then ends every process of every pod.
#![allow(unsafe_code)] // clone with namespaces, and one thread makes it sound.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base::net::netlink::Requests;
use base::net::{Netlink, Protocol, route};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::channel;
use super::pod;
use super::proto::{Body, NodeNet, PodNet, Request, Said};

/// Serves requests until the other side closes.
pub(super) fn run(net: &NodeNet, control: &OwnedFd) -> Result<()> {
    let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    network(net, ipv6).context("set up the node's network")?;
    channel::send(control.as_fd(), &Said::Reply { id: 0, result: Ok(i32::from(ipv6)) }, &[])?;
    while let Some((request, _)) = channel::receive::<Request>(control.as_fd())? {
        reap();
        let id = request.id;
        let made = match request.body {
            Body::Pod(pod) => start_pod(net, &pod),
            Body::Socket { domain, kind, protocol } => make_socket(domain, kind, protocol),
            Body::Spawn(_) | Body::Signal { .. } => Err(anyhow::anyhow!("the node runs no processes")),
        };
        match made {
            Ok(fd) => channel::send(control.as_fd(), &Said::Reply { id, result: Ok(0) }, &[fd.as_raw_fd()])?,
            Err(error) => {
                channel::send(control.as_fd(), &Said::Reply { id, result: Err(format!("{error:#}")) }, &[])?;
            }
        }
    }
    Ok(())
}

/// Writes a kernel setting of the current network namespace.
pub(super) fn setting(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).with_context(|| format!("write {value} to {path}"))
}

fn network(net: &NodeNet, ipv6: bool) -> Result<()> {
    setting("ipv4/ip_forward", "1")?;
    for kind in ["all", "default"] {
        setting(&format!("ipv4/conf/{kind}/rp_filter"), "0")?;
        setting(&format!("ipv4/conf/{kind}/send_redirects"), "0")?;
    }
    setting("ipv4/ip_unprivileged_port_start", "0")?;
    if ipv6 {
        // Links are usable at once; nobody else is on them.
        setting("ipv6/conf/default/accept_dad", "0")?;
        setting("ipv6/conf/all/forwarding", "1")?;
    }
    let mut requests = Requests::default();
    route::up(&mut requests, route::LOOPBACK);
    for own in &net.own {
        route::address(&mut requests, route::LOOPBACK, IpAddr::V4(*own));
    }
    Netlink::open(Protocol::Route)?.send(requests)?;
    Ok(())
}

fn start_pod(node: &NodeNet, pod: &PodNet) -> Result<OwnedFd> {
    let (outside, inside) = channel::pair().context("make a control socket")?;
    // Made here, so that it acts on the node's side although the pod uses it.
    let node_links = Netlink::open(Protocol::Route)?;
    let kinds = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    let flags = libc::c_long::from(kinds.bits() | libc::SIGCHLD);
    // SAFETY: like fork: no new stack, and this process has one thread.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match child {
        0 => {
            drop(outside);
            pod::run(node, pod, inside, node_links)
        }
        -1 => bail!("make the namespaces of pod {}: {}", pod.hostname, Errno::last()),
        _ => Ok(outside),
    }
}

/// A socket of the current network namespace.
pub(super) fn make_socket(domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: plain system call; the result is checked before it becomes an owned descriptor.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        bail!("make a socket: {}", Errno::last());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Collects pods that have ended, so that they do not stay as zombies.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
