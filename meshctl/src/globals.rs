//! Flags of every command, named as istioctl and kubectl name them, and the one rule that says whether a command
//! means the mesh of this machine or a cluster.
//!
//! In: the command line, `MESHCTL_MESH`, `KUBECONFIG`. Out: a namespace, and a `Target`. Flags go before the
//! environment: `--mesh` means this machine, `--kubeconfig`, `--context` and `--as` mean a cluster; then `MESHCTL_MESH`
//! means this machine, `KUBECONFIG` a cluster. Where nothing is told, a mesh that runs here is meant, else the cluster of
//! `~/.kube/config` or of the pod that this runs in. `client::kube` finds the cluster itself.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::client::kube;
use crate::cmd::printed::BadUsage;
use crate::local::client::Client;
use crate::local::paths::Paths;

/// The mesh of this machine that is meant when nobody says one.
pub const DEFAULT_MESH: &str = "default";

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Namespace that is meant where none is written
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Namespace of the control plane
    #[arg(long = "istioNamespace", alias = "istio-namespace", global = true)]
    #[arg(value_name = "NAMESPACE", default_value = "istio-system", hide_default_value = true)]
    pub istio_namespace: String,
    /// Name of the laptop mesh (or MESHCTL_MESH)
    #[arg(long, global = true, value_name = "NAME")]
    pub mesh: Option<String>,
    /// A cluster: its context in the kubeconfig
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// A cluster: its kubeconfig (or KUBECONFIG, or ~/.kube/config)
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Act in the cluster as this user
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub as_user: Option<String>,
    /// Act in the cluster as a member of this group; several times for several
    #[arg(long, global = true, value_name = "GROUP", hide_short_help = true)]
    pub as_group: Vec<String>,
    /// Act in the cluster as the user with this id
    #[arg(long, global = true, value_name = "UID", hide_short_help = true)]
    pub as_uid: Option<String>,
}

/// Where a command works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The mesh of this name on this machine, which may not run.
    Laptop(String),
    /// The cluster that `client::kube` finds.
    Cluster,
}

/// What the user said about where to work.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Laptop(String),
    /// The word that means a cluster.
    Cluster(&'static str),
    Nothing,
}

/// The environment's part in the rule.
#[derive(Clone, Debug, Default)]
struct Environment {
    mesh: Option<String>,
    kubeconfig: bool,
}

impl Environment {
    fn read() -> Self {
        Self {
            mesh: std::env::var("MESHCTL_MESH").ok().filter(|name| !name.is_empty()),
            kubeconfig: std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()),
        }
    }
}

/// Short forms that istioctl's commands have; kubectl's have `-c CONTAINER` and `-i` for standard input there.
#[derive(Args, Clone, Debug, Default)]
pub struct Short {
    #[arg(short = 'c', id = "short_kubeconfig", global = true, value_name = "FILE", hide = true)]
    kubeconfig: Option<PathBuf>,
    #[arg(short = 'i', id = "short_istio_namespace", global = true, value_name = "NAMESPACE", hide = true)]
    istio_namespace: Option<String>,
}

impl Globals {
    /// The namespace that is meant.
    pub fn namespace(&self) -> &str {
        self.said_namespace().unwrap_or("default")
    }

    /// The namespace, if one was said.
    pub fn said_namespace(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|name| !name.is_empty())
    }

    /// Where a command works that knows both: the rule at the top of this file.
    ///
    /// # Errors
    /// The command line says both.
    pub fn target(&self) -> Result<Target> {
        Ok(match self.told(&Environment::read())? {
            Told::Laptop(name) => Target::Laptop(name),
            Told::Cluster(_) => Target::Cluster,
            Told::Nothing if runs_here() || !kube::configured() => Target::Laptop(DEFAULT_MESH.to_owned()),
            Told::Nothing => Target::Cluster,
        })
    }

    /// The laptop mesh that a command means which only knows those.
    ///
    /// # Errors
    /// A cluster is meant.
    pub fn mesh(&self) -> Result<String> {
        match self.told(&Environment::read())? {
            Told::Laptop(name) => Ok(name),
            Told::Nothing => Ok(DEFAULT_MESH.to_owned()),
            Told::Cluster(word) => bail!(
                "{word} means a Kubernetes cluster, and this command works on the meshes of this machine only; use \
                 kubectl there, or say --mesh {DEFAULT_MESH} for the one that `meshctl up` starts"
            ),
        }
    }

    /// The laptop mesh that `up` and `down` mean, whatever cluster there may be.
    pub fn own_mesh(&self) -> String {
        let said = self.mesh.clone().filter(|name| !name.is_empty());
        said.or(Environment::read().mesh).unwrap_or_else(|| DEFAULT_MESH.to_owned())
    }

    /// Refuses `--mesh` for a command that only works on clusters.
    ///
    /// # Errors
    /// `--mesh` was said.
    pub fn cluster_only(&self) -> Result<()> {
        match self.mesh {
            Some(_) => {
                Err(BadUsage("--mesh means a mesh of this machine; this command works on clusters".into())
                    .into())
            }
            None => Ok(()),
        }
    }

    fn told(&self, environment: &Environment) -> Result<Told> {
        let cluster = [
            ("--context", self.context.is_some()),
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--as", self.as_user.is_some()),
        ];
        let cluster = cluster.into_iter().find(|(_, said)| *said).map(|(word, _)| word);
        Ok(match (self.mesh.as_deref().filter(|name| !name.is_empty()), cluster) {
            (Some(_), Some(word)) => bail!(BadUsage(format!(
                "--mesh means a mesh of this machine and {word} a Kubernetes cluster; say one of them"
            ))),
            (Some(name), None) => Told::Laptop(name.to_owned()),
            (None, Some(word)) => Told::Cluster(word),
            (None, None) => match &environment.mesh {
                Some(name) => Told::Laptop(name.clone()),
                None if environment.kubeconfig => Told::Cluster("KUBECONFIG"),
                None => Told::Nothing,
            },
        })
    }

    /// The same with what was said in short forms.
    #[must_use]
    pub fn with(&self, short: &Short) -> Self {
        let kubeconfig = self.kubeconfig.clone().or_else(|| short.kubeconfig.clone());
        let istio_namespace = short.istio_namespace.clone().unwrap_or_else(|| self.istio_namespace.clone());
        Self { kubeconfig, istio_namespace, ..self.clone() }
    }
}

/// Whether a mesh of this user runs on this machine.
fn runs_here() -> bool {
    matches!(Client::try_connect(DEFAULT_MESH), Ok(Some(_)))
        || Paths::running(DEFAULT_MESH).is_ok_and(|others| !others.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_then_environment() {
        let told = |mesh: &str, context: &str, env_mesh: &str, kubeconfig: bool| {
            let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let globals = Globals { mesh: word(mesh), context: word(context), ..Globals::default() };
            globals.told(&Environment { mesh: word(env_mesh), kubeconfig })
        };
        let laptop = |name: &str| Told::Laptop(name.to_owned());
        assert_eq!(told("", "", "", false).unwrap(), Told::Nothing);
        assert_eq!(told("", "", "", true).unwrap(), Told::Cluster("KUBECONFIG"));
        assert_eq!(told("", "", "e", true).unwrap(), laptop("e"));
        assert_eq!(told("b", "", "e", true).unwrap(), laptop("b"));
        assert_eq!(told("", "kind", "e", false).unwrap(), Told::Cluster("--context"));
        assert!(told("b", "kind", "", false).unwrap_err().to_string().contains("say one of them"));
    }
}
