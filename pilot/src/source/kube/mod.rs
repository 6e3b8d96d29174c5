//! An API server as a source.
//!
//! In: a client of a Kubernetes cluster. Out: one complete batch of everything that pilot reads, then what changes.
//! `plan` says which kinds are watched and which part of them; `seen` and `pod` trim what came to what pilot reads; `collect`
//! is the state machine from events to batches; `watch` holds the connections. A lost connection, a restarted API
//! server and an expired watch are followed by a new list, of which only the difference goes on.

mod collect;
mod plan;
mod pod;
mod seen;
mod watch;

pub use watch::watch;
