//! `/server_info`, `/ready`, `/memory`, and the ways to end: `/quitquitquit`, `/drain_listeners`.
//!
//! In: the running process. Out: Envoy's answers. The switches are POST only, as Envoy's.

use std::sync::Arc;
use std::time::SystemTime;

use base::admin::{Request, Response, Routes};
use http::StatusCode;
use serde_json::{Value, json};
use wire::reflect::{Style, message_to_json};

use super::pages::{pretty, reading};
use crate::process::Process;
use crate::settings::VERSION;

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes
        .get(
            "/server_info",
            "print server version/status information",
            reading(process, |process, _| pretty(&server_info(process))),
        )
        .get(
            "/ready",
            "print server state, return 200 if LIVE, otherwise return 503",
            reading(process, |process, _| match process.ready() {
                Ok(()) => Response::text("LIVE\n"),
                Err(state) => Response::status(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("{}: {state}\n", state_of(process)),
                ),
            }),
        )
        .get("/memory", "print current allocation/heap usage", reading(process, |_, _| pretty(&memory())))
        .post(
            "/quitquitquit",
            "exit the server",
            reading(process, |process, _| {
                process.ending.quit();
                Response::text("OK\n")
            }),
        )
        .post("/drain_listeners", "drain listeners", reading(process, drain))
        .post(
            "/healthcheck/fail",
            "cause the server to fail health checks",
            reading(process, |process, _| {
                process.ending.drain();
                Response::text("OK\n")
            }),
        )
        .post(
            "/reopen_logs",
            "reopen access logs",
            reading(process, |process, _| {
                process.sinks.finish();
                Response::text("OK\n")
            }),
        )
}

fn drain(process: &Process, request: &Request) -> Response {
    process.ending.drain();
    // Without `graceful` listening ends at once; with it, clients are sent away first.
    if request.param("graceful").is_none() {
        process.listeners.close();
    }
    Response::text("OK\n")
}

/// Envoy's word for where we are.
fn state_of(process: &Process) -> &'static str {
    if process.ending.has_begun() {
        "DRAINING"
    } else if process.ready().is_ok() {
        "LIVE"
    } else {
        "PRE_INITIALIZING"
    }
}

fn server_info(process: &Process) -> Value {
    let uptime = SystemTime::now().duration_since(process.started).unwrap_or_default();
    json!({
        "version": format!("mesh/{VERSION}/Clean/RELEASE/aws-lc"),
        "state": state_of(process),
        "hot_restart_version": "disabled",
        "uptime_current_epoch": format!("{}s", uptime.as_secs()),
        "uptime_all_epochs": format!("{}s", uptime.as_secs()),
        "command_line_options": {
            "concurrency": process.places.count(),
            "drain_time": format!("{}s", process.settings.drain.as_secs()),
            "mode": "Serve",
            "service_cluster": process.node.cluster,
            "service_node": process.node.id,
            "disable_hot_restart": true,
        },
        "node": message_to_json(&process.node, Style { proto_names: true, redact: true }),
    })
}

fn memory() -> Value {
    let bytes = crate::process::resident().to_string();
    json!({ "allocated": bytes, "heap_size": bytes, "total_physical_bytes": bytes })
}
