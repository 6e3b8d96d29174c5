//! Listeners: outbound (one that catches, many that do not bind), inbound (one with all chains), gateways.
//!
//! Comes in: an Input per listener. Goes out: a Listener. Called by the layers through the memo.

mod chain;
pub mod gateway;
pub mod grpc;
pub mod inbound;
pub mod outbound;
pub mod proxy_port;

pub use gateway::Gateway;
pub use grpc::Grpc;
pub use inbound::Inbound;
pub use outbound::{Catch, Outbound};
pub use proxy_port::ProxyPort;
