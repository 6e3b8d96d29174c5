//! The way to an endpoint: dialling, TLS, and what a failed attempt means. Called by `pool` and `tcp`.

mod dial;
mod open;

pub use dial::{DialPlan, Dialer, Dialing, TcpDialer};
pub(crate) use open::report;
pub use open::{Home, NotOpen, Open, Opened, Opening, open, transport};
