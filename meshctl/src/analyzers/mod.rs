//! What `analyze` finds beyond what one object, or pilot's own understanding of all, can tell: injection, annotations,
//! webhooks, and what only a cluster has.
//!
//! In: a `Scene`, the objects of files and of the mesh. Out: findings with Istio's codes. Pure: the command gathers and
//! prints. `list` names every analyzer as istioctl does; one file per subject beside it.

mod annotations;
mod clusters;
mod envoy_filters;
mod gateways;
mod injection;
mod list;
mod networks;
mod policies;
mod scene;
mod webhooks;
mod workloads;

pub use list::{ANALYZERS, Analyzer, codes, run};
pub use networks::served;
pub use scene::Scene;
