//! The file system of one container: a root in memory, the host's tree read-only in it, and mounts over it.
//!
//! In: the mounts of a container, in a process that has just unshared its mount namespace. Out: that
//! process has the new root. Folders that hold a mount point are made afresh, with links to the host's
//! entries beside it, so that files can be placed anywhere without rights on the host. `/tmp`, `/run`
//! and `/var/run` start empty.
#![allow(unsafe_code)] // open_tree, move_mount and mount_setattr have no wrappers.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::proto::{Mount, Source};

/// Where the new root is put together; hidden by it only in this mount namespace.
const STAGE: &str = "/tmp";
/// The host's whole tree, read-only, for the links.
const HOST: &str = "/.host";
/// Always made afresh.
const OWN: [&str; 5] = ["/", "/etc", "/var", "/run", "/tmp"];
/// Empty and writable by everyone.
const SCRATCH: [&str; 5] = ["/tmp", "/run", "/var/tmp", "/var/log", "/var/cache"];

const OPEN_TREE_CLONE: u32 = 1;
const AT_RECURSIVE: u32 = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const MOUNT_ATTR_RDONLY: u64 = 1;

struct Ready {
    target: PathBuf,
    /// `None` is an empty folder in memory.
    tree: Option<(OwnedFd, bool)>,
}

/// Builds the root and moves into it.
pub(super) fn build(mounts: &[Mount]) -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    // Everything is picked up before the stage hides a part of the host.
    let host = clone_tree(Path::new("/"), true)?;
    let dev = clone_tree(Path::new("/dev"), false)?;
    let mut ready = mounts.iter().map(prepare).collect::<Result<Vec<_>>>()?;
    // Outer mount points before those inside them.
    ready.sort_by_key(|mount| mount.target.components().count());
    let targets: BTreeSet<PathBuf> = ready.iter().map(|mount| mount.target.clone()).collect();
    let own = own_folders(&targets);
    let listing = listing(&own);

    mount(Some("tmpfs"), STAGE, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .context("mount a memory root")?;
    fs::create_dir(staged(Path::new(HOST)))?;
    attach(&host, Path::new(HOST))?;
    for folder in &own {
        fs::create_dir_all(staged(folder))?;
    }
    for (entry, kind) in &listing {
        if !own.contains(entry) && !targets.contains(entry) {
            show(entry, *kind)?;
        }
    }
    special(&dev)?;
    for mount in ready {
        place(mount)?;
    }
    chdir(STAGE)?;
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("let go of the old root")?;
    chdir("/")?;
    Ok(())
}

fn staged(path: &Path) -> PathBuf {
    Path::new(STAGE).join(path.strip_prefix("/").unwrap_or(path))
}

fn c_path(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// A detached copy of the mounts at and below a path.
fn clone_tree(path: &Path, read_only: bool) -> Result<OwnedFd> {
    let name = c_path(path)?;
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC.cast_unsigned();
    // SAFETY: the path is a valid string during the call; the result is checked.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags) };
    ensure!(fd >= 0, "mount {}: {}", path.display(), Errno::last());
    // SAFETY: a fresh descriptor that nobody else owns.
    let tree = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) };
    if read_only {
        let attributes = [MOUNT_ATTR_RDONLY, 0, 0, 0];
        let flags = libc::AT_EMPTY_PATH.cast_unsigned() | AT_RECURSIVE;
        let (fd, size) = (tree.as_raw_fd(), std::mem::size_of_val(&attributes));
        // SAFETY: the attributes have the layout of `struct mount_attr` and outlive the call.
        let set = unsafe {
            libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, attributes.as_ptr(), size)
        };
        ensure!(set == 0, "make {} read-only: {}", path.display(), Errno::last());
    }
    Ok(tree)
}

fn attach(tree: &OwnedFd, target: &Path) -> Result<()> {
    let name = c_path(&staged(target))?;
    let fd = tree.as_raw_fd();
    // SAFETY: both paths are valid strings during the call; the result is checked.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            fd,
            c"".as_ptr(),
            libc::AT_FDCWD,
            name.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    ensure!(moved == 0, "mount at {}: {}", target.display(), Errno::last());
    Ok(())
}

fn prepare(mount: &Mount) -> Result<Ready> {
    let target = resolve(Path::new(&mount.target));
    let tree = match &mount.source {
        Source::Memory => None,
        Source::Host(path) => Some((clone_tree(path, mount.read_only)?, path.is_dir())),
    };
    Ok(Ready { target, tree })
}

/// The real place of a mount point: links of the host on the way are followed (`/var/run` is `/run`),
/// except inside folders that start empty.
fn resolve(target: &Path) -> PathBuf {
    let mut at = PathBuf::from("/");
    for part in target.components() {
        let Component::Normal(name) = part else { continue };
        at.push(name);
        if at == Path::new("/var/run") {
            at = PathBuf::from("/run");
        } else if !SCRATCH.iter().any(|empty| at.starts_with(empty)) && at.is_symlink() && at != target {
            at = at.canonicalize().unwrap_or(at);
        }
    }
    at
}

fn own_folders(targets: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut own: BTreeSet<PathBuf> = OWN.iter().map(PathBuf::from).collect();
    for target in targets {
        own.extend(target.ancestors().skip(1).filter(|path| !targets.contains(*path)).map(Path::to_path_buf));
    }
    own
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Folder,
    Link,
    Other,
}

/// What the host has in the folders that are made afresh, those apart that start empty.
fn listing(own: &BTreeSet<PathBuf>) -> Vec<(PathBuf, Kind)> {
    let mut found = Vec::new();
    for folder in own.iter().filter(|folder| !SCRATCH.iter().any(|empty| folder.starts_with(empty))) {
        // A folder that the host does not have, or does not let us read, shows nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => Kind::Link,
                Ok(kind) if kind.is_dir() => Kind::Folder,
                _ => Kind::Other,
            };
            found.push((entry.path(), kind));
        }
    }
    found
}

fn show(entry: &Path, kind: Kind) -> Result<()> {
    let special = ["/dev", "/proc", "/var/run", "/var/lock"].iter().chain(&SCRATCH);
    if special.into_iter().any(|own| entry == Path::new(own)) || entry == Path::new(HOST) {
        return Ok(());
    }
    let in_host = Path::new(HOST).join(entry.strip_prefix("/").unwrap_or(entry));
    if entry.parent() != Some(Path::new("/")) {
        return Ok(symlink(in_host, staged(entry))?);
    }
    match kind {
        Kind::Link => symlink(fs::read_link(staged(&in_host))?, staged(entry))?,
        Kind::Folder => {
            fs::create_dir(staged(entry))?;
            attach(&clone_tree(&staged(&in_host), false)?, entry)?;
        }
        Kind::Other => symlink(in_host, staged(entry))?,
    }
    Ok(())
}

fn special(dev: &OwnedFd) -> Result<()> {
    for folder in SCRATCH {
        let path = staged(Path::new(folder));
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777))?;
    }
    symlink("/run", staged(Path::new("/var/run")))?;
    symlink("/run/lock", staged(Path::new("/var/lock")))?;
    let (dev_at, proc_at) = (Path::new("/dev"), staged(Path::new("/proc")));
    fs::create_dir(staged(dev_at))?;
    attach(dev, dev_at)?;
    let shm = staged(Path::new("/dev/shm"));
    if shm.is_dir() {
        mount(Some("tmpfs"), &shm, Some("tmpfs"), MsFlags::empty(), Some("mode=1777"))
            .context("mount /dev/shm")?;
    }
    fs::create_dir(&proc_at)?;
    let options = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if mount(Some("proc"), &proc_at, Some("proc"), options, None::<&str>).is_err() {
        // Where the host hides parts of its own /proc a fresh one is refused: show the host's.
        attach(&clone_tree(Path::new("/proc"), false)?, Path::new("/proc"))?;
    }
    Ok(())
}

fn place(mount: Ready) -> Result<()> {
    let at = staged(&mount.target);
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    let Some((tree, is_folder)) = mount.tree else {
        fs::create_dir_all(&at)?;
        return Ok(fs::set_permissions(&at, fs::Permissions::from_mode(0o1777))?);
    };
    if is_folder {
        fs::create_dir_all(&at)?;
    } else if !at.exists() {
        fs::write(&at, "")?;
    }
    attach(&tree, &mount.target)
}
