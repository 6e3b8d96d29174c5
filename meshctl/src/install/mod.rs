//! What an installation consists of: from profile, files and `--set` to Kubernetes objects, without a cluster.
//!
//! ```text
//!   -f, --set ─ settings ─ plan (components, values) ─ render (a chart, gotmpl) ─ objects in the order of installing
//!                                                        └ embedded (the charts' files), functions (Helm's)
//! ```
//! Called by `cmd/manifest`. Helm with the same charts and values gives the same objects.

mod embedded;
mod functions;
mod plan;
mod render;
mod settings;
#[cfg(test)]
mod tests;

pub use plan::{Component, plan};
pub use render::{Release, render};
pub use settings::{read_operator, set};
