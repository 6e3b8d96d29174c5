//! `gateway.networking.k8s.io` and its experimental twin: Kubernetes' Gateway API.
//!
//! One file per kind. The standard and experimental channels of v1.6 together.

mod backend;
mod backend_policy;
mod filters;
// The kind has the name of the group.
#[allow(clippy::module_inception)]
mod gateway;
mod grpc_route;
mod http_route;
mod l4_route;
mod listener_set;
mod refs;

pub use backend::*;
pub use backend_policy::*;
pub use filters::*;
pub use gateway::*;
pub use grpc_route::*;
pub use http_route::*;
pub use l4_route::*;
pub use listener_set::*;
pub use refs::*;
