//! `/debug/decide`: what would happen to a request, and why.
//!
//! In: `route=` (or `listener=`), `method`, `host`, `path`, `scheme`, and `header=Name: value` as often as needed. Out:
//! the decision of the same pure function that the data path runs, with the rules that were tried.

use std::net::SocketAddr;
use std::sync::Arc;

use base::admin::{Request, Response, Routes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::pages::{pretty, reading};
use crate::config::{App, Config, HttpChain, Listener};
use crate::dice::Dice;
use crate::observe::Conn;
use crate::process::Process;
use crate::router::{Decision, Head, explain};

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    let help =
        "what would happen to a request: ?route=NAME&host=HOST&path=PATH&method=GET&header=Name: value";
    routes.get(
        "/debug/decide",
        help,
        reading(process, |process, request| match decide(process, request) {
            Ok(value) => pretty(&value),
            Err(error) => Response::status(StatusCode::BAD_REQUEST, format!("{error}\n")),
        }),
    )
}

fn decide(process: &Process, request: &Request) -> Result<Value, String> {
    let config = process.config.load();
    let (listener, chain) = chain(&config, request)?;
    let method = request.param("method").unwrap_or("GET");
    let method: Method = method.parse().map_err(|_| format!("method {method:?} is none"))?;
    let mut headers = HeaderMap::new();
    for (_, line) in request.query.iter().filter(|(key, _)| key == "header") {
        let (name, value) =
            line.split_once(':').ok_or_else(|| format!("header {line:?}: expected Name: value"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| format!("header name {name:?}"))?;
        let value: HeaderValue = value.trim().parse().map_err(|_| format!("header value {value:?}"))?;
        headers.append(name, value);
    }
    let head = Head {
        method: &method,
        scheme: request.param("scheme").unwrap_or("http"),
        authority: request.param("host").ok_or("host= is missing")?,
        path: request.param("path").unwrap_or("/"),
        headers: &headers,
    };
    let told = explain(&config, &chain, &conn(&listener), &head, &mut Dice::random());
    let tried: Vec<Value> = told
        .tried
        .iter()
        .map(|tried| json!({ "rule": *tried.rule.name, "index": tried.index, "matched": tried.matched, "why": tried.failed }))
        .collect();
    Ok(json!({
        "route": *told.table,
        "virtual_host": told.host.as_ref().map(|(name, _)| name.to_string()),
        "decision": decision(&told.decision),
        "config": told.config.as_deref(),
        "origin": told.origin.as_deref(),
        "tried": tried,
    }))
}

fn decision(decision: &Decision) -> Value {
    match decision {
        Decision::Forward(to) => {
            json!({ "forward": *to.cluster.name, "rule": *to.rule.name, "split": to.split })
        }
        Decision::Redirect { location, status, rule, .. } => json!({
            "redirect": location,
            "status": status.as_u16(),
            "rule": rule.as_ref().map(|rule| rule.name.to_string()),
        }),
        Decision::Respond { status, rule, .. } => json!({ "respond": status.as_u16(), "rule": *rule.name }),
        Decision::Fail { failure, missing, .. } => json!({
            "fail": format!("{failure:?}"),
            "status": failure.row().status,
            "flag": failure.row().flag,
            "missing": missing.as_deref(),
        }),
    }
}

/// The HTTP chain by the name of its routes, or the first of a listener.
fn chain(config: &Config, request: &Request) -> Result<(Arc<Listener>, Arc<HttpChain>), String> {
    let (route, name) = (request.param("route"), request.param("listener"));
    if route.is_none() && name.is_none() {
        return Err("route= or listener= is missing".into());
    }
    for listener in config.listeners.values().filter(|l| name.is_none_or(|name| *l.name == *name)) {
        for chain in listener.chains.iter().chain(&listener.default_chain) {
            if let App::Http(http) = &chain.app
                && route.is_none_or(|route| *http.route_name == *route)
            {
                return Ok((listener.clone(), http.clone()));
            }
        }
    }
    Err(format!(
        "no HTTP chain with route {:?} and listener {:?}",
        route.unwrap_or("any"),
        name.unwrap_or("any")
    ))
}

/// A connection as this question imagines it.
fn conn(listener: &Listener) -> Conn {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Conn {
        id: 0,
        peer: nowhere,
        local: listener.addresses.first().copied().unwrap_or(nowhere),
        direction: listener.direction,
        listener: listener.name.clone(),
        borrowed: None,
        tls: None,
        server_name: None,
        tcp_peer: parking_lot::Mutex::new(None),
        started: std::time::Instant::now(),
    }
}
