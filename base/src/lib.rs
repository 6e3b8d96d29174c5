//! Process plumbing: what every program of this workspace needs and no mesh word in it.
//!
//! ```text
//!   settings -> telemetry -> tasks (task, drain, ready) -> admin (debug, ready, metrics)
//!                              |
//!                              +-- shared state: live, name      time: clock, backoff
//! ```
//! A module belongs here if two programs need it and it would make sense in a program that has never
//! heard of a mesh. It depends on no other crate of the workspace.

pub mod admin;
pub mod backoff;
pub mod clock;
pub mod drain;
pub mod live;
pub mod metrics;
pub mod name;
#[cfg(target_os = "linux")]
pub mod net;
pub mod ready;
pub mod settings;
pub mod task;
pub mod telemetry;
pub mod usage;

pub use live::{Live, Reader};
pub use name::Name;
