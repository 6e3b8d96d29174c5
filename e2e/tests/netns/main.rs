//! A pod's network judged by what connections do: rules of interception, and a sidecar behind them.
//!
//! Each test makes its own namespaces, with an IPv6 twin for every check. Needs root, since the rules tell users apart;
//! `cargo xtask test netns` counts the tests as skipped where that is impossible.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod dns;
mod life;
mod probes;
mod rules;
mod sidecar;
