//! `cargo xtask image`: image archives of the mesh and of the sample applications, without a container engine.
//!
//! ```text
//!   build (static programs) ─┐
//!   catalog (which images)  ─┴─ layer (a tar) ─ archive (blobs, index) ─ target/images/*.tar
//! ```
//! Called by `main`, by `cluster` and `test` for what a cluster runs, by `bench`. The same programs give the same bytes.

mod archive;
mod build;
mod catalog;
mod command;
mod layer;

pub(crate) use build::{programs, target};
pub(crate) use command::{archives, image};
