//! Clusters: one builder, and one file for each of its concerns.
//!
//! Comes in: an Input with the effective policy. Goes out: a Cluster. Called by the layers through the memo.

mod balance;
pub mod build;
mod outlier;
mod protocol;
pub mod tls;

pub use build::{Fixed, Inbound, Outbound};
