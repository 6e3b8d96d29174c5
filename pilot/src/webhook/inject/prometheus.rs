//! Metrics of application and proxy at one address: the proxy's status port serves both, scrapers are sent there.
//!
//! In: a pod with `prometheus.io/*` annotations or none. Out: those of the proxy, and where the application's own metrics
//! are in the variable `ISTIO_PROMETHEUS_ANNOTATIONS` of the proxy. Called by `finish`.

use serde_json::{Value, json};

use super::pod::{annotation, annotations, list_mut, proxy, truth};

const SCRAPE: &[&str] = &["prometheus.io/scrape", "prometheus.io.scrape", "prometheus-io/scrape"];
const PORT: &[&str] = &["prometheus.io/port", "prometheus.io.port", "prometheus-io/port"];
const PATH: &[&str] = &["prometheus.io/path", "prometheus.io.path", "prometheus-io/path"];

/// Sends scrapers to the proxy. `wanted` is what the mesh's settings say.
pub(super) fn merge(pod: &mut Value, wanted: bool, status_port: &str) {
    let own = annotation(pod, "prometheus.istio.io/merge-metrics").and_then(truth);
    let any =
        |names: &[&str]| names.iter().find_map(|name| annotation(pod, name)).unwrap_or_default().to_owned();
    let (scrape, port, path) = (any(SCRAPE), any(PORT), any(PATH));
    // A port that is the proxy's already was put there by the user or by an earlier injection.
    if !own.unwrap_or(wanted) || truth(&scrape) == Some(false) || port == status_port {
        return;
    }
    if ![&scrape, &port, &path].iter().all(|text| text.is_empty())
        && let Some(proxy) = proxy(pod)
    {
        let told = json!({"scrape": scrape, "path": path, "port": port}).to_string();
        list_mut(proxy, "env").push(json!({"name": "ISTIO_PROMETHEUS_ANNOTATIONS", "value": told}));
    }
    clear(pod);
    let annotations = annotations(pod);
    for (name, value) in [(PORT[0], status_port), (PATH[0], "/stats/prometheus"), (SCRAPE[0], "true")] {
        annotations.insert(name.to_owned(), value.into());
    }
}

/// Removes the annotations in all their spellings.
pub(super) fn clear(pod: &mut Value) {
    annotations(pod)
        .retain(|name, _| ![SCRAPE, PORT, PATH].iter().any(|names| names.contains(&name.as_str())));
}
