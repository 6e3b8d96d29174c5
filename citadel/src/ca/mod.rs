//! The keys and what is made with them.
//!
//! In: texts in PEM, public keys, identities. Out: certificates. [`Authority`] is what signs at this moment, an
//! immutable value that is swapped whole; [`Bundle`] is the texts it is made of, `store` keeps them in files,
//! `template` says what a certificate looks like, `verify` checks what was signed, `slot` decides when the root is renewed.

mod authority;
mod bundle;
mod csr;
mod slot;
mod store;
mod template;
mod verify;

pub use authority::{Authority, Signed};
pub use bundle::{Bundle, RootPolicy};
pub use csr::public_key;
pub use slot::{Action, Life, Rules, Slots, next_action};
pub use store::{Found, load, load_or_create, read, renew_root, write_private};
pub use template::{Lifetimes, Subject, ttl};
pub use verify::verify;
