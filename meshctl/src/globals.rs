//! Flags of every command, named as istioctl names them, and what they say about which mesh is meant.
//!
//! In: the command line and `MESHCTL_MESH`, `KUBECONFIG`. Out: the namespace, and the name of the mesh. A running
//! laptop mesh is meant unless a flag or KUBECONFIG points at a cluster; `--mesh` wins over all of them.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

/// The mesh that is meant when nobody says one.
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
    /// Name of the laptop mesh
    #[arg(long, global = true, env = "MESHCTL_MESH", value_name = "NAME", hide_env_values = true)]
    pub mesh: Option<String>,
    /// A cluster's context (needs a later release)
    #[arg(long, global = true, value_name = "CONTEXT", hide_short_help = true)]
    pub context: Option<String>,
    /// A cluster's kubeconfig (needs a later release)
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub kubeconfig: Option<PathBuf>,
}

/// Short forms that istioctl's commands have; kubectl's have `-c CONTAINER` and `-i` for standard input there.
#[derive(Args, Clone, Debug, Default)]
pub struct Short {
    #[arg(short = 'c', id = "short_kubeconfig", value_name = "FILE", hide = true)]
    kubeconfig: Option<PathBuf>,
    #[arg(short = 'i', id = "short_istio_namespace", value_name = "NAMESPACE", hide = true)]
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

    /// The name of the laptop mesh that is meant.
    ///
    /// # Errors
    /// A cluster is meant.
    pub fn mesh(&self) -> Result<&str> {
        self.mesh_unless(std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()))
    }

    fn mesh_unless(&self, kubeconfig: bool) -> Result<&str> {
        if let Some(mesh) = self.mesh.as_deref().filter(|name| !name.is_empty()) {
            return Ok(mesh);
        }
        let cluster = match (&self.context, &self.kubeconfig) {
            (Some(_), _) => "--context",
            (None, Some(_)) => "--kubeconfig",
            (None, None) if kubeconfig => "KUBECONFIG",
            (None, None) => return Ok(DEFAULT_MESH),
        };
        bail!(
            "{cluster} means a Kubernetes cluster, and this release only knows laptop meshes; \
             say --mesh {DEFAULT_MESH} (or MESHCTL_MESH={DEFAULT_MESH}) for the one that `meshctl up` starts"
        )
    }

    /// The same with what was said in short forms.
    #[must_use]
    pub fn with(&self, short: &Short) -> Self {
        let kubeconfig = self.kubeconfig.clone().or_else(|| short.kubeconfig.clone());
        let istio_namespace = short.istio_namespace.clone().unwrap_or_else(|| self.istio_namespace.clone());
        Self { kubeconfig, istio_namespace, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laptop_unless_a_cluster_is_meant() {
        let plain = Globals::default();
        assert_eq!(plain.mesh_unless(false).unwrap(), "default");
        assert!(plain.mesh_unless(true).unwrap_err().to_string().starts_with("KUBECONFIG"));
        let forced = Globals { mesh: Some("b".into()), context: Some("kind".into()), ..Globals::default() };
        assert_eq!(forced.mesh_unless(true).unwrap(), "b");
        let file = Globals { kubeconfig: Some("f".into()), ..Globals::default() };
        assert!(file.mesh_unless(false).is_err());
    }
}
