//! Starts one process in a pod: file system, rights, terminal, exec.
//!
//! In: a `Spawn` and its standard streams. Out: a pid and a pipe that either closes (the program runs)
//! or says in words what went wrong. Between fork and exec this is still our program, with one thread,
//! so it may allocate. Applications keep no capability at all; a proxy keeps three.
#![allow(unsafe_code)] // fork, capset, prctl, ioctl: what makes a process what it is.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, pipe2, setsid};

use super::filesystem;
use super::proto::Spawn;

const NET_BIND_SERVICE: u32 = 10;
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const LAST_CAPABILITY: u32 = 63;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Forks and starts; the returned pipe does not block.
pub(super) fn start(spawn: &Spawn, streams: &[OwnedFd]) -> Result<(i32, File)> {
    ensure!(streams.len() == 3, "a process needs three standard streams");
    let (trouble, mut say) = {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        (File::from(read), File::from(write))
    };
    // SAFETY: the pod's pid 1 has one thread.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok((child.as_raw(), trouble)),
        ForkResult::Child => {
            let Err(error) = become_program(spawn, streams);
            // The reader may be gone; there is nobody else to tell.
            drop(say.write_all(format!("{error:#}").as_bytes()));
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(127) }
        }
    }
}

fn become_program(spawn: &Spawn, streams: &[OwnedFd]) -> Result<std::convert::Infallible> {
    setsid().context("start a session")?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    for signal in 1..=31 {
        // SAFETY: back to the default; SIGKILL and SIGSTOP refuse, which is right.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    dup2_stdin(&streams[0])?;
    dup2_stdout(&streams[1])?;
    dup2_stderr(&streams[2])?;
    if spawn.terminal {
        // SAFETY: makes standard input, a terminal, the controlling one of this session.
        ensure!(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } == 0, "take the terminal: {}", Errno::last());
    }
    match spawn.join {
        Some(pid) => join(pid)?,
        None => {
            unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
            filesystem::build(&spawn.mounts).context("build the file system")?;
        }
    }
    chdir(spawn.cwd.as_str()).with_context(|| format!("enter the working folder {}", spawn.cwd))?;
    limit_capabilities(if spawn.net_admin { &[NET_BIND_SERVICE, NET_ADMIN, NET_RAW] } else { &[] })?;
    // SAFETY: marks what is still open as close-on-exec; nothing is closed under anyone.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    exec(spawn)
}

fn join(pid: i32) -> Result<()> {
    // SAFETY: plain system call; the result is checked.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    ensure!(process >= 0, "find process {pid}: {}", Errno::last());
    let process = i32::try_from(process).context("a descriptor is a small number")?;
    // SAFETY: `process` is a fresh descriptor, owned from here on.
    let process = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(process) };
    setns(process, CloneFlags::CLONE_NEWNS).context("enter the container's file system")?;
    Ok(())
}

fn limit_capabilities(keep: &[u32]) -> Result<()> {
    let prctl = |operation: i32, a: u64, b: u64| {
        // SAFETY: these operations take plain numbers.
        let done = unsafe { libc::prctl(operation, a, b, 0, 0) };
        if done < 0 { Err(Errno::last()) } else { Ok(()) }
    };
    for capability in (0..=LAST_CAPABILITY).filter(|capability| !keep.contains(capability)) {
        match prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0) {
            Ok(()) => {}
            // Past the last one that this kernel knows.
            Err(Errno::EINVAL) => break,
            Err(error) => bail!("drop capability {capability}: {error}"),
        }
    }
    let mask = keep.iter().fold(0u32, |mask, capability| mask | (1 << capability));
    let header = [CAPABILITY_VERSION_3, 0];
    let sets = [mask, mask, mask, 0, 0, 0];
    // SAFETY: header and data have the layout of version 3: two words, and two times three words.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    ensure!(set == 0, "set capabilities: {}", Errno::last());
    for capability in keep {
        prctl(
            libc::PR_CAP_AMBIENT,
            u64::from(libc::PR_CAP_AMBIENT_RAISE.cast_unsigned()),
            u64::from(*capability),
        )
        .map_err(|error| anyhow!("keep capability {capability}: {error}"))?;
    }
    // prctl wants every unused argument to be zero, which the closure above guarantees.
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(|error| anyhow!("forbid new privileges: {error}"))
}

fn exec(spawn: &Spawn) -> Result<std::convert::Infallible> {
    let program = spawn.argv.first().context("no program")?;
    let argv = spawn.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
    let env = spawn
        .env
        .iter()
        .map(|(name, value)| CString::new(format!("{name}={value}")))
        .collect::<Result<Vec<_>, _>>()
        .context("the environment holds a zero byte")?;
    let path = spawn.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    let candidates: Vec<String> = if program.contains('/') {
        vec![program.clone()]
    } else {
        path.split(':').map(|folder| format!("{folder}/{program}")).collect()
    };
    let mut worst = Errno::ENOENT;
    for candidate in candidates {
        let Err(error) = execve(&CString::new(candidate)?, &argv, &env);
        if error != Errno::ENOENT && error != Errno::ENOTDIR {
            worst = error;
        }
    }
    bail!("run {program}: {}", worst.desc())
}
