//! The ports that a mesh and its operators use: 15020 (health, merged metrics, probes), 15021 (readiness), 15090
//! (Prometheus).
//!
//! In: the running [`Process`]. Out: what Istio's agent answers on the same ports. Only for a proxy of a mesh; a
//! bootstrap file says itself what it wants to serve.

mod merge;
mod ports;
mod probe;
mod reach;

pub(crate) use ports::{agent_metrics, start};
