//! The certificate authority.
//!
//! ```text
//!   request ==serve==> attest -> authorize -> template -> sign -> verify -> audit ==> chain
//!              proof -> SpiffeId    |         (pure)                         (every decision)
//!                                   +-- may this caller have that identity? (pure)
//! ```
//! The identity in a certificate is the caller's, as its credential proves it; of the signing request only the key
//! counts. A library that pilot embeds beside ADS on one port, and a binary of its own. [`issue`] is the whole
//! story in one function.

#![forbid(unsafe_code)]

pub mod app;
pub mod attest;
pub mod audit;
pub mod authorize;
pub mod ca;
pub mod denied;
pub mod issue;
pub mod jwt;
pub mod serve;
pub mod settings;
pub mod tls;
pub mod token;

pub use attest::{Attestor, Caller};
pub use ca::{Authority, Lifetimes};
pub use denied::Denied;
pub use serve::{Citadel, Peer};
