//! Every page of the admin port, and the port itself.
//!
//! In: the process. Out: answers; who may ask is whoever reaches loopback. Called by `app`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use base::admin::{Request, Response, Routes};
use base::drain::Watch;
use http::StatusCode;

use crate::listen::tokio_listener;
use crate::process::Process;
use crate::settings::Source;

/// Opens the port and serves until the drain. `configured` is the address of a bootstrap file.
pub async fn start(
    process: &Arc<Process>,
    configured: Option<SocketAddr>,
    drain: &Watch,
) -> anyhow::Result<()> {
    let address = match &process.settings.source {
        Source::Bootstrap(_) => configured,
        Source::Agent(agent) => Some(agent.ports.admin),
    };
    let Some(address) = address else { return Ok(()) };
    let listener = tokio_listener(address).with_context(|| format!("admin port {address}"))?;
    let local = listener.local_addr()?;
    if let Some(path) = &process.settings.admin_address_path {
        std::fs::write(path, local.to_string()).with_context(|| path.display().to_string())?;
    }
    tracing::info!(address = %local, "admin port");
    let routes = Arc::new(routes(process));
    base::task::spawn("admin", base::admin::serve(listener, routes, drain.clone()));
    Ok(())
}

/// Everything that the port answers.
pub fn routes(process: &Arc<Process>) -> Routes {
    let routes = super::dump::routes(Routes::new(), process);
    let routes = super::clusters::routes(routes, process);
    let routes = super::listeners::routes(routes, process);
    let routes = super::stats::routes(routes, process);
    let routes = super::server::routes(routes, process);
    let routes = super::logging::routes(routes, process);
    let routes = super::decide::routes(routes, process);
    let help = |routes: &Routes| {
        let lines: Vec<String> =
            routes.index().iter().map(|(path, help)| format!("  {path}: {help}")).collect();
        format!("admin commands are:\n{}\n", lines.join("\n"))
    };
    let text = help(&routes);
    let page = html(&routes);
    routes
        .get("/help", "print out list of admin commands", move |_| {
            let text = text.clone();
            async move { Response::text(text) }
        })
        .get("/", "admin home page", move |_| {
            let page = page.clone();
            async move { Response::html(page) }
        })
}

fn html(routes: &Routes) -> String {
    let row = |(path, help): &(String, &str)| {
        format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{help}</td></tr>")
    };
    let rows: String = routes.index().iter().map(row).collect();
    format!("<!doctype html><title>proxy admin</title><h1>proxy admin</h1><table>{rows}</table>")
}

/// A handler that only reads the process.
pub(super) fn reading<F>(
    process: &Arc<Process>,
    answer: F,
) -> impl Fn(Request) -> std::future::Ready<Response> + Send + Sync + 'static
where
    F: Fn(&Process, &Request) -> Response + Send + Sync + 'static,
{
    let process = process.clone();
    move |request| std::future::ready(answer(&process, &request))
}

/// JSON as people read it.
pub(super) fn pretty(value: &serde_json::Value) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => Response::json(text),
        Err(error) => Response::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
