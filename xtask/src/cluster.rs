//! `cargo xtask cluster`: a real Kubernetes for tests, behind one door with two providers.
//!
//! In: a command and its flags. Out: a cluster that runs, or the reason why there can be none on this machine. `kind`
//! wants Docker; `processes` (scripts in e2e/cluster) wants Linux, root, apt and Go, builds Kubernetes once per machine
//! and needs no container engine. Called by `main`, and by `test` for the stage `cluster`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{image, sh};

/// Where the API server answers on 127.0.0.1.
const API_PORT: &str = "16443";

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

/// One cluster of a provider. Several can stand beside each other.
pub(crate) struct Cluster {
    provider: Provider,
    name: String,
    /// Part of all its addresses (processes).
    net: String,
}

/// How to talk to a running cluster.
struct Reach {
    kubeconfig: PathBuf,
    /// Where its kubectl is, if it brings one.
    programs: Option<PathBuf>,
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
    let cluster = Cluster::of(choose(flags.provider)?, "kube", "0");
    match command.as_str() {
        "up" => {
            cluster.up(&flags.tier, Some(&flags.api_port))?;
            cluster.env();
            Ok(())
        }
        "down" => cluster.down(flags.wipe),
        "load" => cluster.load(&flags.words.iter().map(PathBuf::from).collect::<Vec<_>>()),
        "check" => cluster.check(),
        "env" => {
            cluster.env();
            Ok(())
        }
        "figures" => cluster.figures(),
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

pub(crate) fn in_path(program: &str) -> bool {
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

/// A command in the cluster's network; with kind that is this machine's own, so only the environment is set.
fn exec(words: &[String]) -> Result<()> {
    let (program, rest) = words.split_first().context("cargo xtask cluster exec COMMAND...")?;
    let cluster = Cluster::of(choose(None)?, "kube", "0");
    match cluster.provider {
        Provider::Processes => sh::run(cluster.script("exec.sh").args(words)),
        Provider::Kind => {
            sh::run(Command::new(program).args(rest).env("KUBECONFIG", cluster.reach().kubeconfig))
        }
    }
}

impl Cluster {
    /// The one that `MESH_CLUSTER_NAME` and `MESH_CLUSTER_NET` name, or this one.
    pub(crate) fn of(provider: Provider, name: &str, net: &str) -> Self {
        let or = |variable: &str, value: &str| std::env::var(variable).unwrap_or_else(|_| value.to_owned());
        Cluster { provider, name: or("MESH_CLUSTER_NAME", name), net: or("MESH_CLUSTER_NET", net) }
    }

    /// Builds what the provider runs, ten minutes once per machine; an error says why it cannot work here.
    pub(crate) fn ready(&self) -> Result<()> {
        if self.provider == Provider::Processes {
            let what = "processes: Debian packages cannot be fetched";
            sh::run(&mut self.script("fetch.sh")).context(what)?;
            sh::run(&mut self.script("build.sh")).context("processes: Kubernetes cannot be built")?;
        }
        Ok(())
    }

    /// Brings it up; quick when it is up. Its API server also listens on this port of 127.0.0.1.
    pub(crate) fn up(&self, tier: &str, api_port: Option<&str>) -> Result<()> {
        self.ready()?;
        match self.provider {
            Provider::Processes => {
                let mut up = self.script("up.sh");
                up.arg(tier).envs(api_port.map(|port| ("MESH_CLUSTER_API_PORT", port)));
                sh::run(&mut up)
            }
            Provider::Kind => {
                if tier == "api" {
                    eprintln!("kind has no tier of the API alone: its node runs pods too");
                }
                if self.running() {
                    return Ok(());
                }
                std::fs::create_dir_all(sh::target_dir())?;
                let mut kind = self.kind(&["create", "cluster", "--wait", "180s"]);
                sh::run(kind.arg("--kubeconfig").arg(self.reach().kubeconfig))
            }
        }
    }

    /// Takes it down; objects stay unless `wipe`, if the provider can keep them.
    pub(crate) fn down(&self, wipe: bool) -> Result<()> {
        match self.provider {
            Provider::Processes if wipe => sh::run(self.script("down.sh").arg("--wipe")),
            Provider::Processes => sh::run(&mut self.script("down.sh")),
            // Nothing of a kind cluster outlives it.
            Provider::Kind => sh::run(&mut self.kind(&["delete", "cluster"])),
        }
    }

    /// True if it is up.
    pub(crate) fn running(&self) -> bool {
        match self.provider {
            Provider::Processes => quiet(self.script("exec.sh").arg("true")),
            Provider::Kind => {
                let told = Command::new("kind").args(["get", "clusters"]).output();
                told.is_ok_and(|told| {
                    String::from_utf8_lossy(&told.stdout).lines().any(|name| name == self.kind_name())
                })
            }
        }
    }

    /// Hands image archives to the node; those of `cargo xtask image` if none are named.
    pub(crate) fn load(&self, files: &[PathBuf]) -> Result<()> {
        let files = if files.is_empty() { image::archives() } else { files.to_vec() };
        for file in files {
            if !file.exists() {
                bail!("no {}: `cargo xtask image` writes the mesh's images", file.display());
            }
            match self.provider {
                // containerd's own command reads OCI layouts and docker-archives alike.
                Provider::Processes => {
                    let mut ctr = self.script("exec.sh");
                    sh::run(ctr.args(["ctr", "images", "import"]).arg(&file).stdout(Stdio::null()))?;
                }
                Provider::Kind => sh::run(self.kind(&["load", "image-archive"]).arg(&file))?,
            }
        }
        Ok(())
    }

    /// Installs the mesh afresh and prints what it takes.
    fn figures(&self) -> Result<()> {
        sh::run(sh::cargo().args(["build", "--workspace", "--bins", "--quiet"]))?;
        let mut cargo = sh::cargo();
        cargo.args(["test", "--workspace", "--quiet", "--test", "cluster"]);
        self.enter(&mut cargo)?;
        cargo.args(["--", "--ignored", "--nocapture", "figures"]);
        sh::run(cargo.env("MESH_BIN_DIR", sh::target_dir().join("debug")))
    }

    fn check(&self) -> Result<()> {
        match self.provider {
            Provider::Processes => sh::run(&mut self.script("check.sh")),
            Provider::Kind => {
                bail!("check.sh is about the cluster of processes; kind is tested by its makers")
            }
        }
    }

    /// Prints what a shell needs to talk to it.
    fn env(&self) {
        let reach = self.reach();
        println!("export KUBECONFIG={}", reach.kubeconfig.display());
        if let Some(programs) = reach.programs {
            println!("export PATH={}:$PATH", programs.display());
        }
    }

    /// Where its kubeconfig is.
    fn reach(&self) -> Reach {
        match self.provider {
            Provider::Kind => {
                let file = format!("kind-{}.conf", self.name);
                Reach { kubeconfig: sh::target_dir().join(file), programs: None }
            }
            Provider::Processes => {
                let kubeconfig = cache().join("clusters").join(&self.name).join("local.conf");
                Reach { kubeconfig, programs: Some(programs_dir()) }
            }
        }
    }

    /// Has `cargo` run its tests where the cluster's addresses can be reached, and tells them which cluster it is.
    pub(crate) fn enter(&self, cargo: &mut Command) -> Result<()> {
        let reach = self.reach();
        match (self.provider, reach.programs) {
            (Provider::Processes, Some(programs)) => {
                let target = image::target()?.to_uppercase().replace('-', "_");
                cargo.env(format!("CARGO_TARGET_{target}_RUNNER"), script_path("exec.sh"));
                cargo.env("MESH_CLUSTER_NAME", &self.name).env("MESH_CLUSTER_NET", &self.net);
                // Within its network the API server has its own address.
                let inside = reach.kubeconfig.with_file_name("admin.conf");
                cargo.env("MESH_KUBECONFIG", inside).env("MESH_KUBECTL", programs.join("kubectl"));
            }
            _ => drop(cargo.env("MESH_KUBECONFIG", reach.kubeconfig)),
        }
        Ok(())
    }

    /// Whether its API server can be ended and started while all else goes on.
    pub(crate) fn restarts_its_api_server(&self) -> bool {
        self.provider == Provider::Processes
    }

    fn script(&self, name: &str) -> Command {
        let mut script = Command::new(script_path(name));
        script.env("MESH_CLUSTER_NAME", &self.name).env("MESH_CLUSTER_NET", &self.net);
        script
    }

    fn kind(&self, args: &[&str]) -> Command {
        let mut kind = Command::new("kind");
        kind.args(args).args(["--name", &self.kind_name()]);
        kind
    }

    /// The name that kind knows it by.
    fn kind_name(&self) -> String {
        format!("mesh-{}", self.name)
    }
}

/// What e2e/cluster/settings.sh calls DIR.
fn cache() -> PathBuf {
    std::env::var_os("MESH_CLUSTER_DIR")
        .map_or_else(|| Path::new("/var/cache/mesh-cluster").into(), PathBuf::from)
}

fn programs_dir() -> PathBuf {
    cache().join("bin")
}

fn script_path(name: &str) -> PathBuf {
    sh::root().join("e2e/cluster").join(name)
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
