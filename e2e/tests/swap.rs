//! A configuration of 10,000 routes over 1,000 clusters, replaced again and again while requests go through it.
//!
//! In: `MESH_SWAP_RATE` requests per second (200) and `MESH_SWAP_SECONDS` for each half (5). Out: latencies with the
//! configuration at rest and while it is swapped, as a line each. Fails when a request fails or a swap does not come into
//! force; what the swaps cost is told and not judged: `cargo xtask bench --swap` asks for it in the shipped build. Where a rate is
//! given, the proxy has a core of its own; load, origin and pilot have the other.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::client::Ask;
use e2e::laptop::free_ports;
use e2e::origin;
use e2e::planes::{Plane, bootstrap, start_pilot};
use e2e::process::{Folder, Process};
use e2e::programs::program;
use serde_json::Value;

const HOSTS: usize = 1000;
const ROUTES_EACH: usize = 10;
/// Between the beginnings of two swaps.
const EVERY: Duration = Duration::from_secs(1);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A gateway, and for each host an entry and a route to it by each of ten prefixes.
fn objects(port: u16, origin: u16) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gateway, namespace: istio-system}}\nspec:\n  \
         selector: {{plane: ours}}\n  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*']}}]\n"
    );
    for host in 0..HOSTS {
        write!(
            text,
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: h{host}, namespace: default}}\nspec:\n  \
             hosts: [h{host}.example.com]\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  resolution: STATIC\n  \
             endpoints: [{{address: 127.0.0.1, ports: {{http: {origin}}}}}]\n\
             ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: h{host}, namespace: default}}\nspec:\n  \
             hosts: [h{host}.example.com]\n  gateways: [istio-system/gateway]\n  http:\n"
        )
        .unwrap();
        for route in 0..ROUTES_EACH {
            writeln!(
                text,
                "  - {{match: [{{uri: {{prefix: /p{route}/}}}}], route: [{{destination: {{host: h{host}.example.com}}}}]}}"
            )
            .unwrap();
        }
    }
    text
}

/// What tells which version is in force.
fn marker(status: u64) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: marker, namespace: default}}\nspec:\n  \
         hosts: [marker.example.com]\n  gateways: [istio-system/gateway]\n  http: [{{directResponse: {{status: {status}}}}}]\n"
    )
}

/// Whether there is a core for the proxy alone.
fn has_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|n| n.get() > 1)
}

/// `command` on one core.
fn pinned(core: &str, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", core]).arg(command.get_program()).args(command.get_args());
    pinned
}

/// Leaves the first core to the proxy. Pilot's translation is not what is measured: after everybody else.
fn beside(pilot: &Process) {
    let quiet = |command: &mut Command| assert!(command.stdout(Stdio::null()).status().unwrap().success());
    for task in std::fs::read_dir(format!("/proc/{}/task", pilot.pid())).unwrap() {
        quiet(Command::new("renice").args(["-n", "19", "-p"]).arg(task.unwrap().file_name()));
    }
    for pid in [pilot.pid(), std::process::id()] {
        quiet(Command::new("taskset").args(["-a", "-c", "-p", "1", &pid.to_string()]));
    }
}

fn load(to: SocketAddr) -> Child {
    let mut command = Command::new(program("mesh-samples"));
    command.args(["load", "--json", "--progress", "0", "-c", "16", "-H", "Host: h500.example.com"]);
    command.args(["-q", &number("MESH_SWAP_RATE", 200).to_string()]);
    command.args(["-t", &format!("{}s", number("MESH_SWAP_SECONDS", 5))]);
    command.arg(format!("http://{to}/p5/x"));
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Prints what the load saw; none of it failed.
fn judge(what: &str, load: Child, swaps: u64) {
    let output = load.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let latency = &report["latency_ms"];
    println!(
        "{what}: {} answers, {} swaps, p50 {} ms, p99 {} ms, p99.9 {} ms, max {} ms",
        report["answers"], swaps, latency["p50"], latency["p99"], latency["p999"], latency["max"]
    );
    assert_eq!(report["errors"], 0, "{report}");
    let statuses = report["statuses"].as_object().unwrap();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), ["200"], "{report}");
}

#[test]
fn many_routes_are_swapped_under_load() {
    let folder = Folder::new("swap");
    let [gateway, xds, debug, admin] = free_ports();
    let origin = origin::start("a").address.port();
    let config = folder.path().join("config");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("objects.yaml"), objects(gateway.port(), origin)).unwrap();
    std::fs::write(config.join("marker.yaml"), marker(200)).unwrap();
    let pilot = start_pilot(folder.path(), &config, xds, debug);
    let measured = std::env::var_os("MESH_SWAP_RATE").is_some() && has_cores();
    if measured {
        beside(&pilot);
    }
    let file = folder.path().join("bootstrap.yaml");
    std::fs::write(&file, bootstrap(Plane::Ours, xds, admin)).unwrap();
    let mut command = Command::new(program("proxy"));
    command.arg("-c").arg(&file).args(["--concurrency", "1", "-l", "warning"]);
    if measured {
        command = pinned("0", &command);
    }
    let mut proxy = Process::start("proxy", folder.path(), &mut command);
    let mut in_force = |status: u64| {
        proxy.until(&format!("{status} is in force"), || {
            match Ask::get("/").host("marker.example.com").send(gateway) {
                Ok(reply) if u64::from(reply.status) == status => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    };
    in_force(200);

    let calm = load(gateway);
    judge("at rest", calm, 0);
    let mut busy = load(gateway);
    let mut swaps = 0;
    while busy.try_wait().unwrap().is_none() {
        swaps += 1;
        let status = 200 + swaps % 100;
        let part = folder.path().join("marker.part");
        let next = Instant::now() + EVERY;
        std::fs::write(&part, marker(status)).unwrap();
        std::fs::rename(&part, config.join("marker.yaml")).unwrap();
        in_force(status);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    judge("while swapped", busy, swaps);
    assert!(swaps > 0, "none came into force");
}
