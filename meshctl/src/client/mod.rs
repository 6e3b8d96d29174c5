//! Talking to a running mesh, on this machine or in a cluster.
//!
//! In: the flags that say which mesh, what the user calls a pod. Out: pods, pages, objects, logs. `mesh` is what commands
//! use; it goes through `reach`, one door with two sides: `laptop` and `cluster`. `kube` finds a cluster, `pod` finds pods
//! by the names that people write, `http` asks for one page, `hooks` reads injection webhooks.

mod cluster;
mod forward;
pub mod hooks;
mod http;
pub mod kube;
mod laptop;
mod mesh;
mod pod;
mod reach;

pub use forward::forward;
pub use http::{Asked, Method};
pub use mesh::{Mesh, NoPilot, find_pod};
pub use pod::{Pod, PodName, Pods};
pub use reach::{Connection, Lines, What};
