//! The three status ports and their pages.
//!
//! In: the process. Out: answers to probes and scrapers. Called by `app`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use base::admin::{Request, Response, Routes};
use base::drain::Watch;
use http::StatusCode;
use serde_json::{Value, json};

use super::reach::Reach;
use crate::admin::stats;
use crate::listen::tokio_listener;
use crate::process::Process;
use crate::settings::{Agent, Source};
use crate::upstream::TcpDialer;

/// Opens the ports and serves until the drain.
pub(crate) async fn start(process: &Arc<Process>, dialer: TcpDialer, drain: &Watch) -> anyhow::Result<()> {
    let Source::Agent(agent) = &process.settings.source else { return Ok(()) };
    let ready = Routes::new().get("/healthz/ready", "readiness", ready(process));
    let own = {
        let process = process.clone();
        Routes::new().get("/stats/prometheus", "metrics of the proxy", move |_| {
            std::future::ready(stats::prometheus(&process))
        })
    };
    let ports = [
        ("status", agent.ports.status, status(process, agent, dialer)),
        ("readiness", agent.ports.ready, ready),
        ("prometheus", agent.ports.prometheus, own),
    ];
    for (name, port, routes) in ports {
        if port == 0 {
            continue;
        }
        let routes = Arc::new(routes);
        let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let listener = tokio_listener(four).with_context(|| format!("{name} port {port}"))?;
        base::task::spawn(name, base::admin::serve(listener, routes.clone(), drain.clone()));
        // A machine without IPv6 has no use for the other one.
        if let Ok(listener) = tokio_listener(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)) {
            base::task::spawn(name, base::admin::serve(listener, routes, drain.clone()));
        }
    }
    Ok(())
}

fn ready(process: &Arc<Process>) -> impl Fn(Request) -> std::future::Ready<Response> + Send + Sync + 'static {
    let process = process.clone();
    let last = AtomicBool::new(false);
    move |_| {
        let ready = process.ready();
        if last.swap(ready.is_ok(), Ordering::Relaxed) != ready.is_ok() {
            match &ready {
                Ok(()) => tracing::info!("ready"),
                Err(reason) => tracing::warn!(reason, "not ready any more"),
            }
        }
        std::future::ready(match ready {
            Ok(()) => Response::text(""),
            Err(reason) => Response::status(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        })
    }
}

/// Who ends a pod's proxy, or asks what it knows, is in that pod.
fn local(request: &Request, answer: impl FnOnce() -> Response) -> std::future::Ready<Response> {
    let near = request.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    std::future::ready(if near {
        answer()
    } else {
        Response::status(StatusCode::FORBIDDEN, "Only requests from localhost are allowed\n")
    })
}

fn status(process: &Arc<Process>, agent: &Agent, dialer: TcpDialer) -> Routes {
    let of = |answer: fn(&Process) -> Response| {
        let process = process.clone();
        move |request: Request| local(&request, || answer(&process))
    };
    let reach = Reach::new(dialer, agent.probed_at);
    let merged = super::merge::Merge::new(process.clone(), agent.scrapes.clone(), reach.clone());
    let again = merged.clone();
    let probes = super::probe::Probes::new(agent.probes.clone(), reach, agent.ports.status);
    let hooks = probes.clone();
    Routes::new()
        .get("/healthz/ready", "readiness", ready(process))
        .get("/stats/prometheus", "metrics of proxy and application", move |request| {
            merged.clone().answer(request)
        })
        .get("/metrics", "the same", move |request| again.clone().answer(request))
        .post(
            "/quitquitquit",
            "end the proxy",
            of(|process| {
                process.ending.quit();
                Response::text("OK")
            }),
        )
        .post(
            "/drain",
            "send clients away",
            of(|process| {
                process.ending.drain();
                Response::text("OK")
            }),
        )
        .get("/debug/ndsz", "names that are answered here", of(ndsz))
        .any("/app-health/*", "probes of the application", move |request| probes.clone().answer(request))
        .any("/app-lifecycle/*", "hooks of the application", move |request| hooks.clone().answer(request))
}

/// `istio_agent_*`
pub(crate) fn agent_metrics(process: &Process) -> String {
    let mut out = String::new();
    let mut put = |name: &str, kind: &str, labels: &str, value: String| {
        out.push_str(&format!("# TYPE istio_agent_{name} {kind}\nistio_agent_{name}{labels} {value}\n"));
    };
    if let Some(identity) = &process.identity {
        let health = identity.load();
        let own = "{resource_name=\"default\"}";
        if let Some(window) = health.window {
            let left = window.left(std::time::SystemTime::now());
            put("cert_expiry_seconds", "gauge", own, format!("{:.3}", left.as_secs_f64()));
        }
        let csr = "{request_type=\"csr\"}";
        put("num_outgoing_requests", "counter", csr, (health.obtained + health.failed).to_string());
        put("num_failed_outgoing_requests", "counter", csr, health.failed.to_string());
    }
    if let Some(session) = &process.session {
        let status = session.load();
        put("xds_proxy_responses", "counter", "", status.responses.to_string());
        put("istiod_connection_failures", "counter", "", status.failures.to_string());
        put("istiod_connection_terminations", "counter", "", status.terminations.to_string());
    }
    let dns = &process.dns;
    for (name, counter) in [
        ("dns_requests_total", &dns.requests),
        ("dns_upstream_requests_total", &dns.upstream_requests),
        ("dns_upstream_failures_total", &dns.upstream_failures),
    ] {
        put(name, "counter", "", counter.load(Ordering::Relaxed).to_string());
    }
    out + &base::usage::prometheus("istio_agent_")
}

fn ndsz(process: &Process) -> Response {
    let table = process.dns.table.lock().clone();
    let names: serde_json::Map<String, Value> = table
        .iter()
        .flat_map(|table| table.list())
        .map(|(name, ips)| {
            let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
            (name.to_owned(), json!({ "ips": ips }))
        })
        .collect();
    Response::json(json!({ "table": names }).to_string())
}
