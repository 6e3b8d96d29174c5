//! `cargo xtask bench`: our proxy beside a stock Envoy and, where they can be had, nginx and haproxy.
//!
//! In: flags of `e2e/bench/bench.py`, and `--write`; or `--micro` for the benches of Criterion; or `--swap` alone. Out: its
//! tables; with `--write` also the last table, plot and measurements in docs. The proxy is the very program that images
//! have. Peers and load generators are fetched into the target folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{equip, image, sh, test};

/// Every scenario of the table in docs/perf.md.
const SCENARIOS: &str =
    "h1,h1-cores,h1-10k,h2,mtls,tls,tls-conn,h1-conn,tcp-bulk,mtcp-bulk,lat,lat-mtls,idle-mem,startup,bigcfg";
/// Envoy with as little and with as much as a mesh has always on, with an HTTP/2 hop, and ours on the same files.
const PROXIES: &str = "envoy,envoy-h2mtls,ours-istio,ours-istio-2";

/// Builds, fetches, runs.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    if let Some(filter) = args.strip_prefix(&["--micro".to_owned()]) {
        // As it is shipped, but for the minutes that optimising across crates takes.
        let mut cargo = sh::cargo();
        cargo.args(["bench", "--workspace", "--bench", "micro", "--profile", "dist", "--"]).args(filter);
        return sh::run(
            cargo.env("CARGO_PROFILE_DIST_LTO", "thin").env("CARGO_PROFILE_DIST_CODEGEN_UNITS", "16"),
        );
    }
    if args == ["--swap"] {
        return swap();
    }
    let equipment = equip::fetch()?;
    let tools = tools()?;
    let programs = image::programs("dist")?;
    let write = args.iter().any(|arg| arg == "--write");
    let results = sh::root().join("docs/perf.jsonl");
    let mut bench = Command::new("python3");
    bench.arg(script("bench.py")).args(["--scenario", SCENARIOS, "--proxies", PROXIES, "--nice", "-5"]);
    // The last of two equal flags counts.
    bench.args(args.iter().filter(|arg| *arg != "--write"));
    if write {
        std::fs::write(&results, "")?;
        bench.arg("--out").arg(&results);
    }
    bench.envs(tools).env("BENCH_ENVOY", &equipment.envoy);
    bench.env("BENCH_OURS", programs.join("proxy")).env("BENCH_SAMPLES", programs.join("mesh-samples"));
    sh::run(&mut bench)?;
    if write {
        sh::run(Command::new("python3").arg(script("perf.py")).arg(&results).arg(sh::root().join("docs")))?;
    }
    Ok(())
}

/// Latencies with and without a configuration of 10,000 routes being replaced each second.
fn swap() -> Result<()> {
    let programs = image::programs("dist")?;
    let mut cargo = test::cargo_test(&["swap".to_owned()]);
    cargo.args(["--", "--nocapture"]).env("MESH_BIN_DIR", programs);
    sh::run(cargo.env("MESH_SWAP_RATE", "2000").env("MESH_SWAP_SECONDS", "20"))
}

/// What `tools.sh` fetched, as variables.
fn tools() -> Result<Vec<(String, String)>> {
    let folder = sh::target_dir().join("equipment/bench");
    let told = Command::new(script("tools.sh")).arg(&folder).output().context("e2e/bench/tools.sh")?;
    if !told.status.success() {
        anyhow::bail!("e2e/bench/tools.sh: {}", String::from_utf8_lossy(&told.stderr).trim());
    }
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect())
}

fn script(name: &str) -> PathBuf {
    sh::root().join("e2e/bench").join(name)
}
