//! Metrics of the control-plane programs.
//!
//! In: counters, gauges and histograms of `prometheus-client`, registered under their documented names. Out: the
//! Prometheus text format (0.0.4), which is what scrapers of these endpoints have always got. Two things differ
//! from the crate's own OpenMetrics output: a counter's `# TYPE` line has the full name, and a counter may have a
//! documented name without `_total` ([`Metrics::counter_named`]).

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use prometheus_client;

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A registry. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    /// Counters whose documented name does not end in `_total`.
    exact: HashSet<String>,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Metrics::default()
    }

    /// Registers any metric under `name`.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.inner.lock().registry.register(name, help.trim_end_matches('.'), metric.clone());
        metric
    }

    /// A counter; `name` may or may not end in `_total`, it is exposed exactly as given.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_named(name, help, Counter::default())
    }

    /// A counter with labels, exposed exactly as named.
    pub fn counter_family<L>(&self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: Clone + Hash + Eq + EncodeLabelSet + Debug + Send + Sync + 'static,
    {
        self.counter_named(name, help, Family::default())
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// A gauge with labels.
    pub fn gauge_family<L>(&self, name: &str, help: &str) -> Family<L, Gauge>
    where
        L: Clone + Hash + Eq + EncodeLabelSet + Debug + Send + Sync + 'static,
    {
        self.register(name, help, Family::default())
    }

    /// A histogram with these upper bounds.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register(name, help, Histogram::new(bounds.iter().copied()))
    }

    /// Registers a counter-like metric under exactly `name`.
    pub fn counter_named<M: Metric + Clone + TypedMetric>(&self, name: &str, help: &str, metric: M) -> M {
        debug_assert!(matches!(M::TYPE, MetricType::Counter));
        let mut inner = self.inner.lock();
        let base = match name.strip_suffix("_total") {
            Some(base) => base,
            None => {
                inner.exact.insert(name.to_owned());
                name
            }
        };
        inner.registry.register(base, help.trim_end_matches('.'), metric.clone());
        metric
    }

    /// Everything in the Prometheus text format, and what this process uses.
    pub fn render(&self) -> String {
        let inner = self.inner.lock();
        let mut open = String::new();
        // Writing to a string cannot fail; an encoder error would be a bug of a custom metric.
        if let Err(error) = encode(&mut open, &inner.registry) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        to_prometheus(&open, &inner.exact) + &crate::usage::prometheus("")
    }
}

/// OpenMetrics text to Prometheus text.
fn to_prometheus(open: &str, exact: &HashSet<String>) -> String {
    let counters: HashSet<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(open.len());
    for line in open.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let (head, rest) = match line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
            Some(rest) => (line.get(..7).unwrap_or_default(), rest),
            None => ("", line),
        };
        let end = rest.find([' ', '{']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        out.push_str(head);
        if head.is_empty() {
            let base = name.strip_suffix("_total").filter(|base| exact.contains(*base));
            out.push_str(base.unwrap_or(name));
        } else {
            out.push_str(name);
            if counters.contains(name) && !exact.contains(name) {
                out.push_str("_total");
            }
        }
        out.push_str(tail);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_documented_names() {
        let metrics = Metrics::new();
        metrics.counter("pushes_total", "Pushes.").inc();
        metrics.counter("total_rejects", "Rejects").inc_by(2);
        metrics.gauge("clients", "Clients").set(3);
        metrics.histogram("push_time", "Seconds", &[0.1, 1.0]).observe(0.5);
        let by_type = metrics.counter_family::<Vec<(String, String)>>("sent", "Sent");
        by_type.get_or_create(&vec![("type".into(), "cds".into())]).inc();
        let text = metrics.render();
        for line in [
            "# TYPE pushes_total counter",
            "pushes_total 1",
            "# TYPE total_rejects counter",
            "total_rejects 2",
            "clients 3",
            "push_time_bucket{le=\"1.0\"} 1",
            "sent{type=\"cds\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
        assert!(!text.contains("EOF"));
    }
}
