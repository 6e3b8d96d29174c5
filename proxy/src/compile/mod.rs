//! From protobuf to Config. `lower` compiles one resource, `link` joins the parts by name.
//!
//! One file per resource or concept. The rule of all of them: a field is honoured, known to change nothing
//! (`harmless!`), or refused by name (`done`); nothing is passed over.

// Control planes still send what Envoy has deprecated.
#![allow(deprecated)]

mod access_log;
mod action;
mod balance;
mod chain;
mod cluster;
mod endpoint;
mod filter;
mod hcm;
mod headers;
mod http2;
mod link;
mod listener;
mod lower;
mod rbac;
mod read;
mod retry;
mod route;
mod secret;
mod slots;
mod text;
mod tls;

pub use cluster::ClusterPart;
pub use endpoint::{Assigned, Assignment, Locality, Resolved, Where, endpoint_set};
pub(crate) use link::join;
pub use link::{Parts, link};
pub use lower::{Part, lower};
pub use route::RoutePart;
pub use secret::SecretPart;
pub use slots::Slots;
