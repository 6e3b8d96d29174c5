//! What was written, understood: objects -> snapshot.
//!
//! Comes in: a `World`. Goes out: a `Snapshot` of immutable sections and the findings beside it. Pure, without a
//! word of the wire: `xds` says what is here. The types of each concept stand apart from the code that reads the
//! objects into them.

pub mod asked;
mod check;
pub mod endpoint;
mod endpoints;
pub mod gateway;
pub mod gateways;
pub mod hashed;
pub mod identity;
pub mod mesh;
pub(crate) mod mesh_config;
pub mod names;
pub mod narrow;
mod note;
pub mod policy;
mod resolve;
pub mod routes;
pub mod scope;
pub mod secrets;
pub mod service;
pub mod services;
pub mod sidecar;
mod sidecars;
pub mod snapshot;
mod telemetries;
pub mod telemetry;
pub mod traffic;
pub mod workloads;

pub use endpoints::target_number;
pub use hashed::{Digest, Hashed};
pub use resolve::resolve;
pub use snapshot::Snapshot;
