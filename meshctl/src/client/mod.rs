//! Talking to a running mesh: which pods there are, and the pages of proxies and of pilot; and finding a cluster
//! (`kube`).
//!
//! In: the name of a mesh, what the user calls a pod. Out: pods, page texts. Everything goes through the mesh's
//! control socket, which hands over a connection that was made inside the pod. Blocking: commands have one thread.

mod http;
pub mod kube;
mod mesh;
mod pod;

pub use http::{Method, ask};
pub use mesh::{Mesh, find_pod};
pub use pod::{Pod, PodName, Pods};
