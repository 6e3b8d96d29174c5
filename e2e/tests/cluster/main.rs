//! On a real Kubernetes: real API server, kubelet and pods, and images made by `cargo xtask image`. The scenarios are the
//! laptop's own code.
//!
//! Not part of a plain `cargo test`, because a cluster must be there: `cargo xtask test --cluster` brings one up.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod addons;
mod applications;
mod control_plane;
mod figures;
mod installation;
mod pods;
mod replicas;
#[path = "../scenarios/mod.rs"]
mod scenarios;

pub(crate) use e2e::installed::Installed as Mesh;
