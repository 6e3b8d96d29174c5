//! Who must hear: one task per connected client, fed by the published snapshot.
//!
//! In: snapshots ([`Hub::publish`]) and connections ([`serve_plain`], [`serve_tls`]). Out: responses of ADS, answers of
//! the embedded CA. What equal clients get is said once per snapshot, and a change is compared once per pair of
//! old and new layers, not once per connection.

mod connection;
mod diff;
mod hub;
mod registry;
mod server;
mod stats;

pub use hub::{Hub, Published};
pub use registry::{Client, TypeState};
pub use server::{Admission, Ca, Service, serve_plain, serve_tls};
pub use stats::Stats;
pub(crate) use stats::TypeLabel;
