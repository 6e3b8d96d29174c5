//! The running proxy: what is started, on which thread, and in which order it ends.
//!
//! ```text
//!   control thread: xDS, compile, identity, admin and status ports, span export
//!   accept thread:  listening sockets, DNS          worker threads: connections
//! ```
//! In: settings. Out: the process's result. Called by `main`; a test may run several in one process.

mod run;
mod setup;
#[cfg(test)]
mod tests;
mod threads;

pub use run::{Extras, run, validate};
