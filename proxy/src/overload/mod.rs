//! What the process does when there is too much of it: limits on connections and memory, and what is refused then.
//!
//! In: the bootstrap's `overload_manager` and `layered_runtime`, or the agent's `runtimeValues`. Out: an [`Overload`] that
//! `listen` and `http` ask, one relaxed read each, and counters for `/stats`. Work that has begun always goes on.

mod read;
mod state;
mod watch;

pub use read::{Runtime, manager};
pub use state::{Action, Overload, Plan, Resource, Seat, Trigger};
pub use watch::watch;
