//! The hidden command `x-node-helper`: makes the user namespace and becomes the mesh's pid 1.
//!
//! In: the control socket as standard input. Out: never returns. Called by `main` before any thread
//! or runtime exists, because a threaded process may not unshare its user namespace.
#![allow(unsafe_code)] // fork and prctl: the process has one thread here, which is what makes them sound.

use std::fs;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::exit;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getegid, geteuid};

use super::channel;
use super::node;
use super::proto::{NodeNet, Said};

/// First argument that turns the program into the helper.
pub const HELPER_ARGUMENT: &str = "x-node-helper";

/// Runs the helper and ends the process if the arguments ask for it. Must be the first call of `main`.
pub fn run_if_helper() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != HELPER_ARGUMENT) {
        return;
    }
    // SAFETY: meshctl hands the control socket over as standard input; nothing else uses it here.
    let control = unsafe { OwnedFd::from_raw_fd(0) };
    let net = arguments.next().and_then(|text| serde_json::from_str::<NodeNet>(&text.to_string_lossy()).ok());
    let Some(net) = net else {
        eprintln!("{HELPER_ARGUMENT} is started by `meshctl up` only");
        exit(2);
    };
    if let Err(error) = enter(&net, &control) {
        let said = Said::Reply { id: 0, result: Err(format!("{error:#}")) };
        // If even this cannot be said, the closed socket says it.
        drop(channel::send(control.as_fd(), &said, &[]));
        exit(1);
    }
    exit(0);
}

fn enter(net: &NodeNet, control: &OwnedFd) -> Result<()> {
    let without_users = user_namespace()?;
    let kinds = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(kinds).with_context(|| format!("make network, mount and process namespaces{without_users}"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("make the mounts private")?;
    // SAFETY: one thread, so the child may go on as an ordinary program.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Child => {
            prctl::set_pdeathsig(Signal::SIGKILL).context("tie the mesh to its helper")?;
            node::run(net, control)
        }
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, code)) => exit(code),
                Ok(WaitStatus::Signaled(..)) => exit(1),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => bail!("wait for the node: {error}"),
            }
        },
    }
}

/// Makes a user namespace in which the caller keeps its own ids and has all capabilities. Says why there is none, if
/// the caller may perhaps do without.
fn user_namespace() -> Result<String> {
    let (uid, gid) = (geteuid(), getegid());
    if let Err(error) = unshare(CloneFlags::CLONE_NEWUSER) {
        if uid.is_root() {
            // Inside a container root may lack user namespaces and yet be allowed the others.
            return Ok(format!(", without a user namespace ({error}{})", advice()));
        }
        bail!("make a user namespace: {error}{}", advice());
    }
    fs::write("/proc/self/setgroups", "deny").context("write /proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))
        .with_context(|| format!("write /proc/self/uid_map{}", advice()))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).context("write /proc/self/gid_map")?;
    Ok(String::new())
}

/// What to change on a system that closes user namespaces.
fn advice() -> String {
    let is = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    let setting = if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "kernel.apparmor_restrict_unprivileged_userns=0"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "kernel.unprivileged_userns_clone=1"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "user.max_user_namespaces=10000"
    } else {
        return String::new();
    };
    format!(" (to open them: sudo sysctl -w {setting})")
}
