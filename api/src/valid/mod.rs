//! From `Object` to `Valid`: the rules of every kind.
//!
//! `Object::check` collects all findings of an object; only an object without an error becomes `Valid`, and nothing
//! else makes one. `at.rs` knows where a rule is in the object, `rules.rs` has what kinds share, and each other file
//! has the rules of one kind or family.

mod at;
mod authorization;
mod check;
mod core;
mod destination_rule;
mod entries;
mod extensions;
mod gateway;
mod gateway_api;
mod http_headers;
mod http_route;
mod identity;
mod meta;
mod rules;
mod sidecar;
mod telemetry;
mod tls;
mod virtual_service;

pub use at::At;
pub use check::{Check, Valid};
