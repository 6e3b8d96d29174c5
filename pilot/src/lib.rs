//! The control plane's configuration server.
//!
//! ```text
//!  source --Batch--> writer --World--> model::resolve --Snapshot--> xds::say --Layers--> push
//!  (files or cluster)  (one task)        (pure)                        (pure, memo)         (one task per client)
//! ```
//! `authority` is the embedded CA and pilot's own certificate, `cluster` what pilot does in a cluster beside reading,
//! `debug` what pilot tells of itself, `app` the wiring. `offline` is the way from text to resources without a process.

#![forbid(unsafe_code)]

pub mod app;
mod authority;
mod cluster;
pub mod debug;
mod environment;
pub mod model;
pub mod offline;
pub mod push;
pub mod settings;
pub mod source;
pub mod template;
pub mod webhook;
pub mod world;
mod writer;
pub mod xds;
