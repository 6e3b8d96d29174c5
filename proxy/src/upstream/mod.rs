//! The way to an endpoint: dialling, TLS, and what a failed attempt means. Called by `pool` and `tcp`.
//!
//! In: a cluster, an endpoint, a place under the cluster's limits. Out: a stream with its facts, or a failure with its
//! reason. `dial` opens sockets, `open` does the rest.

mod dial;
mod open;

pub use dial::{DialPlan, Dialer, Dialing, TcpDialer};
pub(crate) use open::report;
pub use open::{Home, NotOpen, Open, Opened, Opening, open, transport};
