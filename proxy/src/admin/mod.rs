//! The admin port (15000), in Envoy's form.
//!
//! In: the running [`Process`]. Out: dumps, numbers, and the switches for logging and draining. Read by `meshctl`,
//! `istioctl`, Kiali and people; on loopback only, since it shows everything but keys. One file per subject.

mod clusters;
mod decide;
mod dump;
mod listeners;
mod logging;
mod overload;
mod pages;
mod server;
pub(crate) mod stats;

pub use pages::{routes, start};
