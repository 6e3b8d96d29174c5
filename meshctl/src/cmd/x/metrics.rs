//! `meshctl x metrics`: rates and latencies of workloads, asked of the mesh's Prometheus.
//!
//! In: names of workloads, a time. Out: the table. The numbers are those of the proxies in front of the workloads
//! (`reporter="destination"`).

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::client::{Asked, Mesh, Method, Pod};
use crate::cmd::printed::{BadUsage, Printed};
use crate::globals::{Globals, Short};
use crate::render::Table;

const PORT: u16 = 9090;
const LABELS: [(&str, &str); 2] = [("app.kubernetes.io/name", "prometheus"), ("app", "prometheus")];

/// Show rates and latencies of workloads
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  meshctl x metrics productpage-v1 reviews-v1.default -d 5m")]
pub(super) struct Metrics {
    /// WORKLOAD[.NAMESPACE]
    #[arg(required = true, value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// The time that rates are taken over
    #[arg(short, long, value_name = "DURATION", default_value = "1m", hide_default_value = true)]
    duration: api::Duration,
    #[command(flatten)]
    flags: Short,
}

pub(super) fn run(args: &Metrics, globals: &Globals) -> Result<Printed> {
    let seconds = args.duration.to_std().as_secs();
    if seconds == 0 {
        bail!(BadUsage("--duration is at least a second".into()));
    }
    let mesh = Mesh::find(&globals.with(&args.flags))?;
    let prometheus = prometheus(&mesh)?;
    let mut table =
        Table::wide(&["WORKLOAD", "TOTAL RPS", "ERROR RPS", "P50 LATENCY", "P90 LATENCY", "P99 LATENCY"]);
    for word in &args.workloads {
        let (name, namespace) = word.split_once('.').unwrap_or((word, mesh.namespace()));
        let of = format!(
            "destination_workload=\"{name}\",destination_workload_namespace=\"{namespace}\",reporter=\"destination\""
        );
        let rate = |more: &str| format!("sum(rate(istio_requests_total{{{of}{more}}}[{seconds}s]))");
        let quantile = |part: &str| {
            format!(
                "histogram_quantile({part}, sum(rate(istio_request_duration_milliseconds_bucket{{{of}}}[{seconds}s])) by (le))"
            )
        };
        let ask = |query: String| value(&mesh, &prometheus, &query);
        let latency =
            |part: &str| anyhow::Ok(ask(quantile(part))?.map_or("-".to_owned(), |ms| format!("{ms:.0}ms")));
        table.row([
            word.clone(),
            format!("{:.3}", ask(rate(""))?.unwrap_or_default()),
            format!("{:.3}", ask(rate(",response_code=~\"[45]..\""))?.unwrap_or_default()),
            latency("0.5")?,
            latency("0.9")?,
            latency("0.99")?,
        ]);
    }
    Ok(Printed::out(table.to_string()))
}

fn prometheus(mesh: &Mesh) -> Result<Pod> {
    let labels = LABELS.map(|(key, value)| [(key.to_owned(), value.to_owned())]);
    let mut pods = mesh.pods(Some(mesh.system()))?;
    pods.retain(|pod| labels.iter().any(|one| pod.has(one)));
    pods.sort_by_key(|pod| (pod.ending, !pod.ready));
    pods.into_iter().next().with_context(|| {
        format!("no Prometheus pod is in namespace {} (label {}={})", mesh.system(), LABELS[0].0, LABELS[0].1)
    })
}

/// The one value that a query gives; none where nothing was measured.
fn value(mesh: &Mesh, prometheus: &Pod, query: &str) -> Result<Option<f64>> {
    let path = format!("/api/v1/query?query={}", encoded(query));
    let page = mesh.page(prometheus, PORT, Asked { method: Method::Get, path: &path, body: "" });
    read(&page.with_context(|| format!("Prometheus ({})", prometheus.full()))?)
}

fn read(page: &str) -> Result<Option<f64>> {
    let page: Value =
        serde_json::from_str(page).context("Prometheus answers with something else than JSON")?;
    if page["status"] != "success" {
        bail!("Prometheus refuses the query: {}", page["error"].as_str().unwrap_or_default());
    }
    let number = page["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
    Ok(number.filter(|number| number.is_finite()))
}

/// For a query string.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let page = |value: &str| {
            format!(r#"{{"status": "success", "data": {{"result": [{{"value": [1, "{value}"]}}]}}}}"#)
        };
        assert_eq!(read(&page("1.5")).unwrap(), Some(1.5));
        assert_eq!(read(&page("NaN")).unwrap(), None);
        assert_eq!(read(r#"{"status": "success", "data": {"result": []}}"#).unwrap(), None);
        assert!(read(r#"{"status": "error", "error": "parse"}"#).unwrap_err().to_string().contains("parse"));
        assert_eq!(encoded("a{b=\"c d\"}"), "a%7Bb%3D%22c%20d%22%7D");
    }
}
