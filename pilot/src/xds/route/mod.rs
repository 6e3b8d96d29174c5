//! Routes: virtual hosts, and the route configurations that hold or announce them.
//!
//! Comes in: an Input with the rules that hold for a class of clients. Goes out: VirtualHost and
//! RouteConfiguration. Called by the layers through the memo.

mod action;
pub mod config;
mod edits;
pub mod host;
mod retry;
mod rule;

pub use config::Table;
pub use host::{DefaultRoute, Host, Placed};
