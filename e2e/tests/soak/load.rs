//! The load: five kinds of client, each counting what it asked and how it ended.
//!
//! In: the mesh and how long. Out: an [`Outcome`] per kind. The clients run in a pod, their proxy beside them, but for the
//! one that comes through the gateway.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use e2e::driven::{Driven as _, Output};
use e2e::laptop::Laptop;
use e2e::load::Load;
use e2e::until::eventually;

const URL: &str = "http://httpbin:8000";
/// Connections of one TCP client before it is started again, each with three lines.
const BATCH: usize = 40;

/// How one kind of load went.
pub(crate) struct Outcome {
    kind: &'static str,
    pub(crate) requests: usize,
    pub(crate) failures: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} requests, {} failed  {}", self.requests, self.failures.len(), self.kind)?;
        self.failures.iter().take(5).try_for_each(|failure| write!(f, "\n          {failure}"))
    }
}

/// Waits until every way that is going to be used works.
pub(crate) fn until_answered(mesh: &Laptop) {
    eventually("the gateway answers", || match mesh.get("/get").status {
        200 => Ok(()),
        other => Err(other),
    });
    for command in [&["mesh-samples", "http", "-f", "http://httpbin:8000/get"][..], &tcp("1")] {
        eventually("the servers answer", || {
            let output = mesh.exec("curl", "curl", command);
            if output.success { Ok(()) } else { Err(output.to_string()) }
        });
    }
}

/// Starts all of them.
pub(crate) fn start(mesh: &Arc<Laptop>, run: Duration) -> Vec<JoinHandle<Outcome>> {
    let kinds: [(&'static str, &'static str, &'static [&'static str]); 4] = [
        ("HTTP/1.1, kept alive", "/get", &["-c", "4", "--qps", "150"]),
        ("HTTP/1.1, a connection each", "/bytes/2000", &["-c", "2", "--qps", "30", "--no-keepalive"]),
        ("HTTP/1.1, with a body", "/post", &["-c", "2", "--qps", "30", "-d", "some words to be sent back"]),
        ("HTTP/2", "/bytes/10000", &["-c", "4", "--qps", "100", "--http2"]),
    ];
    let mut started = Vec::new();
    for (kind, path, flags) in kinds {
        let mesh = mesh.clone();
        started.push(thread::spawn(move || http(&mesh, kind, path, flags, run)));
    }
    let own = mesh.clone();
    started.push(thread::spawn(move || echoes(&own, run)));
    let own = mesh.clone();
    started.push(thread::spawn(move || through_the_gateway(&own, run)));
    started
}

fn http(mesh: &Laptop, kind: &'static str, path: &str, flags: &[&str], run: Duration) -> Outcome {
    let (url, time) = (format!("{URL}{path}"), format!("{}s", run.as_secs()));
    let mut command = vec!["mesh-samples", "load", "--json", "--progress", "0", "-t", &time];
    command.extend(flags);
    command.push(&url);
    let output = mesh.exec("curl", "curl", &command);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    let Some(requests) = report["requests"].as_u64() else {
        return Outcome { kind, requests: 0, failures: vec![output.to_string()] };
    };
    let counts = |key: &str| -> BTreeMap<String, u64> {
        serde_json::from_value(report[key].clone()).unwrap_or_default()
    };
    let mut failures = Vec::new();
    for (what, count) in counts("errors_by_kind").into_iter().chain(counts("statuses")) {
        if what != "200" {
            failures.extend((0..count).map(|_| what.clone()));
        }
    }
    Outcome { kind, requests: usize::try_from(requests).unwrap_or(usize::MAX), failures }
}

fn tcp(connections: &str) -> [&str; 10] {
    ["mesh-samples", "tcp", "--count", "-n", connections, "tcp-echo", "9000", "one", "two", "three"]
}

fn echoes(mesh: &Laptop, run: Duration) -> Outcome {
    let (end, batch) = (Instant::now() + run, BATCH.to_string());
    let mut outcome = Outcome { kind: "TCP connections of three lines", requests: 0, failures: Vec::new() };
    while Instant::now() < end {
        let output: Output = mesh.exec("curl", "curl", &tcp(&batch));
        outcome.requests += BATCH;
        let whole =
            |word: &str| output.stdout.lines().any(|line| line.trim() == format!("{BATCH}  hello {word}"));
        if !(output.success && ["one", "two", "three"].iter().all(|word| whole(word))) {
            outcome.failures.push(output.to_string());
        }
    }
    outcome
}

fn through_the_gateway(mesh: &Laptop, run: Duration) -> Outcome {
    let load = Load::start(mesh.http, "localhost", "/get");
    thread::sleep(run);
    let kind = "HTTP/1.1 through the gateway, a connection each";
    match load.ended() {
        Ok(requests) => Outcome { kind, requests, failures: Vec::new() },
        Err(failure) => Outcome { kind, requests: 1, failures: vec![failure] },
    }
}
