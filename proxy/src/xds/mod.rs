//! How the proxy learns: resources from the session or from a file, kept by name with their last good version.

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
