//! The contract between pilot, proxy and citadel.
//!
//! ```text
//!   pilot                                                      proxy
//!   Arc<Resource> --offer--> delta::Server ==transport==> delta::Client --accepted--> store
//!                  reports <--- acks, nacks <============ Request <--- ack / nack(Reject)
//! ```
//! Sessions are state machines without I/O ([`delta`], [`sotw`]); [`transport`] alone knows gRPC. The words of the
//! contract: [`Kind`] (types, apply order), [`Resource`] (encoded once, version = hash), [`Node`] (who asks),
//! [`SpiffeId`], [`Reject`], [`peer`] metadata, [`csr`] (certificates), [`nds`] (names), [`health`] of applications. [`reflect`] turns any
//! message into JSON and back.

#![forbid(unsafe_code)]

pub mod csr;
pub mod delta;
pub mod health;
pub mod kind;
pub mod nds;
pub mod node;
pub mod peer;
pub mod reflect;
pub mod reject;
pub mod resource;
pub mod sotw;
pub mod spiffe;
pub mod structs;
pub mod transport;

pub use envoy_types::pb;

pub use kind::Kind;
pub use node::Node;
pub use reject::Reject;
pub use resource::Resource;
pub use spiffe::{SpiffeId, TrustDomain};
