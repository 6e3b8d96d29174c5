//! `telemetry.istio.io`: what is logged, measured and traced.

// The kind has the name of the group.
#[allow(clippy::module_inception)]
mod telemetry;

pub use telemetry::*;
