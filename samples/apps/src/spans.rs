//! A collector of Zipkin spans: `POST /api/v2/spans` takes them, every span is a line of JSON on standard output,
//! and `GET /api/v2/traces`, `/api/v2/trace/ID`, `/api/v2/services` give them back. Stands where Zipkin stands in
//! the tracing tasks. It keeps the last 10000 spans, in memory.

use crate::net::{self, App, Call, Listen, Reply, ended, json, read_all, serve};
use clap::Args;
use http::{Method, StatusCode};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Spans that are kept.
const KEPT: usize = 10_000;

/// Flags of `spans`.
#[derive(Args)]
pub struct SpansArgs {
    /// TCP port to listen on
    #[arg(default_value_t = 9411)]
    port: u16,
    #[command(flatten)]
    listen: Listen,
}

/// The collector.
#[derive(Default)]
pub struct Spans {
    kept: Mutex<VecDeque<Value>>,
    /// Whether spans are written to standard output.
    pub write: bool,
}

impl Spans {
    fn take(&self, spans: Vec<Value>) {
        if self.write {
            let lines: String = spans.iter().map(|span| format!("{span}\n")).collect();
            // A closed standard output does not stop the collecting.
            drop(std::io::stdout().lock().write_all(lines.as_bytes()));
        }
        let mut kept = self.kept.lock().expect("no panic holds it");
        kept.extend(spans);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }

    /// All kept spans by trace, the newest trace first.
    fn traces(&self) -> Vec<Vec<Value>> {
        let mut traces = BTreeMap::<String, Vec<Value>>::new();
        let kept = self.kept.lock().expect("no panic holds it");
        for span in &*kept {
            traces.entry(word(&span["traceId"])).or_default().push(span.clone());
        }
        let mut traces: Vec<_> = traces.into_values().collect();
        traces.sort_by_key(|spans| {
            std::cmp::Reverse(spans.iter().filter_map(|s| s["timestamp"].as_u64()).min())
        });
        traces
    }

    fn services(&self) -> BTreeSet<String> {
        let kept = self.kept.lock().expect("no panic holds it");
        kept.iter()
            .map(|span| word(&span["localEndpoint"]["serviceName"]))
            .filter(|name| !name.is_empty())
            .collect()
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl App for Spans {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.request.uri().path().to_owned();
        match (call.request.method(), path.trim_start_matches("/zipkin")) {
            (&Method::POST, "/api/v2/spans") => {
                let body = read_all(call.request.into_body()).await.unwrap_or_default();
                match serde_json::from_slice(&body) {
                    Ok(spans) => {
                        self.take(spans);
                        net::empty(StatusCode::ACCEPTED)
                    }
                    Err(cause) => {
                        net::text(StatusCode::BAD_REQUEST, format!("not a list of spans: {cause}\n"))
                    }
                }
            }
            (&Method::GET, "/api/v2/traces") => json(StatusCode::OK, &self.traces()),
            (&Method::GET, "/api/v2/services") => json(StatusCode::OK, &self.services()),
            (&Method::GET, "/health") => json(StatusCode::OK, &serde_json::json!({"status": "UP"})),
            (&Method::GET, rest) => {
                let id = rest.strip_prefix("/api/v2/trace/").unwrap_or_default();
                let all = self.traces();
                match all.into_iter().find(|spans| word(&spans[0]["traceId"]) == id) {
                    Some(trace) => json(StatusCode::OK, &trace),
                    None => net::text(StatusCode::NOT_FOUND, "not found\n"),
                }
            }
            _ => net::empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// Serves until the process is asked to end.
pub async fn run(args: SpansArgs) -> anyhow::Result<()> {
    let listener = args.listen.on(args.port).await?;
    serve(listener, Spans { write: true, ..Spans::default() }, ended()).await
}
