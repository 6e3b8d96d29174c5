//! `networking.istio.io`: how traffic is routed, balanced, let in and let out.
//!
//! One file per kind. Versions v1, v1beta1 and v1alpha3 have the same fields.

mod destination_rule;
mod envoy_filter;
mod gateway;
mod proxy_config;
mod service_entry;
mod sidecar;
mod virtual_service;
mod workload;

pub use destination_rule::*;
pub use envoy_filter::*;
pub use gateway::*;
pub use proxy_config::*;
pub use service_entry::*;
pub use sidecar::*;
pub use virtual_service::*;
pub use workload::*;
