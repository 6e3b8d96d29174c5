//! `cargo xtask cluster`: a real Kubernetes for tests, behind one door with two providers.
//!
//! In: a command and its flags. Out: a cluster that runs, or the reason why there can be none on this machine. `kind`
//! wants Docker; `processes` (scripts in e2e/cluster) wants Linux, root, apt and Go, builds Kubernetes once per machine
//! and needs no container engine. Called by `main`, and by `test` for the stage `cluster`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{image, sh};

/// The name that kind knows our cluster by.
const KIND_NAME: &str = "mesh";
/// Where the API server answers on 127.0.0.1.
pub(crate) const API_PORT: &str = "16443";

/// Who makes the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Kind,
    Processes,
}

impl Provider {
    fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Processes => "processes",
        }
    }
}

/// How to talk to a running cluster.
pub(crate) struct Reach {
    pub(crate) kubeconfig: PathBuf,
    /// Where its kubectl is, if it brings one.
    pub(crate) programs: Option<PathBuf>,
}

#[derive(Debug)]
struct Flags {
    provider: Option<Provider>,
    tier: String,
    api_port: String,
    wipe: bool,
    /// What is no flag.
    words: Vec<String>,
}

/// `cargo xtask cluster COMMAND`.
pub(crate) fn cluster(args: &[String]) -> Result<()> {
    let (command, rest) =
        args.split_first().context("cargo xtask cluster up|down|load|exec|check|env|figures")?;
    if command == "exec" {
        return exec(rest);
    }
    let flags = parse(rest)?;
    if command != "load" && !flags.words.is_empty() {
        bail!("cargo xtask cluster {command} takes no {}", flags.words.join(" "));
    }
    let provider = choose(flags.provider)?;
    match command.as_str() {
        "up" => up(provider, &flags.tier, &flags.api_port),
        "down" => down(provider, flags.wipe),
        "load" => load(provider, &flags.words.iter().map(PathBuf::from).collect::<Vec<_>>()),
        "check" => check(provider),
        "env" => env(provider),
        "figures" => figures(provider),
        other => {
            bail!("cargo xtask cluster has up, down, load, exec, check, env and figures, but no {other}")
        }
    }
}

fn parse(args: &[String]) -> Result<Flags> {
    let mut flags = Flags {
        provider: None,
        tier: "node".into(),
        api_port: std::env::var("MESH_CLUSTER_API_PORT").unwrap_or_else(|_| API_PORT.into()),
        wipe: false,
        words: Vec::new(),
    };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().cloned().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--provider" => flags.provider = Some(named(&value()?)?),
            "--tier" => flags.tier = value()?,
            "--api-port" => flags.api_port = value()?,
            "--wipe" => flags.wipe = true,
            flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
            word => flags.words.push(word.into()),
        }
    }
    if !["api", "node"].contains(&flags.tier.as_str()) {
        bail!("--tier {}: there are api (control plane only) and node (pods run)", flags.tier);
    }
    Ok(flags)
}

fn named(name: &str) -> Result<Provider> {
    match name {
        "kind" => Ok(Provider::Kind),
        "processes" => Ok(Provider::Processes),
        other => bail!("--provider {other}: there are kind and processes"),
    }
}

/// The wanted provider if it can work here, or the first that can: kind, which has nothing to build, then processes.
pub(crate) fn choose(wanted: Option<Provider>) -> Result<Provider> {
    let candidates = match wanted {
        Some(provider) => vec![provider],
        None => vec![Provider::Kind, Provider::Processes],
    };
    let mut reasons = Vec::new();
    for provider in candidates {
        match obstacle(provider) {
            None => return Ok(provider),
            Some(reason) => reasons.push(format!("{}: {reason}", provider.name())),
        }
    }
    bail!("no cluster is possible on this machine\n  {}", reasons.join("\n  "))
}

/// Why a provider cannot work here.
fn obstacle(provider: Provider) -> Option<String> {
    match provider {
        Provider::Kind => {
            let missing = ["docker", "kind", "kubectl"].into_iter().find(|program| !in_path(program));
            match missing {
                Some(program) => Some(format!("no {program} in PATH")),
                None if !quiet(Command::new("docker").arg("info")) => {
                    Some("`docker info` fails: no Docker engine answers".into())
                }
                None => None,
            }
        }
        Provider::Processes if !cfg!(target_os = "linux") => Some("it wants Linux".into()),
        Provider::Processes if !is_root() => Some("it wants root, for namespaces and cgroups".into()),
        Provider::Processes => {
            let built = programs_dir().join(".stamp").exists();
            let missing = ["apt-get", "go"].into_iter().find(|program| !built && !in_path(program));
            missing.map(|program| format!("no {program} in PATH, which gets its programs the first time"))
        }
    }
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let told = Command::new("id").arg("-u").output();
    told.is_ok_and(|told| told.stdout == b"0\n")
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Brings the cluster up; quick when it is up.
pub(crate) fn up(provider: Provider, tier: &str, api_port: &str) -> Result<()> {
    match provider {
        Provider::Processes => {
            sh::run(&mut script("fetch.sh"))?;
            sh::run(&mut script("build.sh"))?;
            sh::run(script("up.sh").arg(tier).env("MESH_CLUSTER_API_PORT", api_port))?;
        }
        Provider::Kind => {
            if tier == "api" {
                eprintln!("kind has no tier of the API alone: its node runs pods too");
            }
            if !kind_runs()? {
                std::fs::create_dir_all(sh::target_dir())?;
                let mut kind = kind(&["create", "cluster", "--wait", "180s"]);
                sh::run(kind.arg("--kubeconfig").arg(reach(provider).kubeconfig))?;
            }
        }
    }
    env(provider)
}

/// Takes it down; objects stay unless `wipe`, if the provider can keep them.
pub(crate) fn down(provider: Provider, wipe: bool) -> Result<()> {
    match provider {
        Provider::Processes if wipe => sh::run(script("down.sh").arg("--wipe")),
        Provider::Processes => sh::run(&mut script("down.sh")),
        // Nothing of a kind cluster outlives it.
        Provider::Kind => sh::run(&mut kind(&["delete", "cluster"])),
    }
}

/// True if the provider's cluster is up.
pub(crate) fn running(provider: Provider) -> bool {
    match provider {
        Provider::Processes => quiet(script("exec.sh").arg("true")),
        Provider::Kind => kind_runs().unwrap_or(false),
    }
}

/// Hands image archives to the node; those of `cargo xtask image` if none are named.
pub(crate) fn load(provider: Provider, files: &[PathBuf]) -> Result<()> {
    let files = if files.is_empty() { image::archives() } else { files.to_vec() };
    for file in files {
        if !file.exists() {
            bail!("no {}: `cargo xtask image` writes the mesh's images", file.display());
        }
        match provider {
            // containerd's own command reads OCI layouts and docker-archives alike.
            Provider::Processes => {
                let mut ctr = script("exec.sh");
                sh::run(ctr.args(["ctr", "images", "import"]).arg(&file).stdout(Stdio::null()))?;
            }
            Provider::Kind => sh::run(kind(&["load", "image-archive"]).arg(&file))?,
        }
    }
    Ok(())
}

/// A command in the cluster's network; with kind that is this machine's own, so only the environment is set.
fn exec(words: &[String]) -> Result<()> {
    let (program, rest) = words.split_first().context("cargo xtask cluster exec COMMAND...")?;
    match choose(None)? {
        Provider::Processes => sh::run(script("exec.sh").args(words)),
        Provider::Kind => {
            let kubeconfig = reach(Provider::Kind).kubeconfig;
            sh::run(Command::new(program).args(rest).env("KUBECONFIG", kubeconfig))
        }
    }
}

/// Installs the mesh afresh and prints what it takes.
fn figures(provider: Provider) -> Result<()> {
    sh::run(sh::cargo().args(["build", "--workspace", "--bins", "--quiet"]))?;
    let mut cargo = sh::cargo();
    cargo.args(["test", "--workspace", "--quiet", "--test", "cluster"]);
    enter(provider, &mut cargo)?;
    cargo.args(["--", "--ignored", "--nocapture", "figures"]);
    sh::run(cargo.env("MESH_BIN_DIR", sh::target_dir().join("debug")))
}

fn check(provider: Provider) -> Result<()> {
    match provider {
        Provider::Processes => sh::run(&mut script("check.sh")),
        Provider::Kind => bail!("check.sh is about the cluster of processes; kind is tested by its makers"),
    }
}

fn env(provider: Provider) -> Result<()> {
    let reach = reach(provider);
    println!("export KUBECONFIG={}", reach.kubeconfig.display());
    if let Some(programs) = reach.programs {
        println!("export PATH={}:$PATH", programs.display());
    }
    Ok(())
}

/// Where the kubeconfig of a provider's cluster is.
pub(crate) fn reach(provider: Provider) -> Reach {
    match provider {
        Provider::Kind => Reach { kubeconfig: sh::target_dir().join("kind.conf"), programs: None },
        Provider::Processes => {
            let name = std::env::var("MESH_CLUSTER_NAME").unwrap_or_else(|_| "kube".into());
            let kubeconfig = cache().join("clusters").join(name).join("local.conf");
            Reach { kubeconfig, programs: Some(programs_dir()) }
        }
    }
}

/// Has `cargo` run its tests where the cluster's addresses can be reached, and tells them which cluster it is.
pub(crate) fn enter(provider: Provider, cargo: &mut Command) -> Result<()> {
    let reach = reach(provider);
    match (provider, reach.programs) {
        (Provider::Processes, Some(programs)) => {
            let target = image::target()?.to_uppercase().replace('-', "_");
            cargo.env(format!("CARGO_TARGET_{target}_RUNNER"), script_path("exec.sh"));
            // Within its network the API server has its own address.
            let inside = reach.kubeconfig.with_file_name("admin.conf");
            cargo.env("MESH_KUBECONFIG", inside).env("MESH_KUBECTL", programs.join("kubectl"));
        }
        _ => drop(cargo.env("MESH_KUBECONFIG", reach.kubeconfig)),
    }
    Ok(())
}

/// What e2e/cluster/settings.sh calls DIR.
fn cache() -> PathBuf {
    std::env::var_os("MESH_CLUSTER_DIR")
        .map_or_else(|| Path::new("/var/cache/mesh-cluster").into(), PathBuf::from)
}

fn programs_dir() -> PathBuf {
    cache().join("bin")
}

fn script(name: &str) -> Command {
    Command::new(script_path(name))
}

fn script_path(name: &str) -> PathBuf {
    sh::root().join("e2e/cluster").join(name)
}

fn kind(args: &[&str]) -> Command {
    let mut kind = Command::new("kind");
    kind.args(args).args(["--name", KIND_NAME]);
    kind
}

fn kind_runs() -> Result<bool> {
    let told = Command::new("kind").args(["get", "clusters"]).output().context("kind get clusters")?;
    Ok(String::from_utf8_lossy(&told.stdout).lines().any(|name| name == KIND_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Flags> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_mistakes() {
        let given = flags("--provider kind --tier api a.tar b.tar").unwrap();
        assert_eq!((given.provider, given.tier.as_str()), (Some(Provider::Kind), "api"));
        assert_eq!(given.words, ["a.tar", "b.tar"]);
        for (line, why) in [
            ("--provider k3s", "there are kind and processes"),
            ("--tier all", "there are api"),
            ("--tier", "needs a value"),
            ("--nope", "unknown flag --nope"),
        ] {
            assert!(flags(line).unwrap_err().to_string().contains(why), "{line}");
        }
    }
}
