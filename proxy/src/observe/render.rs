//! All numbers as text: Prometheus, Envoy's `/stats`, JSON.
//!
//! In: totals of the workers, and what other parts tell about themselves ([`Sample`]). Out: the three forms. Pure.
//! Called by the admin, health and metrics endpoints. Names and labels are those of Envoy with Istio's tags.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::STRING;
use super::labels::Out;
use super::series::{BOUNDS, Snapshot, Totals};

/// One number, or one histogram.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Envoy's dotted name.
    pub name: String,
    /// Prometheus family.
    pub family: &'static str,
    /// Rendered labels, may be empty.
    pub labels: String,
    pub value: SampleValue,
}

/// What was measured.
#[derive(Debug, Clone)]
pub enum SampleValue {
    Counter(u64),
    Gauge(u64),
    Histogram(Snapshot),
}

impl Sample {
    /// A counter.
    pub fn counter(name: impl Into<String>, family: &'static str, labels: String, value: u64) -> Self {
        Sample { name: name.into(), family, labels, value: SampleValue::Counter(value) }
    }

    /// A gauge.
    pub fn gauge(name: impl Into<String>, family: &'static str, labels: String, value: u64) -> Self {
        Sample { name: name.into(), family, labels, value: SampleValue::Gauge(value) }
    }

    fn histogram(name: String, family: &'static str, labels: String, value: Snapshot) -> Self {
        Sample { name, family, labels, value: SampleValue::Histogram(value) }
    }
}

/// One label.
pub fn label(name: &str, value: &str) -> String {
    let mut out = Out(String::new());
    out.put(name, value);
    out.0
}

/// Two labels.
pub fn labels(first: (&str, &str), second: (&str, &str)) -> String {
    let mut out = Out(String::new());
    out.put(first.0, first.1);
    out.put(second.0, second.1);
    out.0
}

/// The workers' numbers as samples.
pub fn samples(totals: &Totals) -> Vec<Sample> {
    let mut all = Vec::new();
    for (labels, total) in &totals.requests {
        let name = |metric: &str| format!("istiocustom.{metric}.{labels}");
        let mut counter = |family: &'static str, value| {
            all.push(Sample::counter(name(family), family, labels.to_string(), value));
        };
        counter("istio_requests_total", total.requests);
        if labels.contains("request_protocol=\"grpc\"") {
            counter("istio_request_messages_total", total.request_messages);
            counter("istio_response_messages_total", total.response_messages);
        }
        for (family, snapshot) in [
            ("istio_request_duration_milliseconds", &total.duration),
            ("istio_request_bytes", &total.request_bytes),
            ("istio_response_bytes", &total.response_bytes),
        ] {
            all.push(Sample::histogram(name(family), family, labels.to_string(), snapshot.clone()));
        }
    }
    for (labels, total) in &totals.tcp {
        for (family, value) in [
            ("istio_tcp_connections_opened_total", total.opened),
            ("istio_tcp_connections_closed_total", total.closed),
            ("istio_tcp_sent_bytes_total", total.sent),
            ("istio_tcp_received_bytes_total", total.received),
        ] {
            let name = format!("istiocustom.{family}.{labels}");
            all.push(Sample::counter(name, family, labels.to_string(), value));
        }
    }
    clusters(totals, &mut all);
    managers(totals, &mut all);
    all
}

fn clusters(totals: &Totals, all: &mut Vec<Sample>) {
    for (cluster, total) in &totals.clusters {
        let own = || label("cluster_name", cluster);
        let mut counter = |stat: &str, family: &'static str, labels: String, value| {
            all.push(Sample::counter(format!("cluster.{cluster}.{stat}"), family, labels, value));
        };
        counter("upstream_rq_total", "envoy_cluster_upstream_rq_total", own(), total.requests);
        counter("upstream_rq_retry", "envoy_cluster_upstream_rq_retry", own(), total.retries);
        counter("upstream_rq_timeout", "envoy_cluster_upstream_rq_timeout", own(), total.timeouts);
        counter(
            "upstream_rq_completed",
            "envoy_cluster_upstream_rq_completed",
            own(),
            total.codes.values().sum(),
        );
        let mut classes: BTreeMap<u16, u64> = BTreeMap::new();
        for (code, count) in &total.codes {
            *classes.entry(code / 100).or_default() += count;
            let labels = labels(("response_code", &code.to_string()), ("cluster_name", cluster));
            counter(&format!("upstream_rq_{code}"), "envoy_cluster_upstream_rq", labels, *count);
        }
        for (class, count) in classes {
            let class = format!("{class}xx");
            let labels = labels(("response_code_class", &class), ("cluster_name", cluster));
            counter(&format!("upstream_rq_{class}"), "envoy_cluster_upstream_rq", labels, count);
        }
        let name = format!("cluster.{cluster}.upstream_rq_time");
        all.push(Sample::histogram(name, "envoy_cluster_upstream_rq_time", own(), total.time.clone()));
    }
}

fn managers(totals: &Totals, all: &mut Vec<Sample>) {
    for (prefix, total) in &totals.http {
        let own = || label("http_conn_manager_prefix", prefix);
        let name = format!("http.{prefix}.downstream_rq_total");
        all.push(Sample::counter(name, "envoy_http_downstream_rq_total", own(), total.requests));
        for (class, count) in total.classes.iter().enumerate().skip(1) {
            let class = format!("{class}xx");
            let labels = labels(("response_code_class", &class), ("http_conn_manager_prefix", prefix));
            let name = format!("http.{prefix}.downstream_rq_{class}");
            all.push(Sample::counter(name, "envoy_http_downstream_rq", labels, *count));
        }
        let name = format!("http.{prefix}.downstream_rq_time");
        all.push(Sample::histogram(name, "envoy_http_downstream_rq_time", own(), total.time.clone()));
        refusals(prefix, &total.refused, all);
    }
}

/// What was refused, in Envoy's counters, and each reason by name: `%RESPONSE_CODE_DETAILS%` without its first word.
fn refusals(prefix: &str, refused: &BTreeMap<(Arc<str>, u16), u64>, all: &mut Vec<Sample>) {
    let mut envoys = [
        ("downstream_cx_protocol_error", "envoy_http_downstream_cx_protocol_error", 0),
        ("downstream_rq_failed_path_normalization", "envoy_http_downstream_rq_failed_path_normalization", 0),
        (
            "downstream_rq_redirected_with_normalized_path",
            "envoy_http_downstream_rq_redirected_with_normalized_path",
            0,
        ),
        ("downstream_rq_non_relative_path", "envoy_http_downstream_rq_non_relative_path", 0),
    ];
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for ((details, status), count) in refused {
        let at = match &**details {
            "path_normalization_failed" if *status == 307 => Some(2),
            "path_normalization_failed" => Some(1),
            "absolute_path_rejected" => Some(3),
            "http.invalid_authority" | "low_version" => Some(0),
            details if details.starts_with("http1.") => Some(0),
            _ => None,
        };
        if let Some((.., total)) = at.and_then(|at| envoys.get_mut(at)) {
            *total += count;
        }
        if *status != 307 {
            *reasons.entry(details.rsplit('.').next().unwrap_or_default()).or_default() += count;
        }
    }
    for (stat, family, count) in envoys {
        let own = label("http_conn_manager_prefix", prefix);
        all.push(Sample::counter(format!("http.{prefix}.{stat}"), family, own, count));
    }
    for (why, count) in reasons {
        let labels = labels(("reason", why), ("http_conn_manager_prefix", prefix));
        let name = format!("http.{prefix}.downstream_rq_refused.{why}");
        all.push(Sample::counter(name, "mesh_http_downstream_rq_refused", labels, count));
    }
}

/// Prometheus text format; families sorted, each with its `# TYPE`.
pub fn prometheus(samples: &[Sample]) -> String {
    let mut families: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.family).or_default().push(sample);
    }
    let mut out = String::with_capacity(samples.len() * 200);
    for (family, samples) in families {
        let kind = match samples.first().map(|sample| &sample.value) {
            Some(SampleValue::Counter(_)) => "counter",
            Some(SampleValue::Gauge(_)) | None => "gauge",
            Some(SampleValue::Histogram(_)) => "histogram",
        };
        writeln!(out, "# TYPE {family} {kind}").expect(STRING);
        for sample in samples {
            match &sample.value {
                SampleValue::Counter(value) | SampleValue::Gauge(value) => {
                    writeln!(out, "{family}{{{}}} {value}", sample.labels).expect(STRING);
                }
                SampleValue::Histogram(snapshot) => histogram(&mut out, family, &sample.labels, snapshot),
            }
        }
    }
    out
}

fn histogram(out: &mut String, family: &str, labels: &str, snapshot: &Snapshot) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    for (at, count) in snapshot.counts.iter().enumerate() {
        total += count;
        let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        writeln!(out, "{family}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}").expect(STRING);
    }
    writeln!(out, "{family}_sum{{{labels}}} {}", snapshot.sum).expect(STRING);
    writeln!(out, "{family}_count{{{labels}}} {total}").expect(STRING);
}

/// Envoy's `/stats`: `name: value`, sorted; `filter` is a regular expression on names.
pub fn text(samples: &[Sample], filter: Option<&regex::Regex>) -> String {
    let mut lines: Vec<String> = wanted(samples, filter)
        .map(|sample| match &sample.value {
            SampleValue::Counter(value) | SampleValue::Gauge(value) => format!("{}: {value}", sample.name),
            SampleValue::Histogram(snapshot) if snapshot.total() == 0 => {
                format!("{}: No recorded values", sample.name)
            }
            SampleValue::Histogram(snapshot) => {
                format!("{}: count {} sum {}", sample.name, snapshot.total(), snapshot.sum)
            }
        })
        .collect();
    lines.sort();
    lines.push(String::new());
    lines.join("\n")
}

/// Envoy's `/stats?format=json`.
pub fn json(samples: &[Sample], filter: Option<&regex::Regex>) -> Json {
    let stats: Vec<Json> = wanted(samples, filter)
        .map(|sample| match &sample.value {
            SampleValue::Counter(value) | SampleValue::Gauge(value) => {
                json!({"name": sample.name, "value": value})
            }
            SampleValue::Histogram(snapshot) => {
                json!({"name": sample.name, "count": snapshot.total(), "sum": snapshot.sum})
            }
        })
        .collect();
    json!({ "stats": stats })
}

fn wanted<'a>(samples: &'a [Sample], filter: Option<&'a regex::Regex>) -> impl Iterator<Item = &'a Sample> {
    samples.iter().filter(move |sample| filter.is_none_or(|filter| filter.is_match(&sample.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::series::Registry;

    #[test]
    fn prometheus_text() {
        let registry = Registry::default();
        let store = registry.store();
        let series = store.request("reporter=\"source\",request_protocol=\"http\"");
        series.requests.add(3);
        series.duration.record(7);
        store.cluster("outbound|80||a").code(503).add(2);
        let text = prometheus(&samples(&registry.totals()));
        for line in [
            "# TYPE istio_requests_total counter",
            "istio_requests_total{reporter=\"source\",request_protocol=\"http\"} 3",
            "# TYPE istio_request_duration_milliseconds histogram",
            "istio_request_duration_milliseconds_bucket{reporter=\"source\",request_protocol=\"http\",le=\"5\"} 0",
            "istio_request_duration_milliseconds_bucket{reporter=\"source\",request_protocol=\"http\",le=\"10\"} 1",
            "istio_request_duration_milliseconds_bucket{reporter=\"source\",request_protocol=\"http\",le=\"+Inf\"} 1",
            "istio_request_duration_milliseconds_sum{reporter=\"source\",request_protocol=\"http\"} 7",
            "envoy_cluster_upstream_rq{response_code=\"503\",cluster_name=\"outbound|80||a\"} 2",
            "envoy_cluster_upstream_rq{response_code_class=\"5xx\",cluster_name=\"outbound|80||a\"} 2",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\nin\n{text}");
        }
        assert!(!text.contains("messages_total"));
    }

    #[test]
    fn text_and_json_by_filter() {
        let all = [
            Sample::counter("cluster.a.upstream_rq_total", "f", String::new(), 1),
            Sample::gauge("server.live", "g", String::new(), 1),
        ];
        let filter = regex::Regex::new("^cluster").unwrap();
        assert_eq!(text(&all, Some(&filter)), "cluster.a.upstream_rq_total: 1\n");
        assert_eq!(json(&all, None)["stats"][1]["name"], "server.live");
    }
}
