//! Routing rules: the one model, and the kinds that are read into it.

pub mod delegate;
pub mod resolve;
pub mod route;
pub mod virtual_service;

pub use resolve::{Routes, resolve};
