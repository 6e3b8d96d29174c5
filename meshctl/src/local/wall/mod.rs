//! The wall: the only code that makes and enters namespaces.
//!
//! ```text
//!   meshctl up (threads, host)            x-node-helper (one thread, pid 1 of the mesh)
//!     client::Node  ---- seqpacket ---->  node: user namespace, node network, makes pods
//!     client::Pod   ---- seqpacket ---->  pod:  pid 1 of one pod: network, processes, sockets
//!                   <--- descriptors ---
//! ```
//! A threaded process may not unshare its user namespace, so a fresh single-threaded copy of the
//! program does it. Every socket needed inside is made there and handed out: it stays in the namespace
//! that made it. When meshctl goes, the control sockets close, pid 1 ends and the kernel ends the rest.

mod channel;
mod client;
mod filesystem;
mod helper;
mod node;
mod pod;
mod process;
mod proto;

pub use client::{Exit, Node, Pod, SocketKind};
pub use helper::{HELPER_ARGUMENT, run_if_helper};
pub use proto::{Mount, PodNet, Source, Spawn};
