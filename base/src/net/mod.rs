//! Linux networking by netlink: links, addresses and routes (`route`), nftables rules (`nft`)
//! and the rule set that sends a pod's traffic through its proxy (`intercept`).
//!
//! In: plain values (indexes, addresses, ports). Out: one message batch per call, sent on a socket
//! that the caller opened in the network namespace it means. No program is ever called.
//! Used by the laptop mesh and by whoever sets up interception in a pod.

pub mod intercept;
pub mod netlink;
pub mod nft;
pub mod route;

pub use intercept::Interception;
pub use netlink::{Netlink, Protocol, Refused};
