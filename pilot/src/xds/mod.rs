//! How it is said: snapshot -> resources, for one class of proxies.
//!
//! Comes in: a `Snapshot` and a `View`. Goes out: `Layers` of encoded resources. Builders are functions of one
//! Input each; the memo is keyed by the Input; layers are keyed by what they depend on. `docs/xds.md` is the
//! contract.

pub mod cluster;
pub mod endpoint;
pub mod filters;
mod layers;
pub mod listener;
pub mod memo;
pub mod names;
mod near;
pub mod observe;
mod place;
pub mod proto;
pub mod route;
pub mod say;
mod secret;
mod served;
pub mod tls;
pub mod view;

pub use memo::Memo;
pub use say::{Layer, Layers, say};
pub use view::{Role, Session, View};
