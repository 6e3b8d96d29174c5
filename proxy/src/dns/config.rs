//! What the DNS server needs to know: search domains, resolvers behind it, and what it counts.
//!
//! In: `/etc/resolv.conf` and the agent's settings. Read by `server` and `forward`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::Table;
use crate::settings::Agent;

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// In order of preference.
    pub resolvers: Vec<SocketAddr>,
    /// `search` of resolv.conf, lower case.
    pub search: Vec<String>,
    pub timeout: Duration,
    /// Exempts our own questions from interception.
    pub mark: Option<u32>,
    pub namespace: String,
    /// For example `default.svc.cluster.local`.
    pub domain: String,
}

impl Settings {
    /// From what the agent was told and the pod's resolv.conf.
    pub fn of(agent: &Agent, listen: SocketAddr, mark: Option<u32>) -> Self {
        let text = std::fs::read_to_string(&agent.files.resolv_conf).unwrap_or_default();
        let (resolvers, search) = resolv_conf(&text);
        Settings {
            listen,
            resolvers: resolvers.into_iter().filter(|address| !agent.ports.dns.contains(address)).collect(),
            search,
            timeout: agent.dns_timeout,
            mark,
            namespace: agent.node.metadata.namespace.clone(),
            domain: agent.node.id.domain.clone(),
        }
    }
}

/// Name servers and search domains of `/etc/resolv.conf`.
pub(crate) fn resolv_conf(text: &str) -> (Vec<SocketAddr>, Vec<String>) {
    let mut resolvers = Vec::new();
    let mut search = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                resolvers.extend(address.map(|ip| SocketAddr::new(ip, 53)));
            }
            // The last one wins, as in the C library.
            Some("search") => {
                search = words.map(|word| word.trim_end_matches('.').to_ascii_lowercase()).collect()
            }
            _ => {}
        }
    }
    (resolvers, search)
}

/// Counters, named as those of Istio's agent.
#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    pub upstream_requests: AtomicU64,
    pub upstream_failures: AtomicU64,
    /// The table in force, for `/debug/ndsz`.
    pub table: parking_lot::Mutex<Option<Arc<Table>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_resolv_conf() {
        let text = "search default.svc.cluster.local. svc.cluster.local\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n";
        let (resolvers, search) = resolv_conf(text);
        assert_eq!(resolvers, ["10.96.0.10:53".parse().unwrap(), "[fd00::a]:53".parse().unwrap()]);
        assert_eq!(search, ["default.svc.cluster.local", "svc.cluster.local"]);
    }
}
