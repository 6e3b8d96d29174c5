//! What an installation consists of, from profile, files and `--set` to Kubernetes objects, and how it gets into a cluster.
//!
//! ```text
//!   -f, --set ─ settings ─ plan (components, values) ─ render (a chart, gotmpl) ─ installation (objects, in order)
//!                                                        └ charts (their files), functions (pilot's)     │
//!                                                                                            cluster/ (applies them)
//! ```
//! Called by `cmd/manifest`, `cmd/install` and their like. Helm with the same charts and values gives the same objects.

mod charts;
pub mod cluster;
mod embedded;
mod installation;
mod origins;
mod plan;
mod render;
mod settings;
mod shape;
#[cfg(test)]
mod tests;

pub use charts::Charts;
pub use installation::{Installation, Part, Request, Unnamed, rank};
pub use origins::Origins;
pub use plan::{Component, Role, plan};
pub use render::{Release, render};
pub use settings::{read_operator, set};
