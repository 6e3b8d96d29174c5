//! Proxies put into manifests, as a cluster's webhook puts them into pods.
//!
//! ```text
//!   source (a cluster's ConfigMaps, or the charts and files) ─ settings ─┐
//!   texts ─ documents ─ workload (where an object has its pod) ─ pilot's injection ─ texts
//! ```
//! Called by `cmd/kube_inject`. What becomes of a pod is pilot's; everything that is no workload stays as it was written.

mod documents;
mod settings;
mod source;
mod workload;

pub use documents::{Injected, inject};
pub use settings::Settings;
pub use source::{Given, Names, Read, Source};
