//! What pilot tells of itself: `/ready`, `/metrics`, `/version` and `/debug/*` under istiod's paths, on 8080 and 15014.
//!
//! In: requests, and what the rest of pilot shares. Out: text and JSON in istiod's form. Nothing here changes anything,
//! and private keys are left out of every dump. Called by `app`, which serves the routes on both ports.

mod pages;
mod registry;

pub use pages::{Debug, routes};
