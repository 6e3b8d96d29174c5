//! `cargo xtask bench`: our proxy beside a stock Envoy, from the same bootstrap file, in one run.
//!
//! The proxy under test has one worker and core 0; origin and load have core 1. Rounds alternate, so that whatever
//! the machine does hits both. CPU is user + system of the proxy's process, from /proc; ratios are medians over the
//! rounds. Bounded: 4 seconds a measurement, 3 rounds unless `--rounds` says otherwise; loopback only.

use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e::client::Ask;
use e2e::laptop::free_ports;
use e2e::process::{Folder, Process};
use e2e::programs::{envoy, program};

/// What one measurement gave.
#[derive(Clone, Debug)]
struct Figures {
    requests: f64,
    /// Seconds of CPU per 1000 requests.
    cpu: f64,
    rate: f64,
    p50: f64,
    p99: f64,
    rss_mib: f64,
}

struct Scenario {
    name: &'static str,
    path: &'static str,
    load: &'static [&'static str],
    http2: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "h1 1 KB", path: "/bytes/1024", load: &["-c", "32"], http2: false },
    Scenario { name: "h1 10 KB", path: "/bytes/10240", load: &["-c", "32"], http2: false },
    Scenario {
        name: "h2c 1 KB",
        path: "/bytes/1024",
        load: &["-c", "32", "--http2-prior-knowledge"],
        http2: true,
    },
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rounds = match args.iter().position(|a| a == "--rounds") {
        Some(at) => args.get(at + 1).context("--rounds takes a number")?.parse()?,
        None => 3,
    };
    println!(
        "{:<10} {:<6} {:>10} {:>12} {:>8} {:>8} {:>8}",
        "scenario", "proxy", "req/s", "CPU s/1000", "p50 ms", "p99 ms", "RSS MiB"
    );
    for scenario in SCENARIOS {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            theirs.push(measure(scenario, "envoy")?);
            ours.push(measure(scenario, "ours")?);
        }
        let (envoy, ours) = (median(theirs), median(ours));
        for (name, f) in [("envoy", &envoy), ("ours", &ours)] {
            println!(
                "{:<10} {name:<6} {:>10.0} {:>12.4} {:>8.2} {:>8.2} {:>8.1}",
                scenario.name, f.rate, f.cpu, f.p50, f.p99, f.rss_mib
            );
        }
        println!(
            "{:<10} ratio  CPU {:.2}  rate {:.2}",
            scenario.name,
            ours.cpu / envoy.cpu,
            ours.rate / envoy.rate
        );
    }
    Ok(())
}

/// One fresh proxy, a second of warm-up, four seconds of load.
fn measure(scenario: &Scenario, which: &str) -> Result<Figures> {
    let folder = Folder::new("bench");
    let [listen, origin_at, admin] = free_ports();
    let mut command = pinned(1, program("mesh-samples"));
    command.args(["httpbin", &origin_at.port().to_string()]);
    let mut origin = Process::start("origin", folder.path(), &mut command);
    let file = folder.path().join("bootstrap.yaml");
    std::fs::write(&file, bootstrap(listen.port(), origin_at.port(), admin.port(), scenario.http2))?;
    let mut command = pinned(0, if which == "envoy" { envoy() } else { program("proxy") });
    command.arg("-c").arg(&file).args(["--concurrency", "1", "-l", "error"]);
    if which == "envoy" {
        command.arg("--use-dynamic-base-id");
    }
    let mut proxy = Process::start(which, folder.path(), &mut command);
    origin.alive().map_err(anyhow::Error::msg)?;
    proxy.until("the proxy answers", || match Ask::get(scenario.path).send(listen) {
        Ok(reply) if reply.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let url = format!("http://{listen}{}", scenario.path);
    load(scenario, &url, "1s")?;
    let before = cpu_seconds(proxy.pid())?;
    let report = load(scenario, &url, "4s")?;
    let used = cpu_seconds(proxy.pid())? - before;
    let requests = report["answers"].as_f64().context("the report has no count")?;
    if requests == 0.0 {
        bail!("{which} answered nothing: {report}");
    }
    let latency = |name: &str| report["latency_ms"][name].as_f64().unwrap_or(f64::NAN);
    Ok(Figures {
        requests,
        cpu: used * 1000.0 / requests,
        rate: requests / 4.0,
        p50: latency("p50"),
        p99: latency("p99"),
        rss_mib: rss_mib(proxy.pid())?,
    })
}

fn pinned(core: u32, program: std::path::PathBuf) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

fn load(scenario: &Scenario, url: &str, time: &str) -> Result<serde_json::Value> {
    let mut command = pinned(1, program("mesh-samples"));
    command.args(["load", "--json", "--progress", "0", "-t", time]).args(scenario.load).arg(url);
    let output = command.output()?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "the load's report: {} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// User and system time of a process, in seconds; the kernel counts in hundredths.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 =
        fields.get(11).context("utime")?.parse::<f64>()? + fields.get(12).context("stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).context("VmHWM")?.parse()?;
    Ok(kib / 1024.0)
}

fn median(mut all: Vec<Figures>) -> Figures {
    all.retain(|figures| figures.requests > 0.0);
    all.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    all.swap_remove(all.len() / 2)
}

fn bootstrap(listen: u16, origin: u16, admin: u16, http2: bool) -> String {
    let protocol = if http2 { "http2_protocol_options: {}" } else { "http_protocol_options: {}" };
    format!(
        r#"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: {listen}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: AUTO
          route_config:
            name: all
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: origin, timeout: 0s}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{{protocol}}}
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}
"#
    )
}
