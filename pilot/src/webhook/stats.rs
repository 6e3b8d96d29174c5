//! Counters of injection and validation, under Istio's names.
//!
//! In: what the webhooks count. Out: families of the process's registry, served on the monitoring port.

use base::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// What was validated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ObjectLabels {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) reason: String,
}

/// Counters of the validation.
#[derive(Clone)]
pub(crate) struct Validations {
    pub(crate) passed: Family<ObjectLabels, Counter>,
    pub(crate) failed: Family<ObjectLabels, Counter>,
}

impl Validations {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            passed: metrics.counter_family("galley_validation_passed", "Resource is valid"),
            failed: metrics.counter_family("galley_validation_failed", "Resource validation failed"),
        }
    }
}

/// Counters of the injection.
#[derive(Clone)]
pub(crate) struct Stats {
    pub(crate) requests: Counter,
    pub(crate) successes: Counter,
    pub(crate) failures: Counter,
    pub(crate) skips: Counter,
    pub(crate) seconds: Histogram,
}

impl Stats {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.counter(name, help);
        Self {
            requests: counter(
                "sidecar_injection_requests_total",
                "Total number of sidecar injection requests",
            ),
            successes: counter(
                "sidecar_injection_success_total",
                "Total number of successful sidecar injection requests",
            ),
            failures: counter(
                "sidecar_injection_failure_total",
                "Total number of failed sidecar injection requests",
            ),
            skips: counter(
                "sidecar_injection_skip_total",
                "Total number of skipped sidecar injection requests",
            ),
            seconds: metrics.histogram(
                "sidecar_injection_time_seconds",
                "Total time taken for injection in seconds",
                &[0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0],
            ),
        }
    }
}
