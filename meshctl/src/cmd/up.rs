//! `meshctl up`: a mesh on this machine.

use anyhow::Result;
use clap::Args;

use crate::cli::Global;
use crate::local::broker::Publish;
use crate::local::up;

/// Run Kubernetes manifests as a mesh on this machine
#[derive(Debug, Args)]
pub struct Up {
    /// Manifests: files, folders (kustomization.yaml or all *.yaml), or - for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<String>,
    /// Go on in the background once everything is ready
    #[arg(short, long)]
    detach: bool,
    /// Publish a port of a LoadBalancer Service elsewhere on 127.0.0.1, e.g. istio-ingressgateway:80=9000; 0 takes any free one
    #[arg(long, value_name = "SERVICE:PORT=HOSTPORT")]
    publish: Vec<Publish>,
    /// Plain lines instead of a table that keeps itself current
    #[arg(long, alias = "no-tui")]
    plain: bool,
    /// Run in the host's network, as where namespaces are not allowed: HTTP only, through http_proxy
    #[arg(long)]
    loopback: bool,
    /// The background process of `--detach`
    #[arg(long, hide = true)]
    background: bool,
}

impl Up {
    /// Runs the mesh until Ctrl-C or `meshctl down`.
    pub fn run(self, global: &Global) -> Result<i32> {
        up::run(up::Options {
            mesh: global.mesh.clone(),
            namespace: global.namespace().to_owned(),
            files: self.files,
            publish: self.publish,
            plain: self.plain,
            loopback: self.loopback,
            way: match (self.background, self.detach) {
                (true, _) => up::Way::Background,
                (false, true) => up::Way::Detach,
                (false, false) => up::Way::Here,
            },
        })
    }
}
