//! `/clusters`: every cluster with its endpoints, as they are now.
//!
//! In: the Config in force. Out: Envoy's text, or `envoy.admin.v3.Clusters` as JSON.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use base::admin::{Request, Response, Routes};
use serde_json::{Value, json};

use super::pages::{pretty, reading};
use crate::config::{Cluster, Config, Endpoint, EndpointAddress};
use crate::observe::STRING;
use crate::process::Process;

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes.get("/clusters", "upstream cluster status", reading(process, answer))
}

fn answer(process: &Process, request: &Request) -> Response {
    let config = process.config.load();
    if request.param("format") == Some("json") {
        let all: Vec<Value> = sorted(&config).into_iter().map(|cluster| in_json(cluster)).collect();
        return pretty(&json!({ "cluster_statuses": all }));
    }
    let mut out = String::new();
    for cluster in sorted(&config) {
        in_text(cluster, &mut out);
    }
    Response::text(out)
}

/// The known clusters by name.
pub(super) fn sorted(config: &Config) -> Vec<&Arc<Cluster>> {
    let mut all: Vec<_> = config.clusters.iter().flatten().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Endpoints with their priority.
pub(super) fn endpoints(cluster: &Cluster) -> Vec<(usize, Arc<Endpoint>)> {
    let set = cluster.endpoints.load();
    let mut all = Vec::new();
    for (priority, groups) in set.priorities.iter().enumerate() {
        all.extend(
            groups.iter().flat_map(|group| &group.endpoints).map(|endpoint| (priority, endpoint.clone())),
        );
    }
    all
}

fn now(counter: &AtomicU32) -> u32 {
    counter.load(Ordering::Relaxed)
}

fn total(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn shown(address: &EndpointAddress) -> String {
    match address {
        EndpointAddress::Ip(address) => address.to_string(),
        EndpointAddress::Pipe(path) => path.to_string(),
    }
}

fn is_ejected(endpoint: &Endpoint) -> bool {
    endpoint.state.ejected_until.load(Ordering::Relaxed) > crate::worker::process_millis()
}

fn in_text(cluster: &Cluster, out: &mut String) {
    let name = &cluster.name;
    let limits = &cluster.limits;
    let mut line = |text: String| {
        writeln!(out, "{name}::{text}").expect(STRING);
    };
    line(format!("observability_name::{name}"));
    for (key, limit) in [
        ("max_connections", &limits.max_connections),
        ("max_pending_requests", &limits.max_pending),
        ("max_requests", &limits.max_requests),
        ("max_retries", &limits.max_retries),
    ] {
        line(format!("default_priority::{key}::{}", now(limit)));
    }
    for (priority, endpoint) in endpoints(cluster) {
        let address = shown(&endpoint.address);
        let state = &endpoint.state;
        let health = match (endpoint.healthy, is_ejected(&endpoint)) {
            (true, false) => "healthy",
            (true, true) => "/failed_outlier_check",
            (false, _) => "/failed_eds_health",
        };
        for (key, value) in [
            ("cx_active", u64::from(now(&state.connections))),
            ("cx_connect_fail", total(&state.connect_failures)),
            ("cx_total", total(&state.connections_total)),
            ("rq_active", u64::from(now(&state.active))),
            ("rq_error", total(&state.errors_total)),
            ("rq_success", total(&state.requests_total).saturating_sub(total(&state.errors_total))),
            ("rq_total", total(&state.requests_total)),
        ] {
            line(format!("{address}::{key}::{value}"));
        }
        line(format!("{address}::hostname::{}", endpoint.hostname));
        line(format!("{address}::health_flags::{health}"));
        line(format!("{address}::weight::{}", endpoint.weight));
        line(format!("{address}::locality::{}", endpoint.locality));
        line(format!("{address}::priority::{priority}"));
    }
}

fn in_json(cluster: &Cluster) -> Value {
    let hosts: Vec<Value> =
        endpoints(cluster).iter().map(|(priority, endpoint)| host(*priority, endpoint)).collect();
    let limits = &cluster.limits;
    json!({
        "name": *cluster.name,
        "observability_name": *cluster.name,
        "added_via_api": true,
        "circuit_breakers": { "thresholds": [{
            "max_connections": now(&limits.max_connections),
            "max_pending_requests": now(&limits.max_pending),
            "max_requests": now(&limits.max_requests),
            "max_retries": now(&limits.max_retries),
        }] },
        "host_statuses": hosts,
    })
}

fn host(priority: usize, endpoint: &Endpoint) -> Value {
    let state = &endpoint.state;
    let address = match &endpoint.address {
        EndpointAddress::Ip(address) => json!({ "socket_address": {
            "address": address.ip().to_string(), "port_value": address.port(),
        } }),
        EndpointAddress::Pipe(path) => json!({ "pipe": { "path": **path } }),
    };
    let counter = |name: &str, value: u64| json!({ "name": name, "value": value.to_string() });
    let gauge = |name: &str, value: u32| json!({ "type": "GAUGE", "name": name, "value": value.to_string() });
    let mut health = json!({ "eds_health_status": if endpoint.healthy { "HEALTHY" } else { "UNHEALTHY" } });
    if is_ejected(endpoint)
        && let Some(fields) = health.as_object_mut()
    {
        fields.insert("failed_outlier_check".into(), true.into());
    }
    let mut parts = endpoint.locality.split('/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let errors = total(&state.errors_total);
    json!({
        "address": address,
        "stats": [
            counter("cx_connect_fail", total(&state.connect_failures)),
            counter("cx_total", total(&state.connections_total)),
            counter("rq_error", errors),
            counter("rq_success", total(&state.requests_total).saturating_sub(errors)),
            counter("rq_total", total(&state.requests_total)),
            gauge("cx_active", now(&state.connections)),
            gauge("rq_active", now(&state.active)),
        ],
        "health_status": health,
        "weight": endpoint.weight,
        "priority": priority,
        "hostname": *endpoint.hostname,
        "locality": { "region": part(), "zone": part(), "sub_zone": part() },
    })
}
