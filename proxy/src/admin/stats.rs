//! `/stats` in its three forms, and `/reset_counters`.
//!
//! In: the workers' series, and what every other part counts. Out: text, JSON, Prometheus. The same samples are served
//! on 15090 and, merged with the application's, on 15020.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use base::admin::{Request, Response, Routes};
use http::StatusCode;

use super::clusters::{endpoints, sorted};
use super::overload;
use super::pages::{pretty, reading};
use crate::config::Config;
use crate::observe::{self, Sample, label, labels};
use crate::process::Process;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes
        .get("/stats", "print server stats", reading(process, stats))
        .get(
            "/stats/prometheus",
            "print server stats in prometheus format",
            reading(process, |process, _| prometheus(process)),
        )
        .post(
            "/reset_counters",
            "reset all counters to zero",
            reading(process, |process, _| {
                process.registry.reset();
                Response::text("OK\n")
            }),
        )
}

/// The Prometheus form.
pub(crate) fn prometheus(process: &Process) -> Response {
    Response::new(StatusCode::OK, TEXT, observe::prometheus(&samples(process)))
}

fn stats(process: &Process, request: &Request) -> Response {
    let filter = match request.param("filter").map(regex::Regex::new) {
        Some(Err(error)) => return Response::status(StatusCode::BAD_REQUEST, format!("filter: {error}\n")),
        Some(Ok(filter)) => Some(filter),
        None => None,
    };
    let mut samples = samples(process);
    if request.param("usedonly").is_some() {
        samples.retain(|sample| match &sample.value {
            observe::SampleValue::Counter(value) | observe::SampleValue::Gauge(value) => *value > 0,
            observe::SampleValue::Histogram(snapshot) => snapshot.total() > 0,
        });
    }
    match request.param("format") {
        Some("json") => pretty(&observe::json(&samples, filter.as_ref())),
        Some("prometheus") => {
            samples.retain(|sample| filter.as_ref().is_none_or(|filter| filter.is_match(&sample.name)));
            Response::new(StatusCode::OK, TEXT, observe::prometheus(&samples))
        }
        _ => Response::text(observe::text(&samples, filter.as_ref())),
    }
}

/// Every number of this proxy.
pub(crate) fn samples(process: &Process) -> Vec<Sample> {
    let mut all = observe::samples(&process.registry.totals());
    let config = process.config.load();
    of_clusters(&config, &mut all);
    of_listeners(process, &mut all);
    of_server(process, &config, &mut all);
    of_session(process, &mut all);
    overload::samples(process, &mut all);
    all
}

fn of_clusters(config: &Config, all: &mut Vec<Sample>) {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for cluster in sorted(config) {
        let name = &cluster.name;
        let mut sums = [0u64; 5];
        let mut members = (0u64, 0u64);
        for (_, endpoint) in endpoints(cluster) {
            let state = &endpoint.state;
            members = (members.0 + 1, members.1 + u64::from(endpoint.healthy));
            let values = [
                load(&state.connections_total),
                load(&state.connect_failures),
                u64::from(state.connections.load(Ordering::Relaxed)),
                u64::from(state.active.load(Ordering::Relaxed)),
                load(&state.errors_total),
            ];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
        let own = || label("cluster_name", name);
        let mut counter = |stat: &str, family: &'static str, value| {
            all.push(Sample::counter(format!("cluster.{name}.{stat}"), family, own(), value));
        };
        counter("upstream_cx_total", "envoy_cluster_upstream_cx_total", sums[0]);
        counter("upstream_cx_connect_fail", "envoy_cluster_upstream_cx_connect_fail", sums[1]);
        counter("upstream_rq_error", "envoy_cluster_upstream_rq_error", sums[4]);
        let limits = &cluster.limits;
        counter(
            "upstream_cx_overflow",
            "envoy_cluster_upstream_cx_overflow",
            load(&limits.overflow_connections),
        );
        counter(
            "upstream_rq_pending_overflow",
            "envoy_cluster_upstream_rq_pending_overflow",
            load(&limits.overflow_pending),
        );
        counter(
            "upstream_rq_retry_overflow",
            "envoy_cluster_upstream_rq_retry_overflow",
            load(&limits.overflow_retries),
        );
        counter(
            "outlier_detection.ejections_total",
            "envoy_cluster_outlier_detection_ejections_total",
            load(&cluster.outliers.ejections_total),
        );
        let mut gauge = |stat: &str, family: &'static str, value| {
            all.push(Sample::gauge(format!("cluster.{name}.{stat}"), family, own(), value));
        };
        gauge("upstream_cx_active", "envoy_cluster_upstream_cx_active", sums[2]);
        gauge("upstream_rq_active", "envoy_cluster_upstream_rq_active", sums[3]);
        gauge("membership_total", "envoy_cluster_membership_total", members.0);
        gauge("membership_healthy", "envoy_cluster_membership_healthy", members.1);
        gauge(
            "outlier_detection.ejections_active",
            "envoy_cluster_outlier_detection_ejections_active",
            u64::from(cluster.outliers.ejected.load(Ordering::Relaxed)),
        );
    }
}

fn of_listeners(process: &Process, all: &mut Vec<Sample>) {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for (name, stats) in process.listener_stats.list() {
        let own = || label("listener_address", &name);
        let mut counter = |stat: &str, family: &'static str, value| {
            all.push(Sample::counter(format!("listener.{name}.{stat}"), family, own(), value));
        };
        counter(
            "downstream_cx_total",
            "envoy_listener_downstream_cx_total",
            load(&stats.downstream_cx_total),
        );
        counter(
            "downstream_pre_cx_timeout",
            "envoy_listener_downstream_pre_cx_timeout",
            load(&stats.downstream_pre_cx_timeout),
        );
        counter(
            "no_filter_chain_match",
            "envoy_listener_no_filter_chain_match",
            load(&stats.no_filter_chain_match),
        );
        counter(
            "downstream_cx_overflow",
            "envoy_listener_downstream_cx_overflow",
            load(&stats.downstream_cx_overflow),
        );
        counter(
            "downstream_global_cx_overflow",
            "envoy_listener_downstream_global_cx_overflow",
            load(&stats.downstream_global_cx_overflow),
        );
        counter(
            "downstream_cx_overload_reject",
            "envoy_listener_downstream_cx_overload_reject",
            load(&stats.downstream_cx_overload_reject),
        );
        counter("ssl.handshake", "envoy_listener_ssl_handshake", load(&stats.ssl_handshake));
        counter(
            "ssl.connection_error",
            "envoy_listener_ssl_connection_error",
            load(&stats.ssl_connection_error),
        );
        let name = format!("listener.{name}.downstream_cx_active");
        let active = load(&stats.downstream_cx_active);
        all.push(Sample::gauge(name, "envoy_listener_downstream_cx_active", own(), active));
    }
}

fn of_server(process: &Process, config: &Config, all: &mut Vec<Sample>) {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let uptime = SystemTime::now().duration_since(process.started).unwrap_or_default().as_secs();
    let bound = process.listeners.list();
    let mut gauge = |name: &str, family: &'static str, value| {
        all.push(Sample::gauge(name, family, String::new(), value));
    };
    gauge("server.uptime", "envoy_server_uptime", uptime);
    gauge("server.live", "envoy_server_live", u64::from(process.ready().is_ok()));
    gauge("server.concurrency", "envoy_server_concurrency", count(process.places.count()));
    gauge("server.memory_allocated", "envoy_server_memory_allocated", crate::process::resident());
    gauge("server.total_connections", "envoy_server_total_connections", count(process.places.active()));
    gauge("server.tasks", "mesh_server_tasks", count(base::task::live()));
    gauge(
        "cluster_manager.active_clusters",
        "envoy_cluster_manager_active_clusters",
        count(config.clusters.iter().flatten().count()),
    );
    gauge(
        "listener_manager.total_listeners_active",
        "envoy_listener_manager_total_listeners_active",
        count(config.listeners.len()),
    );
    gauge("config.generation", "mesh_config_generation", config.generation);
    let failed = bound.iter().filter(|(_, bound)| bound.error.is_some()).count();
    gauge(
        "listener_manager.listener_create_failure",
        "envoy_listener_manager_listener_create_failure",
        count(failed),
    );
    let version = if process.own.version.is_empty() { "unknown" } else { &process.own.version };
    let labels = labels(("component", "proxy"), ("tag", version));
    all.push(Sample::gauge(format!("istiocustom.istio_build.{labels}"), "istio_build", labels, 1));
    let dropped = process.sinks.dropped();
    let name = "access_log_file.write_failed";
    all.push(Sample::counter(name, "envoy_access_log_file_write_failed", String::new(), dropped));
}

fn of_session(process: &Process, all: &mut Vec<Sample>) {
    let rejected = process.store.lock().rejected_total();
    let mut counter = |name: &str, family: &'static str, value| {
        all.push(Sample::counter(name, family, String::new(), value));
    };
    counter("control_plane.rejected_resources", "mesh_rejected_resources_total", rejected);
    let Some(session) = &process.session else { return };
    let status = session.load();
    counter(
        "cluster_manager.cds.update_success",
        "envoy_cluster_manager_cds_update_success",
        status.responses,
    );
    counter(
        "cluster_manager.cds.update_rejected",
        "envoy_cluster_manager_cds_update_rejected",
        status.rejects,
    );
    counter(
        "cluster_manager.cds.update_failure",
        "envoy_cluster_manager_cds_update_failure",
        status.failures,
    );
    let connected = u64::from(status.connected);
    let name = "control_plane.connected_state";
    all.push(Sample::gauge(name, "envoy_control_plane_connected_state", String::new(), connected));
}
