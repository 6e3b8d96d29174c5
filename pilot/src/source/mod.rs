//! Where objects come from. In: a directory or an API server. Out: batches of changes, the first one complete.
//! Called by `app`; the only code of pilot that reads files or watches anything.

mod change;
mod debounce;
mod file;
mod kube;

pub use change::{Batch, Change};
pub use debounce::Debounce;
pub use file::{FileSource, watch};
pub use kube::watch as watch_cluster;
