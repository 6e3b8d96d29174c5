//! An installation and a cluster: what is there, what may be done, and doing it.
//!
//! ```text
//!   look ─ what is there ─┬─ check ─ what is wrong, before anything changes
//!                         └─ install ─┬─ apply (server-side, by component)   prune (what is no longer wanted)
//!                                     └─ ready (watches until it runs)       progress (what people see of it)
//!   uninstall ─ what is owned, and leftovers       tags ─ names of revisions
//! ```
//! Called by `cmd/install`, `upgrade`, `uninstall`, `precheck`, `tag`. `objects` is the only door to the API server.

mod apply;
mod check;
mod install;
mod labels;
mod leftovers;
mod look;
mod objects;
mod preview;
mod progress;
mod ready;
pub mod tags;
mod uninstall;

pub use check::{Problem, check, rights};
pub use install::{Options, install, objects_of};
pub use look::{DefaultRevision, Found, Istiod, look, who_is_default};
pub use objects::{Id, Objects};
pub use preview::{Change, preview};
pub use progress::Progress;
pub use uninstall::{Removal, What, removal, uninstall};
