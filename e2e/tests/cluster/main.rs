//! On a real Kubernetes: real API server, kubelet and pods, and images made by `cargo xtask image`.
//!
//! Ignored by a plain `cargo test`, because a cluster must be there: `cargo xtask test --cluster` brings one up.

mod applications;
