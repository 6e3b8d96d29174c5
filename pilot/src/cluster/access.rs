//! How the cluster is reached.
//!
//! In: settings. Out: one [`Cluster`]: the client that everything shares, with the namespace of the control plane.
//! Called once by `app`. Nothing is asked of the API server here: whoever asks waits for it.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::settings::Settings;

/// The object is there already, or has changed since it was read.
pub(super) const CONFLICT: u16 = 409;

/// The cluster that pilot's objects come from. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Speaks to the API server as pilot.
    pub(crate) client: Client,
    /// Root namespace of the mesh, `istio-system` by default: settings, keys, locks.
    pub(crate) namespace: String,
}

impl Cluster {
    /// The cluster of these settings; none if objects come from a folder.
    ///
    /// # Errors
    /// The kubeconfig cannot be read, or pilot runs in no pod.
    pub(crate) async fn open(settings: &Settings) -> Result<Option<Self>> {
        if settings.config_dir.is_some() {
            return Ok(None);
        }
        let config = match settings.kubeconfig.as_deref().or(mounted(settings)) {
            Some(path) => {
                let read = || format!("--kubeconfig {}", path.display());
                let file = Kubeconfig::read_from(path).with_context(read)?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.with_context(read)?
            }
            None => Config::incluster().context(
                "pilot runs in no pod of a cluster: give --config-dir DIR (objects in files) or --kubeconfig FILE",
            )?,
        };
        tracing::info!(api_server = %config.cluster_url, "reading objects of a cluster");
        let client =
            Client::try_from(config).context("the API server's address or certificates cannot be used")?;
        Ok(Some(Self { client, namespace: settings.namespace.clone() }))
    }
}

/// The file that the chart mounts for a control plane outside of its cluster. It is there for those only.
fn mounted(settings: &Settings) -> Option<&Path> {
    let path = Path::new(settings.mounted_kubeconfig.as_deref()?);
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0).then_some(path)
}

/// Whether the API server has answered with this code.
pub(super) fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
