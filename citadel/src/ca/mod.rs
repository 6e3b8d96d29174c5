//! The keys and what is made with them.
//!
//! In: files on disk, public keys, identities. Out: certificates. [`Authority`] is what signs at this moment, an
//! immutable value that is swapped whole; `store` reads and writes it, `template` says what a certificate looks like,
//! `verify` checks what was signed, `slot` decides when the root is renewed.

mod authority;
mod csr;
mod slot;
mod store;
mod template;
mod verify;

pub use authority::{Authority, Signed};
pub use csr::public_key;
pub use slot::{Action, Life, Rules, Slots, next_action};
pub use store::{Found, RootPolicy, load, load_or_create, renew_root, write_private};
pub use template::{Lifetimes, Subject, ttl};
pub use verify::verify;
