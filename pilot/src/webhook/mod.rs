//! What the API server asks this control plane: which proxy a new pod gets, and whether an object may be written.
//!
//! ```text
//!   API server ─ server (HTTPS) ─ review ─┬ state ─ inject ──┬ review ─ API server
//!                                         │   └ follow (the injector's ConfigMap), the published world
//!                                         └ validate ────────┘
//!   bundle: the authority's roots ─> webhook configurations; refusals count once one is `rejected`
//! ```
//! `start` is called by `app` where there is a cluster. `inject` is pure and used by meshctl as well.

mod bundle;
mod follow;
pub mod inject;
mod path;
mod rejected;
mod review;
mod server;
mod settings;
mod start;
mod state;
mod stats;
mod validate;

pub use path::variables;
pub use settings::{Native, Settings};
pub(crate) use start::{Parts, start};
pub(crate) use state::Injection;
