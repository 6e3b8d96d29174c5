//! DNS for the application: mesh names from the control plane's table, all others from the pod's resolvers.
//!
//! ```text
//!   server (UDP, TCP on 127.0.0.1:15053) -> table (pure) -> answer
//!                                        -> forward -> resolvers of /etc/resolv.conf
//! ```
//! Runs on the accept thread, so that a large configuration never delays an answer.

mod config;
mod forward;
mod server;
mod table;

pub(crate) use config::resolv_conf;
pub use config::{Counters, Settings};
pub use server::{reply, start};
pub use table::{Found, Table};
