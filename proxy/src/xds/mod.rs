//! How the proxy learns: resources from the session or from a file, kept by name with their last good version.

mod file;
mod store;
mod wanted;

pub use file::{AdsSource, Boot, BootError, boot};
pub(crate) use store::publish;
pub use store::{Batch, Changed, Held, Rejected, Store};
pub use wanted::Wanted;
