//! Mesh settings: `MeshConfig` with its `ProxyConfig` and extension providers, and `MeshNetworks`.
//!
//! They arrive as ConfigMap `istio` (keys `mesh` and `meshNetworks`) or as files; `read.rs` lays them over the
//! defaults.

mod mesh_config;
mod networks;
mod providers;
mod proxy_config;
mod read;

pub use mesh_config::*;
pub use networks::*;
pub use providers::*;
pub use proxy_config::*;
pub use read::*;
