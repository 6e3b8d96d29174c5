//! What a Sidecar says: which part of the mesh a workload needs, and which ports it opens.
//!
//! Made by `sidecars.rs`; `narrow.rs` cuts a scope down by it, `xds/served.rs` takes its ports and
//! `xds/layers` its way out.

use std::collections::BTreeMap;

use super::hashed::Hashed;
use super::names::{covers, overlap};
use super::policy::Pool;
use super::routes::route::Destination;
use super::service::{Port, Protocol, Service, Source};

/// One Sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sidecar {
    pub name: String,
    pub namespace: String,
    /// Labels of its workloads. Empty: it is a default.
    pub labels: BTreeMap<String, String>,
    /// Empty: everything that is visible.
    pub egress: Vec<Egress>,
    /// Empty: what Services declare.
    pub ingress: Vec<Ingress>,
    /// `inboundConnectionPool`.
    pub pool: Option<Pool>,
    /// None: as the mesh says.
    pub outside: Option<Outside>,
    pub source: Source,
}

/// Where connections to unknown places go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outside {
    /// Where they wanted to.
    #[default]
    Pass,
    /// Nowhere.
    Block,
    /// To a service that takes them all (`egressProxy`).
    Through(Destination),
}

/// One egress listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Egress {
    /// Only this port; None: all that no other listener names.
    pub port: Option<u16>,
    /// What that port speaks, if it is said.
    pub protocol: Option<Protocol>,
    pub hosts: Vec<EgressHost>,
}

/// `namespace/host` of an egress listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EgressHost {
    pub namespace: From,
    /// Written with `~`: takes away instead of adding.
    pub not: bool,
    /// Full name, `*.suffix` or `*`.
    pub host: String,
}

/// Namespaces of an egress host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum From {
    Any,
    /// `.`: that of the workload.
    Own,
    Named(String),
    /// `~`: none.
    Nowhere,
}

/// One ingress listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ingress {
    pub port: u16,
    pub protocol: Protocol,
    /// None: the same port of the workload.
    pub to: Option<Behind>,
    pub pool: Option<Pool>,
}

/// `defaultEndpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Behind {
    /// On the loopback address.
    Loopback {
        port: u16,
        ipv6: bool,
    },
    /// On the address of the workload.
    Own(u16),
    Pipe(String),
}

impl From {
    fn has(&self, namespace: &str, own: &str) -> bool {
        match self {
            From::Any => true,
            From::Own => namespace == own,
            From::Named(name) => namespace == name,
            From::Nowhere => false,
        }
    }
}

impl Egress {
    fn some(&self, namespace: &str, own: &str, fits: impl Fn(&str) -> bool) -> bool {
        let any = |not: bool| {
            self.hosts.iter().any(|h| h.not == not && h.namespace.has(namespace, own) && fits(&h.host))
        };
        any(false) && !any(true)
    }
}

impl Sidecar {
    /// What a port speaks for these workloads: a listener of its own may say that it is HTTP, or that it is not. Which
    /// HTTP it is stays a matter of the service.
    pub fn spoken(&self, port: &Port) -> Protocol {
        let said = self.egress.iter().find(|e| e.port == Some(port.number)).and_then(|e| e.protocol);
        said.filter(|p| p.is_http() != port.protocol.is_http()).unwrap_or(port.protocol)
    }

    /// Whether a workload in `own` reaches a port of a service by its name.
    pub fn reaches(&self, service: &Service, port: u16, own: &str) -> bool {
        let has = |e: &&Egress| e.some(&service.namespace, own, |host| covers(host, &service.host));
        let mut named = self.egress.iter().filter(|e| e.port == Some(port)).peekable();
        // A listener of that port alone decides about it.
        if named.peek().is_some() {
            return named.any(|e| has(&e));
        }
        self.egress.is_empty() || self.egress.iter().filter(|e| e.port.is_none()).any(|e| has(&e))
    }

    /// Whether a workload in `own` follows routes for these hosts, written in `namespace`.
    pub fn follows(&self, namespace: &str, hosts: &[String], own: &str) -> bool {
        let meets = |e: &Egress| e.some(namespace, own, |host| hosts.iter().any(|h| overlap(host, h)));
        self.egress.is_empty() || self.egress.iter().any(meets)
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sidecars {
    /// Those with labels, oldest first, by namespace.
    pub chosen: BTreeMap<String, Vec<Hashed<Sidecar>>>,
    /// Those without, by namespace.
    pub defaults: BTreeMap<String, Hashed<Sidecar>>,
    /// For namespaces without a default of their own.
    pub mesh: Option<Hashed<Sidecar>>,
}

impl Sidecars {
    /// The one that a workload follows: chosen by its labels, else its namespace's, else the mesh's.
    pub fn of(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<&Hashed<Sidecar>> {
        let mut chosen = self.chosen.get(namespace).into_iter().flatten();
        chosen
            .find(|s| api::meta::labels_match(&s.labels, labels))
            .or_else(|| self.defaults.get(namespace))
            .or(self.mesh.as_ref())
    }
}
