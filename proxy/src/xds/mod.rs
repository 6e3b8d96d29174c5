//! How the proxy learns: resources from the session or from a file, kept by name with their last good version.
//!
//! In: responses, or a bootstrap. Out: a new Config in `Live`, secrets and names in their tables, acks and rejects.
//! `client` is the session, `connect` the way to it, `file` the same from YAML, `store` the owner of everything that
//! was received.

mod carry;
mod client;
mod connect;
mod file;
mod store;
mod wanted;

pub(crate) use carry::publish;
pub(crate) use client::{EAGER, attempts, patience};
pub use client::{Plan, Status, follow};
pub use connect::{Connector, Credential, Security, Target};
pub use file::{AdsSource, Boot, BootError, boot};
pub use store::{Batch, Changed, Held, Rejected, Store};
pub use wanted::Wanted;
