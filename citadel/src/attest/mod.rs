//! Who is calling: a credential becomes a workload identity, or nothing.
//!
//! In: what came with the call ([`Caller`]). Out: a [`wire::SpiffeId`] and the name of the attestor that vouches for
//! it. Attestors are asked in order; the first that recognises a valid proof wins. Another kind of proof (pilot's
//! Kubernetes TokenReview) is another implementation of [`Attestor`]; [`Recent`] spares it the same question again.

mod attestor;
mod recent;
mod token;
mod x509;

pub use attestor::{Answer, Attested, Attestor, Caller, Trust, attest};
pub use recent::Recent;
pub(crate) use token::SUBJECT;
pub use token::{TokenAttestor, account};
pub use x509::{X509Attestor, uri_of};
