//! Injection: a pod without a proxy becomes one with a proxy.
//!
//! ```text
//!   pod ─ required? ─ template data ─ templates (injector's ConfigMap) ─ overlay ─ own containers again ─ finish ─ pod
//! ```
//! Pure: what it needs beside the pod is in [`Facts`]. Called by the webhook and by `meshctl kube-inject`. Names,
//! defaults and the order of things are Istio's.

mod annotations;
mod config;
mod data;
mod finish;
mod functions;
mod order;
mod overlay;
mod own;
mod owner;
mod pod;
mod probes;
mod prometheus;
mod proxies;
mod proxy;
mod required;
mod run;

pub use config::Injector;
pub use owner::Owner;
pub use proxies::Proxies;
pub use required::{NEVER, required};
pub use run::{Facts, inject};

/// Name of the proxy's container.
pub const PROXY: &str = "istio-proxy";
