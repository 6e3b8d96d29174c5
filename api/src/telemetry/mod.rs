//! `telemetry.istio.io`: what is logged, measured and traced.

mod telemetry;

pub use telemetry::*;
