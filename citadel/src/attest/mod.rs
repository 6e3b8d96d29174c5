//! Who is calling: a credential becomes a workload identity, or nothing.
//!
//! In: what came with the call ([`Caller`]). Out: a [`wire::SpiffeId`] and the name of the attestor that vouches for
//! it. Attestors are asked in order; the first that recognises a valid proof wins. Another kind of proof (a
//! Kubernetes TokenReview, say) is another implementation of [`Attestor`].

mod attestor;
mod token;
mod x509;

pub use attestor::{Answer, Attestor, Caller, attest};
pub(crate) use token::SUBJECT;
pub use token::TokenAttestor;
pub use x509::{X509Attestor, uri_of};
