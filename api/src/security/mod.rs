//! `security.istio.io`: who must prove who they are, and who may do what.
//!
//! One file per kind. Versions v1 and v1beta1 have the same fields.

mod authorization_policy;
mod peer_authentication;
mod request_authentication;

pub use authorization_policy::*;
pub use peer_authentication::*;
pub use request_authentication::*;
