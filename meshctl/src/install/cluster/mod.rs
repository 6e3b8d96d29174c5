//! An installation and a cluster: what is there, what may be done, and doing it.
//!
//! ```text
//!   look ─ what is there ─┬─ check ─ what is wrong, before anything changes
//!                         └─ install ─┬─ apply (server-side, by component)   prune (what is no longer wanted)
//!                                     └─ ready (watches until it runs)       progress (what people see of it)
//! ```
//! Called by `cmd/install`, `upgrade`, `uninstall`, `precheck`. `objects` is the only door to the API server.

mod apply;
mod check;
mod install;
mod labels;
mod look;
mod objects;
mod progress;
mod ready;

pub use check::{Problem, check};
pub use install::{Options, install, objects_of};
pub use labels::{COMPONENT, MANAGED, REVISION};
pub use look::{Found, Istiod, look};
pub use objects::{Id, Objects};
pub use progress::Progress;
