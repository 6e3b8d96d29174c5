//! The layers of which a proxy's resources are stacked, each with its own small key.
//!
//! Comes in: the snapshot, a view, the memo. Goes out: sorted resources. Layers from general to special: clusters
//! and listeners by scope, routes by names, endpoints by locality, then what is the proxy's own.

pub(super) mod clusters;
pub(super) mod dns;
pub(super) mod gateway;
pub(super) mod grpc;
pub(super) mod hosts;
pub(super) mod inbound;
pub(super) mod listeners;
pub(super) mod proxy_port;
pub(super) mod routes;
