//! Routing rules: the one model, and the kinds that are read into it.
//!
//! In: the World's VirtualServices. Out: a section of route sets by host and gateway. `route` is the model that
//! `xds/route` builds from and knows no API; `virtual_service` and `delegate` read one API into it; `resolve` joins
//! and orders.

pub mod delegate;
pub mod resolve;
pub mod route;
pub mod virtual_service;

pub use resolve::{Routes, resolve};
