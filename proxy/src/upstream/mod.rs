//! The way to an endpoint: dialling, TLS, and what a failed attempt means. Called by `pool` and `tcp`.

mod dial;

pub use dial::{DialPlan, Dialer, Dialing, TcpDialer};
