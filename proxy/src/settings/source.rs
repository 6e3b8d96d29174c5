//! Where the settings come from: a bootstrap file as Envoy takes it, or the environment of an injected container.
//!
//! In: flags and environment. Out: `Settings`, complete, or an error that names what is wrong. Called by `main`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use base::settings::Settings as Environment;
use wire::node::NodeId;
use wire::pb::envoy::config::core::v3 as core;

use super::{Agent, Command, Flags};

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
#[derive(Debug, Clone, Default)]
pub struct Bootstrap {
    /// Empty for `--config-yaml` alone.
    pub path: String,
    pub text: String,
    /// `--config-yaml`, laid over the file.
    pub overlay: String,
    /// `--service-node`, wins over the file.
    pub node_id: Option<String>,
    /// `--service-cluster`
    pub node_cluster: Option<String>,
}

impl Bootstrap {
    /// For messages.
    pub fn name(&self) -> &str {
        if self.path.is_empty() { "--config-yaml" } else { &self.path }
    }

    /// The node of the file with the flags over it, and with what our proxy says about itself.
    pub fn introduce(&self, mut node: core::Node) -> core::Node {
        if let Some(id) = &self.node_id {
            node.id.clone_from(id);
        }
        if let Some(cluster) = &self.node_cluster {
            node.cluster.clone_from(cluster);
        }
        let mut ours = wire::Node::new(NodeId {
            role: wire::node::Role::Sidecar,
            ip: String::new(),
            name: String::new(),
            namespace: String::new(),
            domain: String::new(),
        });
        super::agent::introduce(&mut ours);
        let ours = ours.to_proto();
        node.user_agent_name = ours.user_agent_name;
        node.user_agent_version_type = ours.user_agent_version_type;
        for extension in ours.extensions {
            if node.extensions.iter().all(|known| known.name != extension.name) {
                node.extensions.push(extension);
            }
        }
        node
    }
}

impl Settings {
    /// Reads everything below `root` (the pod's files); mistakes of the environment are gathered in `env`.
    pub fn read(flags: &Flags, env: &mut Environment, root: &Path) -> anyhow::Result<Self> {
        let concurrency =
            flags.number("concurrency").map_err(anyhow::Error::msg)?.and_then(|n| usize::try_from(n).ok());
        let drain = flags.number("drain-time-s").map_err(anyhow::Error::msg)?.map(Duration::from_secs);
        let admin_address_path = flags.get("admin-address-path").map(PathBuf::from);
        if let Command::Agent { role, only } = &flags.command {
            let agent = Agent::read(role, *only, flags, env, root);
            return Ok(Settings {
                concurrency: concurrency.or(agent.concurrency),
                drain: drain.unwrap_or(agent.drain),
                exit_on_zero: agent.exit_on_zero,
                admin_address_path,
                source: Source::Agent(Box::new(agent)),
            });
        }
        let path = flags.get("config-path").unwrap_or_default().to_owned();
        let text = match path.as_str() {
            "" => String::new(),
            path => std::fs::read_to_string(path).with_context(|| path.to_owned())?,
        };
        let bootstrap = Bootstrap {
            path,
            text,
            overlay: flags.get("config-yaml").unwrap_or_default().to_owned(),
            node_id: flags.get("service-node").map(str::to_owned),
            node_cluster: flags.get("service-cluster").map(str::to_owned),
        };
        Ok(Settings {
            source: Source::Bootstrap(Box::new(bootstrap)),
            concurrency,
            drain: drain.unwrap_or(Duration::from_secs(5)),
            exit_on_zero: None,
            admin_address_path,
        })
    }

    /// A proxy of a mesh stays for the whole drain, since others learn late that it leaves.
    pub fn quits_when_idle(&self) -> bool {
        matches!(self.source, Source::Bootstrap(_))
    }
}

/// The ports that a proxy of a mesh opens for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// 127.0.0.1:15000
    pub admin: SocketAddr,
    /// 15020: health, merged metrics, probes.
    pub status: u16,
    /// 15021: readiness.
    pub ready: u16,
    /// 15090: Prometheus.
    pub prometheus: u16,
    /// 127.0.0.1:15053 and its IPv6 twin, if DNS is captured.
    pub dns: Vec<SocketAddr>,
}
