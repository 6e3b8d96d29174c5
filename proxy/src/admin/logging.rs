//! `/logging`: the log levels, shown and changed.
//!
//! In: `level=` for all scopes, `paths=scope:level,...` or `scope=level` for some. Out: the levels in force, in
//! Envoy's form.

use std::sync::Arc;

use base::admin::{Request, Response, Routes};
use base::telemetry::Levels;
use http::StatusCode;

use super::pages::reading;
use crate::process::Process;

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes.post("/logging", "query/change logging levels", reading(process, answer))
}

fn answer(process: &Process, request: &Request) -> Response {
    let Some(levels) = &process.levels else {
        return Response::status(StatusCode::SERVICE_UNAVAILABLE, "logging is not set up by this program\n");
    };
    match change(levels, request) {
        Ok(()) => {
            let lines = levels.list().into_iter().map(|(scope, level)| {
                // Envoy's word for it.
                let level = if level == "warn" { "warning" } else { level };
                format!("  {scope}: {level}\n")
            });
            Response::text(format!("active loggers:\n{}", lines.collect::<String>()))
        }
        Err(error) => Response::status(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn change(levels: &Levels, request: &Request) -> Result<(), String> {
    for (key, value) in &request.query {
        match key.as_str() {
            "level" => levels.set("all", value)?,
            "paths" => {
                for pair in value.split(',').filter(|pair| !pair.is_empty()) {
                    let (scope, level) =
                        pair.split_once(':').ok_or_else(|| format!("{pair:?}: expected scope:level"))?;
                    levels.set(scope, level)?;
                }
            }
            // A component of Envoy that is no scope of ours: it has nothing to say at any level.
            scope => levels.set(scope, value)?,
        }
    }
    Ok(())
}
