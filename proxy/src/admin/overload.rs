//! What was refused or cut short because there was too much of it, for `/stats`.
//!
//! In: the process's limits. Out: samples. Called by `stats`.

use std::sync::atomic::Ordering;

use crate::observe::Sample;
use crate::overload::Action;
use crate::process::Process;

/// Pressures, actions in force, and counters by reason.
pub(super) fn samples(process: &Process, all: &mut Vec<Sample>) {
    let overload = &process.overload;
    for (resource, percent) in overload.pressures() {
        let name = format!("overload.{}.pressure", resource.name());
        all.push(Sample::gauge(
            name,
            "envoy_overload_pressure",
            crate::observe::label("name", resource.name()),
            percent,
        ));
    }
    if !overload.plan().triggers.is_empty() {
        for action in Action::ALL {
            let name = format!("overload.{}.active", action.name());
            let active = u64::from(overload.is(action));
            all.push(Sample::gauge(
                name,
                "envoy_overload_active",
                crate::observe::label("name", action.name()),
                active,
            ));
        }
    }
    let mut counter = |name: &str, family: &'static str, value| {
        all.push(Sample::counter(name, family, String::new(), value));
    };
    for (flood, times) in overload.floods() {
        let (name, family) = flood.names();
        counter(name, family, times);
    }
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    counter(
        "http.downstream_rq_overload_close",
        "envoy_http_downstream_rq_overload_close",
        load(&overload.requests),
    );
    counter(
        "http.downstream_cx_overload_disable_keepalive",
        "envoy_http_downstream_cx_overload_disable_keepalive",
        load(&overload.keepalives),
    );
    counter(
        "http.downstream_rq_header_timeout",
        "envoy_http_downstream_rq_header_timeout",
        load(&overload.slow_heads),
    );
}
