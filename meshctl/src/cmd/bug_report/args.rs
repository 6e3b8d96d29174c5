//! The command line of `bug-report`.

use anyhow::{Result, bail};
use clap::Args;

use super::choice::Choice;
use crate::cmd::printed::BadUsage;
use crate::globals::Short;

/// Collect logs, configuration and state of the mesh into bug-report.tar.gz
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl bug-report\n  \
    meshctl bug-report --include default,shop --duration 30m\n  \
    meshctl bug-report --include 'default/reviews-*' --exclude '*/*/*/version=v1'\n\n\
    A choice is NAMESPACES/DEPLOYMENTS/PODS/LABELS/ANNOTATIONS, each a list with commas and *, later parts left out.\n\
    No private key, no value of a Secret and no value of a variable that looks like one is in the archive.")]
pub struct BugReport {
    /// Only pods of this choice; several times for several
    #[arg(long, value_name = "CHOICE")]
    pub(super) include: Vec<Choice>,
    /// No pods of this choice
    #[arg(
        long,
        value_name = "CHOICE",
        default_value = "kube-node-lease,kube-public,kube-system,local-path-storage"
    )]
    #[arg(hide_default_value = true)]
    pub(super) exclude: Vec<Choice>,
    /// Log lines of this time only, such as 30m
    #[arg(long, value_name = "DURATION")]
    pub(super) duration: Option<api::Duration>,
    /// Log lines from this time on, such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", conflicts_with = "duration")]
    pub(super) start_time: Option<jiff::Timestamp>,
    /// The last lines of each log
    #[arg(long, value_name = "LINES", default_value_t = 100_000, hide_default_value = true)]
    pub(super) tail: u64,
    /// Write what there is after this time
    #[arg(long, value_name = "DURATION", default_value = "30m", hide_default_value = true)]
    pub(super) timeout: api::Duration,
    /// Where the archive goes
    #[arg(long, alias = "dir", value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub(super) output_dir: std::path::PathBuf,
    /// Requests at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 32, hide_default_value = true)]
    pub(super) rq_concurrency: usize,
    /// Admin port of proxies
    #[arg(long, value_name = "PORT", default_value_t = 15000, hide = true)]
    pub(super) proxy_admin_port: u16,
    /// Without the objects
    #[arg(long)]
    pub(super) skip_cluster_dump: bool,
    /// Without what `analyze` finds
    #[arg(long)]
    pub(super) skip_analyze: bool,
    /// Without the admin pages of proxies
    #[arg(long)]
    pub(super) skip_proxy_debug: bool,
    /// List the files instead of fetching them
    #[arg(long)]
    pub(super) dry_run: bool,
    // Our images have no program for either, so there is nothing to leave out.
    #[arg(long, hide = true)]
    skip_netstat: bool,
    #[arg(long, hide = true)]
    skip_coredumps: bool,
    #[arg(long, hide = true)]
    full_secrets: bool,
    #[arg(long, hide = true, value_name = "TIME")]
    end_time: Option<String>,
    #[arg(long, hide = true, value_name = "TEXT")]
    critical_errs: Vec<String>,
    #[arg(long, hide = true, value_name = "TEXT")]
    ignore_errs: Vec<String>,
    #[arg(short = 'f', long = "filename", hide = true, value_name = "FILE")]
    file: Option<String>,
    #[command(flatten)]
    pub(super) flags: Short,
}

impl BugReport {
    /// Refuses what is taken from istioctl's command line and has no meaning here.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = [
            (self.full_secrets, "--full-secrets: values of Secrets are never put into a report"),
            (
                self.end_time.is_some(),
                "--end-time: logs are read up to now; --duration and --start-time say from when",
            ),
            (
                !self.critical_errs.is_empty(),
                "--critical-errs: logs are kept whole; --tail and --duration make them shorter",
            ),
            (
                !self.ignore_errs.is_empty(),
                "--ignore-errs: logs are kept whole; --tail and --duration make them shorter",
            ),
            (self.file.is_some(), "-f: settings are not read from files; say them as flags"),
            (self.rq_concurrency == 0, "--rq-concurrency is at least 1"),
        ];
        match wrong.iter().find(|(said, _)| *said) {
            Some((_, why)) => bail!(BadUsage((*why).to_owned())),
            None => Ok(()),
        }
    }

    /// How old the oldest log line may be, in seconds.
    pub(super) fn since(&self) -> Option<u64> {
        let from_start = self.start_time.map(|time| jiff::Timestamp::now().as_second() - time.as_second());
        let from_start = from_start.and_then(|seconds| u64::try_from(seconds).ok());
        self.duration.map(|duration| duration.to_std().as_secs()).or(from_start).map(|seconds| seconds.max(1))
    }
}
