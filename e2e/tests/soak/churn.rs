//! What changes meanwhile: routes and clusters, and which pods there are. Certificates change by themselves.
//!
//! In: the mesh, a flag that ends it. Out: how many changes there were. Names come from a small set again and again: what is
//! under test is whether the old ones leave anything behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e2e::driven::Driven as _;
use e2e::laptop::Laptop;
use e2e::until::eventually;

/// Hosts that come and go.
const EXTRA: usize = 20;
const PAUSE: Duration = Duration::from_millis(700);

/// One way of saying it: `http` of the VirtualService, and `trafficPolicy` of the DestinationRule.
const SAID: [(&str, &str); 4] = [
    ("[{route: [{destination: {host: httpbin, subset: one}}]}]", "loadBalancer: {simple: ROUND_ROBIN}"),
    (
        "[{route: [{destination: {host: httpbin, subset: one}, weight: 70}, {destination: {host: httpbin, subset: other}, weight: 30}]}]",
        "loadBalancer: {simple: LEAST_REQUEST}",
    ),
    (
        "[{match: [{headers: {nobody: {exact: x}}}], directResponse: {status: 418}}, {timeout: 30s, route: [{destination: {host: httpbin}}]}]",
        "outlierDetection: {consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 1s}",
    ),
    (
        "[{match: [{uri: {prefix: /}}], headers: {request: {set: {x-soak: \"1\"}}}, route: [{destination: {host: httpbin, subset: other}}]}]",
        "loadBalancer: {consistentHash: {httpHeaderName: x-user}}",
    ),
];

fn said(number: usize) -> String {
    let (http, policy) = SAID[number % SAID.len()];
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: httpbin}}\nspec:\n  \
         hosts: [httpbin]\n  http: {http}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: httpbin}}\nspec:\n  \
         host: httpbin\n  trafficPolicy:\n    connectionPool: {{http: {{idleTimeout: 3s}}}}\n    {policy}\n  \
         subsets: [{{name: one, labels: {{app: httpbin}}}}, {{name: other, labels: {{version: v1}}}}]\n"
    )
}

/// A host of its own, with endpoints that are others each time.
fn extra(number: usize) -> String {
    let name = number % EXTRA;
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: extra-{name}}}\nspec:\n  \
         hosts: [extra-{name}.example.com]\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  resolution: STATIC\n  \
         endpoints: [{{address: 10.201.0.{}}}, {{address: 10.201.1.{}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: extra-{name}}}\nspec:\n  \
         hosts: [extra-{name}.example.com]\n  http: [{{match: [{{uri: {{prefix: /{number}}}}}], route: [{{destination: {{host: extra-{name}.example.com}}}}]}}]\n",
        1 + number % 200,
        1 + number % 199,
    )
}

/// The objects of the start and of the end.
pub(crate) fn settle(mesh: &Laptop) {
    mesh.apply_text("said.yaml", &said(0));
    let all: String = (0..EXTRA).map(|number| format!("---\n{}", extra(number))).collect();
    mesh.apply_text("extra.yaml", &all);
    scale(mesh, 2);
}

/// Starts both churns.
pub(crate) fn start(mesh: &Arc<Laptop>, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<(&'static str, usize)>> {
    let run = |what: &'static str, change: fn(&Laptop, usize)| {
        let (mesh, stop) = (mesh.clone(), stop.clone());
        thread::spawn(move || {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                change(&mesh, rounds);
                rounds += 1;
                thread::sleep(PAUSE);
            }
            (what, rounds)
        })
    };
    vec![run("routes and clusters", objects), run("endpoints", pods)]
}

/// Another way of saying the routes, one host less, another one with other endpoints.
fn objects(mesh: &Laptop, round: usize) {
    mesh.apply_text("said.yaml", &said(round));
    let away = mesh.file("away.yaml", &extra(round + EXTRA / 2));
    mesh.meshctl(&["delete", "-f", &away]);
    mesh.apply_text("extra.yaml", &extra(round));
}

/// A third pod of each server, and none.
fn pods(mesh: &Laptop, round: usize) {
    // Each leaves slowly: not more of them at a time than the machine can carry.
    thread::sleep(2 * PAUSE);
    scale(mesh, if round.is_multiple_of(2) { 3 } else { 2 });
}

fn scale(mesh: &Laptop, replicas: usize) {
    let number = replicas.to_string();
    for name in ["httpbin", "tcp-echo"] {
        mesh.ok(&["scale", "deployment", name, "--replicas", &number]);
    }
    for name in ["httpbin", "tcp-echo"] {
        eventually("the pods are ready", || {
            let path = "jsonpath={.status.availableReplicas} {.status.replicas}";
            let now = mesh.ok(&["get", "deployment", name, "-o", path]);
            if now == format!("{number} {number}") { Ok(()) } else { Err(now) }
        });
    }
}
