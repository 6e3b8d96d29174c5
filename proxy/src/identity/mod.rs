//! Who we are: one certificate, kept fresh.
//!
//! ```text
//!   citadel <-- csr (key, request) <-- keeper --> Secrets "default", "ROOTCA" --> every new handshake
//!   files   -------------------------> file  -->
//! ```
//! The keeper runs on the control thread. While the CA does not answer, the last good certificate stays in use.

mod cert;
mod csr;
mod file;
mod keeper;
mod sds;

pub use cert::{Window, renew_at};
pub use csr::Issued;
pub use keeper::{CaSettings, Health, Keeper, OWN, ROOTS};
pub use sds::serve as serve_sds;
