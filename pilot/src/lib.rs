//! The control plane's configuration server.
//!
//! ```text
//!  source --Batch--> world --World--> model::resolve --Snapshot--> xds::say --Layers--> push
//!  (files)           (one writer)     (pure)                        (pure, memo)         (one task per client)
//! ```

pub mod model;
pub mod offline;
pub mod source;
pub mod world;
pub mod xds;
