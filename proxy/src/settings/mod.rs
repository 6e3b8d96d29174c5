//! What this process was told at its start: arguments, environment, files of the pod.
//!
//! In: arguments in the manner of `pilot-agent` (`proxy sidecar --domain ...`) or of Envoy (`-c FILE ...`), and the
//! environment. Out: [`Settings`], or every mistake in words. Read once by `main`; nothing else looks at either.

mod agent;
mod flags;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use agent::{Agent, Files};
pub use flags::{Command, Flags, HELP, parse};

/// Version that this program says it is: Istio's metadata key `ISTIO_VERSION` unless the environment says otherwise.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything.
#[derive(Debug, Clone)]
pub struct Settings {
    pub source: Source,
    /// Worker threads; `None`: one per core that this process may use.
    pub concurrency: Option<usize>,
    /// How long connections may finish after SIGTERM (`terminationDrainDuration`, `--drain-time-s`). Default 5 s.
    pub drain: Duration,
    /// Leave as soon as no connection is open, after the minimum drain (`EXIT_ON_ZERO_ACTIVE_CONNECTIONS`).
    pub exit_on_zero: Option<Duration>,
    /// File that gets the admin address (`--admin-address-path`).
    pub admin_address_path: Option<PathBuf>,
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An Envoy bootstrap, as JSON.
    Bootstrap(Box<Bootstrap>),
    /// A control plane of Istio's kind.
    Agent(Box<Agent>),
}

/// `-c FILE` and `--config-yaml`.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The file's path, for messages; empty for `--config-yaml` alone.
    pub path: String,
    pub json: serde_json::Value,
    /// `--service-node`, wins over the file.
    pub node_id: Option<String>,
    /// `--service-cluster`
    pub node_cluster: Option<String>,
}

/// The ports that a proxy of a mesh opens for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// 127.0.0.1:15000
    pub admin: SocketAddr,
    /// 15020: health, merged metrics, probes.
    pub status: u16,
    /// 15021: readiness.
    pub ready: u16,
    /// 15090: Prometheus.
    pub prometheus: u16,
    /// 127.0.0.1:15053, if DNS is captured.
    pub dns: Option<SocketAddr>,
}
