//! Metrics of the proxy and of the application on one page.
//!
//! In: `ISTIO_PROMETHEUS_ANNOTATIONS` (`{"scrape":"true","port":"9090","path":"/metrics"}`, the port may be a list of
//! `port:path`). Out: the agent's numbers, the proxy's, then the application's as they came. An application that does
//! not answer costs its own part only, and is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::admin::{Request, Response};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::agent_metrics;
use super::probe::fetch;
use crate::admin::stats;
use crate::observe;
use crate::process::Process;
use crate::upstream::TcpDialer;

/// Longer answers are cut off, as Istio's.
const LIMIT: usize = 10 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Knows whom to ask.
#[derive(Clone)]
pub(super) struct Merge {
    process: Arc<Process>,
    targets: Arc<Vec<(u16, String)>>,
    dialer: TcpDialer,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    scrapes: AtomicU64,
    failures: AtomicU64,
}

impl Merge {
    pub(super) fn new(process: Arc<Process>, annotations: Option<&Value>, dialer: TcpDialer) -> Self {
        let targets = annotations.map(targets).unwrap_or_default();
        Merge { process, targets: Arc::new(targets), dialer, counts: Arc::default() }
    }

    pub(super) async fn answer(self, request: Request) -> Response {
        self.counts.scrapes.fetch_add(1, Ordering::Relaxed);
        let accept = request.headers.get(http::header::ACCEPT).cloned();
        let mut applications = String::new();
        for (port, path) in self.targets.iter() {
            match self.scrape(*port, path, accept.clone()).await {
                Ok(text) => applications.push_str(&text),
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(port, path, error, "the application's metrics are missing");
                }
            }
            if !applications.is_empty() && !applications.ends_with('\n') {
                applications.push('\n');
            }
        }
        let (scrapes, failures) =
            (self.counts.scrapes.load(Ordering::Relaxed), self.counts.failures.load(Ordering::Relaxed));
        let own = format!(
            "# TYPE istio_agent_scrapes_total counter\nistio_agent_scrapes_total {scrapes}\n\
             # TYPE istio_agent_scrape_failures_total counter\n\
             istio_agent_scrape_failures_total{{type=\"application\"}} {failures}\n"
        );
        let proxy = observe::prometheus(&stats::samples(&self.process));
        let text = [agent_metrics(&self.process), own, proxy, applications].concat();
        Response::new(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
    }

    async fn scrape(&self, port: u16, path: &str, accept: Option<HeaderValue>) -> Result<String, String> {
        let mut request = http::Request::get(path);
        // OpenMetrics ends with a mark that may not stand in the middle of a page.
        let plain = HeaderValue::from_static("text/plain; version=0.0.4");
        let accept = accept
            .filter(|value| !value.as_bytes().windows(11).any(|part| part == b"openmetrics"))
            .unwrap_or(plain);
        request = request.header(http::header::ACCEPT, accept);
        let answer = fetch(self.dialer, port, request, TIMEOUT, LIMIT).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("status {}", answer.status()));
        }
        String::from_utf8(answer.into_body().to_vec()).map_err(|_| "no text".into())
    }
}

/// Ports and paths to ask.
fn targets(annotations: &Value) -> Vec<(u16, String)> {
    let text = |key: &str| annotations.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("scrape") != "true" && annotations.get("scrape") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let default = if text("path").is_empty() { "/metrics" } else { text("path") };
    let port = if text("port").is_empty() { "80" } else { text("port") };
    let one = |target: &str| {
        let (port, path) = target.trim().split_once(':').unwrap_or((target.trim(), default));
        Some((port.parse().ok()?, path.to_owned()))
    };
    port.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_is_asked() {
        let one = targets(&json!({"scrape": "true", "port": "9090", "path": "/m"}));
        assert_eq!(one, [(9090, "/m".to_owned())]);
        let two = targets(&json!({"scrape": "true", "port": "9090:/a,9091"}));
        assert_eq!(two, [(9090, "/a".to_owned()), (9091, "/metrics".to_owned())]);
        assert!(targets(&json!({"scrape": "false", "port": "9090"})).is_empty());
    }
}
