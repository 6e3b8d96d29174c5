//! Kubernetes' own kinds, in the fields that a mesh reads and that a laptop mesh runs.
//!
//! Fields that are not here are accepted without a word.

mod config;
mod container;
mod endpoints;
mod ingress;
mod namespace;
mod node;
mod pod;
mod service;
mod volume;
mod workload;

pub use config::*;
pub use container::*;
pub use endpoints::*;
pub use ingress::*;
pub use namespace::*;
pub use node::*;
pub use pod::*;
pub use service::*;
pub use volume::*;
pub use workload::*;
