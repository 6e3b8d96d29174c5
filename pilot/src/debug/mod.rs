//! What pilot tells of itself: `/ready`, `/metrics`, `/version` and `/debug/*` under istiod's paths, on 8080 and 15014,
//! and ControlZ on 9876.
//!
//! In: requests, and what the rest of pilot shares. Out: text and JSON in istiod's form. Nothing but ControlZ's log levels
//! can be changed, and private keys are left out of every dump. Called by `app`, which serves the routes.

mod control;
mod pages;
mod registry;

pub use control::control;
pub use pages::{Debug, routes};
