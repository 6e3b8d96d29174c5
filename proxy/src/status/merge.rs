//! Metrics of the proxy and of the application on one page.
//!
//! In: pages of the application (`ISTIO_PROMETHEUS_ANNOTATIONS`, read in `settings`). Out: the agent's numbers, the proxy's, then the application's as they came. An application that does
//! not answer costs its own part only, and is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::admin::{Request, Response};
use http::{HeaderValue, StatusCode};
use http_body_util::Full;

use super::agent_metrics;
use super::reach::{Reach, exchange};
use crate::admin::stats;
use crate::observe;
use crate::process::Process;
use crate::settings::Scrape;

/// Longer answers are cut off, as Istio's.
const LIMIT: usize = 10 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Knows whom to ask.
#[derive(Clone)]
pub(super) struct Merge {
    process: Arc<Process>,
    targets: Arc<Vec<Scrape>>,
    reach: Reach,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    scrapes: AtomicU64,
    failures: AtomicU64,
}

impl Merge {
    pub(super) fn new(process: Arc<Process>, targets: Vec<Scrape>, reach: Reach) -> Self {
        Merge { process, targets: Arc::new(targets), reach, counts: Arc::default() }
    }

    pub(super) async fn answer(self, request: Request) -> Response {
        self.counts.scrapes.fetch_add(1, Ordering::Relaxed);
        let accept = request.headers.get(http::header::ACCEPT).cloned();
        let mut applications = String::new();
        for target in self.targets.iter() {
            let scraped = tokio::time::timeout(TIMEOUT, self.scrape(target, accept.clone())).await;
            match scraped.unwrap_or_else(|_| Err("timeout".into())) {
                Ok(text) => applications.push_str(&text),
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(?target, error, "the application's metrics are missing");
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

    async fn scrape(&self, target: &Scrape, accept: Option<HeaderValue>) -> Result<String, String> {
        let path =
            if target.path.starts_with('/') { target.path.clone() } else { format!("/{}", target.path) };
        let mut request = http::Request::get(path);
        // OpenMetrics ends with a mark that may not stand in the middle of a page.
        let plain = HeaderValue::from_static("text/plain; version=0.0.4");
        let accept = accept
            .filter(|value| !value.as_bytes().windows(11).any(|part| part == b"openmetrics"))
            .unwrap_or(plain);
        request = request.header(http::header::ACCEPT, accept);
        let request = request.body(Full::default()).map_err(|e| e.to_string())?;
        let (stream, _) = self.reach.local(target.port).await?;
        let answer = exchange(stream, &format!("localhost:{}", target.port), request, LIMIT).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("status {}", answer.status()));
        }
        String::from_utf8(answer.into_body().to_vec()).map_err(|_| "no text".into())
    }
}
