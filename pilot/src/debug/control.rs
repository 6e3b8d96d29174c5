//! ControlZ: what an operator looks at and changes in a running pilot, on its own port of 127.0.0.1.
//!
//! In: requests, the log levels in force, the metrics. Out: pages under istiod's paths: an index, `/scopez/` and
//! `/scopej/` (log levels; PUT changes one), `/versionz`, `/argsz`, `/metricz`. Reached with `meshctl admin log` and
//! `meshctl dashboard controlz`, through a port-forward: nobody else can. The environment is not shown, it holds secrets.

use std::sync::Arc;

use base::admin::{Request, Response, Routes};
use base::metrics::Metrics;
use base::telemetry::Levels;
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// What each module speaks of.
const SCOPES: &[(&str, &str)] = &[
    ("app", "starting and ending"),
    ("audit", "who was given which certificate"),
    ("authority", "certificates: the authority and pilot's own"),
    ("ca", "the certificate authority's key and root"),
    ("cluster", "what pilot keeps in the cluster: Secrets, leases, status"),
    ("debug", "these pages"),
    ("default", "everything that has no level of its own"),
    ("model", "what the objects mean together"),
    ("push", "connected proxies and what they are sent"),
    ("serve", "certificate requests"),
    ("source", "where objects come from: files, or a cluster"),
    ("webhook", "injection and validation"),
    ("world", "the objects that are known"),
    ("writer", "changes and publications"),
    ("xds", "how it is said to proxies"),
];

/// The routes of the port.
pub fn control(levels: &Levels, metrics: &Metrics) -> Routes {
    let scopes = {
        let levels = levels.clone();
        move |request: Request| {
            let answer = scope_json(&levels, &request);
            async move { answer }
        }
    };
    let page = {
        let levels = levels.clone();
        move |_: Request| {
            let answer = scope_page(&levels);
            async move { answer }
        }
    };
    let metrics = metrics.clone();
    let shared = Arc::new(scopes);
    let (list, one) = (shared.clone(), shared);
    let (page, page_too) = (page.clone(), page);
    Routes::new()
        .get("/", "this list", |_| async { index() })
        .any("/scopej", "log levels as JSON", move |request| list(request))
        .any(
            "/scopej/*",
            "log levels as JSON; PUT {\"output_level\": \"debug\"} changes one",
            move |request| one(request),
        )
        .get("/scopez", "log levels", page)
        .get("/scopez/*", "log levels", page_too)
        .get("/versionz*", "version of this pilot", |_| async { version() })
        .get("/argsz*", "its arguments", |_| async { arguments() })
        .get("/metricz*", "its metrics as Prometheus text", move |_| {
            let text = metrics.render();
            async move { Response::text(text) }
        })
}

fn index() -> Response {
    let pages = ["scopez/", "versionz/", "argsz/", "metricz/"];
    let links: String = pages.iter().map(|page| format!("<li><a href=\"/{page}\">{page}</a></li>")).collect();
    Response::html(format!("<!doctype html><title>ControlZ</title><h1>pilot</h1><ul>{links}</ul>"))
}

fn about(scope: &str) -> &'static str {
    SCOPES.iter().find(|(name, _)| *name == scope).map_or("", |(_, about)| about)
}

fn shown(scope: &str, level: &str) -> Value {
    json!({
        "name": scope,
        "description": about(scope),
        "output_level": level,
        // Stack traces and callers are not part of log lines.
        "stack_trace_level": "none",
        "log_callers": false,
    })
}

/// Every scope: those that have spoken, and those that can.
fn scopes(levels: &Levels) -> std::collections::BTreeMap<String, &'static str> {
    let mut all = levels.list();
    let usual = all.get("default").copied().unwrap_or("info");
    for (name, _) in SCOPES {
        all.entry((*name).to_owned()).or_insert(usual);
    }
    all
}

fn scope_json(levels: &Levels, request: &Request) -> Response {
    let pretty =
        |value: &Value| Response::json(serde_json::to_string_pretty(value).unwrap_or_default() + "\n");
    let known = scopes(levels);
    let name = request.path.trim_start_matches("/scopej").trim_matches('/');
    if name.is_empty() {
        return pretty(&known.iter().map(|(name, level)| shown(name, level)).collect());
    }
    let Some(level) = known.get(name) else {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let text = format!("no scope is called {name}; there are {}\n", names.join(", "));
        return Response::status(StatusCode::NOT_FOUND, text);
    };
    match request.method {
        Method::GET | Method::HEAD => pretty(&shown(name, level)),
        Method::PUT => match change(levels, name, &request.body) {
            Ok(()) => Response::new(StatusCode::ACCEPTED, "text/plain", ""),
            Err(why) => Response::status(StatusCode::BAD_REQUEST, why + "\n"),
        },
        _ => Response::status(StatusCode::METHOD_NOT_ALLOWED, "GET shows a scope, PUT changes it\n"),
    }
}

fn change(levels: &Levels, name: &str, body: &[u8]) -> Result<(), String> {
    let wanted: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    if wanted["stack_trace_level"].as_str().is_some_and(|level| level != "none") {
        return Err("stack_trace_level: log lines have no stack traces".to_owned());
    }
    match wanted["output_level"].as_str() {
        Some(level) => {
            levels.set(name, level)?;
            tracing::info!(scope = name, level, "log level changed");
            Ok(())
        }
        None => Err("say {\"output_level\": \"debug\"}, or another level".to_owned()),
    }
}

fn scope_page(levels: &Levels) -> Response {
    let rows: String = scopes(levels)
        .iter()
        .map(|(name, level)| format!("<tr><td>{name}</td><td>{}</td><td>{level}</td></tr>", about(name)))
        .collect();
    Response::html(format!(
        "<!doctype html><title>log levels</title><table><tr><th>scope</th><th></th><th>level</th></tr>{rows}</table>\
         <p>meshctl admin log --level SCOPE:LEVEL changes one.</p>"
    ))
}

fn version() -> Response {
    Response::text(format!("{}\n", env!("CARGO_PKG_VERSION")))
}

fn arguments() -> Response {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    Response::text(words.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(routes: &Routes, method: Method, path: &str, body: &str) -> (u16, String) {
        let request = Request {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
            peer: None,
        };
        let answer = routes.answer(request).await;
        (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
    }

    #[tokio::test]
    async fn levels_are_shown_and_changed() {
        let levels = Levels::new("info", &["pilot"]).unwrap();
        let routes = control(&levels, &Metrics::new());
        let (status, all) = ask(&routes, Method::GET, "/scopej/", "").await;
        let all: Vec<Value> = serde_json::from_str(&all).unwrap();
        assert_eq!(status, 200);
        let push = all.iter().find(|one| one["name"] == "push").unwrap();
        assert_eq!((&push["output_level"], &push["stack_trace_level"]), (&json!("info"), &json!("none")));
        let body = r#"{"output_level": "debug"}"#;
        assert_eq!(ask(&routes, Method::PUT, "/scopej/push", body).await, (202, String::new()));
        assert_eq!(levels.list()["push"], "debug");
        assert_eq!(levels.list()["default"], "info");
        assert_eq!(ask(&routes, Method::PUT, "/scopej/push", r#"{"output_level": "loud"}"#).await.0, 400);
        assert_eq!(
            ask(
                &routes,
                Method::PUT,
                "/scopej/push",
                r#"{"output_level": "info", "stack_trace_level": "error"}"#
            )
            .await
            .0,
            400
        );
        let (status, text) = ask(&routes, Method::GET, "/scopej/nothing", "").await;
        assert!(status == 404 && text.contains("push"), "{text}");
    }
}
