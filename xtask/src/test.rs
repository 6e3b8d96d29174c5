//! `cargo xtask test`: every rung of the test ladder, in order, each timed and counted.
//!
//! The end-to-end stages need the real programs: they are built once and found through `MESH_BIN_DIR`.
//! `MESH_ENVOY` and `MESH_PYTHONPATH` name the test equipment.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::{self, Cluster};
use crate::equip::{self, Equipment};
use crate::gotool::GoTool;
use crate::stages::{Counts, Stages, counted};
use crate::{addons, graph, helm, image, sh, size, soak};

const STAGES: &[&str] = &[
    "lint", "graph", "size", "unit", "golden", "hostile", "charts", "paper", "process", "netns", "laptop",
    "planes", "user", "soak", CLUSTER,
];

/// Crates whose integration tests compare with files.
const GOLDEN: &[&str] = &["api", "pilot", "proxy", "meshctl"];

/// The stage with flags of its own: `--cluster` names it, `--cluster=all` also runs its long tests.
const CLUSTER: &str = "cluster";

/// Only when named, and within `--cluster=all`: a real Prometheus and a real Zipkin beside the mesh, made once, in minutes.
const ADDONS: &str = "addons";

/// The conformance suite of HTTP/2, version 2.6.0. Its tags lack the module path that Go asks of a version 2, so its
/// commit stands for it.
const H2SPEC: GoTool = GoTool {
    name: "h2spec",
    module: "github.com/summerwind/h2spec/cmd/h2spec@v0.0.0-20200804131034-70ac22940108",
    variable: "MESH_H2SPEC",
};

/// Tests that need it.
const H2SPEC_TESTS: usize = 1;

/// Which of the cluster's tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Usual,
    All,
    Addons,
}

/// Runs the named stages, or all.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let mut extent = Extent::Usual;
    let mut named = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--cluster" => named.push(CLUSTER),
            "--cluster=all" => {
                extent = Extent::All;
                named.push(CLUSTER);
            }
            name if STAGES.contains(&name) || name == ADDONS => named.push(name),
            other => bail!("no stage named {other}; there are {} {ADDONS}", STAGES.join(" ")),
        }
    }
    let args = named;
    let wanted = |name: &str| args.is_empty() || args.contains(&name);
    let mut stages = Stages::default();
    let mut equipment = None;
    if wanted("process") || wanted("laptop") || wanted("planes") || wanted("user") {
        stages.stage("equip", || {
            equipment = Some(equip::fetch()?);
            Ok(Counts::default())
        });
    }
    stages.stage("build", || build().map(|()| Counts::default()));
    if wanted("charts") {
        stages.stage("charts", helm::test);
    }
    for (name, work) in table() {
        if wanted(name) {
            stages.stage(name, || work(equipment.as_ref()));
        }
    }
    if wanted(CLUSTER) {
        stages.stage(CLUSTER, || on_cluster(extent));
    }
    if args.contains(&ADDONS) {
        stages.stage(ADDONS, || on_cluster(Extent::Addons));
    }
    stages.close()
}

type Work = fn(Option<&Equipment>) -> Result<Counts>;

fn table() -> Vec<(&'static str, Work)> {
    vec![
        ("lint", |_| lint().map(|()| Counts::default())),
        ("graph", |_| graph::check().map(|()| Counts::default())),
        ("size", |_| size::check().map(|()| Counts::default())),
        ("unit", |_| unit()),
        ("golden", |_| golden()),
        ("hostile", |e| e2e(&["hostile"], e)),
        ("paper", |e| e2e(&["paper", "contract", "fields"], e)),
        ("process", |e| e2e(&["process"], e)),
        ("netns", |_| namespaces()),
        ("laptop", |e| e2e(&["laptop"], e)),
        ("planes", planes),
        ("user", as_user),
        ("soak", |_| soak::stage()),
    ]
}

/// rustfmt and clippy; warnings are errors.
pub(crate) fn lint() -> Result<()> {
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;
    sh::run(sh::cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

/// Every program and every test, once: the stages name what they run, and build nothing more.
fn build() -> Result<()> {
    sh::run(sh::cargo().args(["test", "--workspace", "--no-run", "--quiet"]))
}

/// `cargo test` of these tests. Always of the whole workspace: a part of it would have other features of the libraries,
/// and all of them would be built again.
pub(crate) fn cargo_test(tests: &[String]) -> Command {
    let mut cargo = sh::cargo();
    cargo.args(["test", "--workspace", "--quiet", "--no-fail-fast"]);
    for test in tests {
        cargo.args(["--test", test]);
    }
    cargo
}

/// Names of the integration tests of crates: `tests/NAME.rs` and `tests/NAME/main.rs`.
fn tests_of(folders: &[&str]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in folders {
        let folder = sh::root().join(folder).join("tests");
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let is_test = path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
            if let (true, Some(name)) = (is_test, path.file_stem()) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Tests beside the code, and the session properties of `wire`.
fn unit() -> Result<Counts> {
    let mut beside = cargo_test(&[]);
    beside.args(["--lib", "--bins"]);
    let beside = counted(&mut beside)?;
    Ok(beside.and(counted(&mut cargo_test(&tests_of(&["wire", "citadel", "samples/apps"])?))?))
}

fn golden() -> Result<Counts> {
    counted(&mut cargo_test(&tests_of(GOLDEN)?))
}

/// Rewrites every golden file.
pub(crate) fn bless() -> Result<()> {
    sh::run(cargo_test(&tests_of(GOLDEN)?).env("BLESS", "1"))?;
    sh::run(cargo_test(&["paper".to_owned(), "fields".to_owned()]).env("BLESS", "1"))?;
    addons::bless()?;
    helm::bless()
}

fn e2e(tests: &[&str], equipment: Option<&Equipment>) -> Result<Counts> {
    let mut cargo = cargo_test(&tests.iter().map(|test| (*test).to_owned()).collect::<Vec<_>>());
    environment(&mut cargo, &sh::target_dir().join("debug"), equipment);
    counted(&mut cargo)
}

/// A pod's network, in namespaces. Where this process is not root, or may make none, the tests are counted as skipped.
fn namespaces() -> Result<Counts> {
    let mut cargo = cargo_test(&["netns".to_owned()]);
    environment(&mut cargo, &sh::target_dir().join("debug"), None);
    let may =
        Command::new("unshare").args(["--net", "true"]).output().is_ok_and(|done| done.status.success());
    if is_root()? && may {
        cargo.args(["--", "--ignored"]);
    } else {
        eprintln!("SKIPPED: only root tells users apart in a network namespace");
    }
    counted(&mut cargo)
}

fn is_root() -> Result<bool> {
    let whoami = Command::new("id").arg("-u").output().context("id")?;
    Ok(String::from_utf8_lossy(&whoami.stdout).trim() == "0")
}

/// A stock Envoy as judge: of every golden's resources, then beside our proxy.
fn planes(equipment: Option<&Equipment>) -> Result<Counts> {
    let mut cargo = cargo_test(&["envoy".to_owned()]);
    cargo.args(["--", "--ignored"]);
    if let Some(equipment) = equipment {
        cargo.env("MESH_ENVOY", &equipment.envoy);
    }
    let counts = counted(&mut cargo)?.and(e2e(&["planes"], equipment)?);
    Ok(counts.and(h2spec(equipment)?))
}

/// The rules of HTTP/2, judged by a suite that is not ours, of our proxy and of the stock Envoy.
fn h2spec(equipment: Option<&Equipment>) -> Result<Counts> {
    match H2SPEC.find(true)? {
        Ok(h2spec) => {
            let mut cargo = cargo_test(&["planes".to_owned()]);
            environment(&mut cargo, &sh::target_dir().join("debug"), equipment);
            cargo.env(H2SPEC.variable, h2spec);
            counted(cargo.args(["--", "--ignored", "h2spec::"]))
        }
        Err(why) => {
            eprintln!("{why}: {H2SPEC_TESTS} test skipped");
            Ok(Counts::default())
        }
    }
}

/// The mesh's images on a real Kubernetes of its own. Where there can be none the tests are counted as skipped.
fn on_cluster(extent: Extent) -> Result<Counts> {
    let mut cargo = cargo_test(&["cluster".to_owned()]);
    let possible = cluster::choose(None).and_then(|provider| {
        let cluster = Cluster::of(provider, "test", "8");
        cluster.ready()?;
        Ok(cluster)
    });
    let cluster = match possible {
        Ok(cluster) => cluster,
        Err(reason) => {
            eprintln!("SKIPPED: {reason:#}");
            let ignored = if extent == Extent::Addons { addons::TESTS } else { listed(&mut cargo)? };
            return Ok(Counts { ignored, ..Counts::default() });
        }
    };
    let addons = if extent == Extent::Usual { Ok(Vec::new()) } else { addons::images()? };
    let mut skipped = Counts::default();
    if let Err(reason) = &addons {
        eprintln!("SKIPPED: {reason}");
        skipped.ignored = addons::TESTS;
        if extent == Extent::Addons {
            return Ok(skipped);
        }
    }
    // Quick to build, and the tests wait for conditions: how fast the programs are is for the figures to say.
    image::image(&["--profile".into(), "dev".into()])?;
    // Somebody who runs the stage again and again may bring it up before, and keeps it.
    let was_up = cluster.running();
    cluster.up("node", None)?;
    cluster.load(&[])?;
    cluster.enter(&mut cargo)?;
    // One mesh for all of them.
    cargo.args(["--", "--test-threads=1"]).env("MESH_BIN_DIR", sh::target_dir().join("debug"));
    if !cluster.restarts_its_api_server() && extent != Extent::Addons {
        eprintln!("SKIPPED: kind cannot restart its API server alone");
        cargo.args(["--skip", "an_api_server_that_restarts"]);
        skipped.ignored += 1;
    }
    match extent {
        Extent::Usual => {}
        Extent::All => drop(cargo.args(["--include-ignored", "--skip", "figures"])),
        Extent::Addons => drop(cargo.args(["--ignored", "addons::"])),
    }
    match &addons {
        Ok(files) if !files.is_empty() => cluster.load(files)?,
        Ok(_) => {}
        Err(_) => drop(cargo.args(["--skip", "addons::"])),
    }
    let outcome = counted(&mut cargo);
    if !was_up {
        cluster.down(true)?;
    }
    let mut counts = outcome?.and(skipped);
    if extent == Extent::All {
        // Needs no cluster, and as long as some of these.
        let mut crowd = cargo_test(&["process".to_owned()]);
        environment(&mut crowd, &sh::target_dir().join("debug"), None);
        counts = counts.and(counted(crowd.args(["--", "--ignored", "crowd"]))?);
    }
    Ok(counts)
}

/// How many tests there are, without running any.
fn listed(cargo: &mut Command) -> Result<usize> {
    let told = cargo.args(["--", "--list"]).output().context("cargo test -- --list")?;
    let lines = String::from_utf8_lossy(&told.stdout).into_owned();
    Ok(lines.lines().filter(|line| line.ends_with(": test")).count())
}

fn environment(command: &mut Command, bin_dir: &Path, equipment: Option<&Equipment>) {
    command.env("MESH_BIN_DIR", bin_dir);
    if let Some(equipment) = equipment {
        command.env("MESH_ENVOY", &equipment.envoy).env("MESH_PYTHONPATH", &equipment.python_path);
    }
}

/// The laptop tests once more as an ordinary user. Run as root they are handed to `nobody`; an ordinary
/// user has run them already.
fn as_user(equipment: Option<&Equipment>) -> Result<Counts> {
    if !is_root()? {
        eprintln!("not root: the laptop stage has already run as an ordinary user");
        return Ok(Counts::default());
    }
    let home = stage_for_user()?;
    let outcome = run_as_user(&home, equipment);
    std::fs::remove_dir_all(&home).context("remove the user's folder")?;
    outcome
}

/// A folder that `nobody` owns, with the programs and the test in it.
fn stage_for_user() -> Result<PathBuf> {
    let home = std::env::temp_dir().join(format!("mesh-user-{}", std::process::id()));
    let bin = home.join("bin");
    std::fs::create_dir_all(&bin)?;
    for program in ["pilot", "proxy", "citadel", "meshctl", "mesh-samples"] {
        std::fs::copy(sh::target_dir().join("debug").join(program), bin.join(program))
            .with_context(|| format!("copy {program}"))?;
    }
    std::fs::copy(laptop_test()?, bin.join("laptop"))?;
    sh::run(Command::new("cp").arg("-r").arg(sh::root().join("samples")).arg(&home))?;
    sh::run(Command::new("chown").args(["-R", "nobody"]).arg(&home))?;
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755))?;
    Ok(home)
}

/// The test program that cargo built for `e2e/tests/laptop.rs`.
fn laptop_test() -> Result<PathBuf> {
    let mut cargo = cargo_test(&["laptop".to_owned()]);
    cargo.args(["--no-run", "--message-format", "json"]);
    let output = cargo.output().context("cargo test --no-run")?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["target"]["name"] == "laptop"
            && let Some(path) = message["executable"].as_str()
        {
            return Ok(path.into());
        }
    }
    bail!("cargo built no test program named laptop")
}

fn run_as_user(home: &Path, equipment: Option<&Equipment>) -> Result<Counts> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).arg(home.join("bin/laptop"));
    command.current_dir(home).env("HOME", home).env_remove("XDG_RUNTIME_DIR").env_remove("XDG_STATE_HOME");
    command.env("MESH_SAMPLES", home.join("samples"));
    environment(&mut command, &home.join("bin"), equipment);
    counted(&mut command)
}
