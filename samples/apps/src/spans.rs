//! Span collector: takes Zipkin v2 JSON (`POST /api/v2/spans`) and prints one span a line; `GET /api/v2/traces` gives
//! them back by trace. What tracing tasks and tests send spans to where no Zipkin is at hand.

use crate::net::{self, App, Call, Listen, Reply, ended, serve};
use clap::Args;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Spans that are kept; older ones go.
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

/// The service.
#[derive(Default)]
pub struct Spans {
    kept: Mutex<Vec<Value>>,
}

impl Spans {
    fn take(&self, body: &[u8]) -> Reply {
        let Ok(spans) = serde_json::from_slice::<Vec<Value>>(body) else {
            return net::text(StatusCode::BAD_REQUEST, "a list of spans in JSON is expected\n");
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for span in spans {
            println!("{span}");
            kept.push(span);
        }
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
        net::empty(StatusCode::ACCEPTED)
    }

    fn traces(&self) -> Reply {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut traces: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for span in kept.iter() {
            traces.entry(span["traceId"].as_str().unwrap_or_default()).or_default().push(span);
        }
        net::json(StatusCode::OK, &traces.into_values().collect::<Vec<_>>())
    }
}

impl App for Spans {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        match (call.request.method(), call.request.uri().path()) {
            (&Method::POST, "/api/v2/spans") => match call.request.into_body().collect().await {
                Ok(body) => self.take(&body.to_bytes()),
                Err(_) => net::empty(StatusCode::BAD_REQUEST),
            },
            (&Method::GET, "/api/v2/traces") => self.traces(),
            (&Method::GET, "/health") => net::text(StatusCode::OK, "UP\n"),
            _ => net::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

/// Serves until the process is asked to end.
pub async fn run(args: SpansArgs) -> anyhow::Result<()> {
    let listener = args.listen.on(args.port).await?;
    serve(listener, Spans::default(), ended()).await
}
