//! The documented tasks and the edge cases, each with its documented outcome. The same code runs on a laptop mesh and on a
//! mesh installed in a cluster: `crate::Mesh` is the one or the other.

mod edges;
mod ingress;
mod routing;
mod security;
mod tables;
mod tcp;
mod telemetry;
