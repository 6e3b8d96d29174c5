//! The words of the helper protocol: one JSON document per packet, descriptors beside it.
//!
//! In and out: requests from meshctl, replies and events from the helper. Kept small and flat, because
//! both ends are always the same program.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A request; `id` comes back in the reply.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) body: Body,
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Body {
    /// Node: make a pod; the reply carries its control socket.
    Pod(PodNet),
    /// Node or pod: make a socket in this network namespace; the reply carries it.
    Socket { domain: i32, kind: i32, protocol: i32 },
    /// Pod: start a process; carries its standard input, output and error.
    Spawn(Box<Spawn>),
    /// Pod: send a signal to a process and its children.
    Signal { pid: i32, signal: i32 },
}

/// What a helper says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// The answer to a request: a number (a pid, or 0), or what went wrong.
    Reply { id: u64, result: Result<i32, String> },
    /// A process has ended.
    Exited { pid: i32, code: Option<i32>, signal: Option<i32> },
}

/// A pod's place in the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodNet {
    /// Number of the pod in this mesh, from 2; names its link and its hardware address.
    pub index: u16,
    /// Its address.
    pub ip4: Ipv4Addr,
    /// Its IPv6 address, where the kernel has IPv6.
    pub ip6: Option<Ipv6Addr>,
    /// Host name, the pod's name.
    pub hostname: String,
}

/// Addresses of the node inside the mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodeNet {
    pub(super) ip4: Ipv4Addr,
    pub(super) ip6: Ipv6Addr,
    /// Addresses that meshctl itself listens on inside, such as the cluster's DNS.
    pub(super) own: Vec<Ipv4Addr>,
}

/// A process to start in a pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spawn {
    /// Program and arguments; the program is looked up in the `PATH` of `env` unless it has a slash.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working folder inside.
    pub cwd: String,
    /// What is mounted over the host's read-only tree.
    pub mounts: Vec<Mount>,
    /// Join the file system of this process instead of making one (`exec`).
    pub join: Option<i32>,
    /// Keep the capabilities that a proxy needs: marks on sockets, raw sockets, low ports.
    pub net_admin: bool,
    /// Standard input is a terminal: make it the controlling one.
    pub terminal: bool,
}

/// One mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// What appears there.
    pub source: Source,
    /// Absolute path inside.
    pub target: String,
    /// Whether it may be written to.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A file or folder of the host.
    Host(PathBuf),
    /// An empty folder in memory.
    Memory,
}
