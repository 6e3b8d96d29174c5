//! The commands that look and change nothing. One variant each; the files beside this one do the work.

use anyhow::Result;
use clap::{Command, Subcommand};

use super::printed::Printed;
use super::{
    admin, analyze, bug_report, completion, dashboard, describe, kube_inject, manifest, proxy_config,
    proxy_status, remote_clusters, validate, version, x,
};
use crate::globals::Globals;

/// Commands that look and change nothing.
#[derive(Subcommand, Clone, Debug)]
pub enum Inspect {
    #[command(visible_alias = "v")]
    Validate(validate::Validate),
    Analyze(analyze::Analyze),
    #[command(name = "proxy-status", visible_alias = "ps")]
    ProxyStatus(proxy_status::ProxyStatus),
    #[command(name = "proxy-config", visible_alias = "pc")]
    ProxyConfig(proxy_config::ProxyConfig),
    #[command(visible_alias = "des")]
    Describe(describe::Describe),
    #[command(visible_aliases = ["dash", "d"])]
    Dashboard(dashboard::Dashboard),
    #[command(visible_alias = "istiod")]
    Admin(admin::Admin),
    #[command(name = "bug-report")]
    BugReport(bug_report::BugReport),
    #[command(name = "remote-clusters")]
    RemoteClusters(remote_clusters::RemoteClusters),
    #[command(name = "kube-inject")]
    KubeInject(kube_inject::KubeInject),
    Manifest(manifest::Manifest),
    Version(version::Version),
    Completion(completion::Completion),
    #[command(name = "x", visible_alias = "experimental")]
    Experimental(x::Experimental),
}

impl Inspect {
    /// Runs the command; `tree` is the whole command line, for completion.
    ///
    /// # Errors
    /// As the command says; `printed::failed` makes text and exit code of it.
    pub fn run(&self, globals: &Globals, tree: &Command) -> Result<Printed> {
        match self {
            Inspect::Validate(args) => validate::run(args, globals),
            Inspect::Analyze(args) => analyze::run(args, globals),
            Inspect::ProxyStatus(args) => proxy_status::run(args, globals),
            Inspect::ProxyConfig(args) => proxy_config::run(args, globals),
            Inspect::KubeInject(args) => kube_inject::run(args, globals),
            Inspect::Manifest(args) => manifest::run(args, globals),
            Inspect::Describe(args) => describe::run(args, globals),
            Inspect::Dashboard(args) => dashboard::run(args, globals),
            Inspect::Admin(args) => admin::run(args, globals),
            Inspect::BugReport(args) => bug_report::run(args, globals),
            Inspect::RemoteClusters(args) => remote_clusters::run(args, globals),
            Inspect::Version(args) => version::run(args, globals),
            Inspect::Completion(args) => completion::run(args, tree),
            Inspect::Experimental(args) => x::run(args, globals),
        }
    }
}
