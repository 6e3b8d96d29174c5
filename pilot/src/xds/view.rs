//! A class of proxies that get the same.
//!
//! Comes in: what a proxy says of itself, how it is connected, and the snapshot. Goes out: a small value that
//! hashes; equal views share every layer. No raw label and no name of a pod gets in here unless some rule asks for
//! it: each field multiplies the number of views.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use api::meta::labels_match;
use wire::Node;
use wire::node::Role as NodeRole;

use super::near::Near;
use super::served::{Served, served};
use crate::model::gateway::Gateway;
use crate::model::identity::Mode;
use crate::model::mesh::Observe;
use crate::model::service::{Port, Service};
use crate::model::sidecar::Sidecar;
use crate::model::telemetry::Side;
use crate::model::traffic::TrafficRule;
use crate::model::workloads::Workload;
use crate::model::{Hashed, Snapshot, target_number};

/// What part a client plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Beside a workload.
    Sidecar,
    Gateway,
    /// A gRPC client without a proxy.
    Grpc,
}

/// What a client can load beyond Envoy's own filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// `istio.metadata_exchange`
    pub metadata_exchange: bool,
    /// `istio.stats`
    pub stats: bool,
    /// `istio.alpn`
    pub alpn: bool,
    /// `mesh.h2`: HTTP/2 between two of our own proxies.
    pub mesh_h2: bool,
}

impl Features {
    /// Whether it is one of our own proxies.
    pub fn own(self) -> bool {
        self.mesh_h2
    }
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Session {
    /// Speaks delta.
    pub delta: bool,
    /// Has shown a certificate of the namespace that it says it is in.
    pub authenticated: bool,
}

/// A class of proxies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub role: Role,
    pub namespace: String,
    /// Only labels that some rule asks of its clients.
    pub labels: BTreeMap<String, String>,
    pub features: Features,
    pub session: Session,
    /// Answers DNS for its workload.
    pub dns: bool,
    pub http10: bool,
    /// Inbound connections reach it by transparent sockets (`INTERCEPTION_MODE` TPROXY).
    pub transparent: bool,
    /// Its workload has an IPv6 address too.
    pub ipv6: bool,
    /// Where applications find the HTTP proxy port, if there is one.
    pub http_proxy: Option<(IpAddr, u16)>,
    /// Where it is, as far as endpoints are preferred by it.
    pub near: Near,
    /// The Sidecar that its workload follows.
    pub sidecar: Option<Hashed<Sidecar>>,
    /// DestinationRules that choose it by its labels.
    pub rules: Vec<Hashed<TrafficRule>>,
    /// Ports of its workload that services declare, or its Sidecar.
    pub served: Vec<Served>,
    /// Mode of all other ports.
    pub mode: Mode,
    /// What is told about its traffic as a client, and as a server.
    pub client: Hashed<Observe>,
    pub server: Hashed<Observe>,
    /// Gateways that it serves.
    pub gateways: Vec<Serving>,
}

/// A gateway that the proxy serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serving {
    pub gateway: Hashed<Gateway>,
    /// Port of the pod behind each server port.
    pub ports: BTreeMap<u16, u16>,
}

impl View {
    /// Whether source addresses must be said for both families.
    pub fn both_families(&self) -> bool {
        self.ipv6
    }

    /// The class of this proxy.
    pub fn of(snapshot: &Snapshot, node: &Node, session: Session) -> View {
        let me = Me::find(snapshot, node);
        let role = match node.id.role {
            NodeRole::Router => Role::Gateway,
            _ if node.metadata.generator == "grpc" => Role::Grpc,
            _ => Role::Sidecar,
        };
        let keys = &snapshot.routes.label_keys;
        let labels = me.labels.iter().filter(|(key, _)| keys.contains(key));
        let sidecar = if role == Role::Gateway {
            None
        } else {
            snapshot.sidecars.of(&me.namespace, &me.labels).cloned()
        };
        let served =
            if role == Role::Sidecar { served(snapshot, &me, sidecar.as_deref()) } else { Vec::new() };
        let mode = if role == Role::Sidecar {
            snapshot.identity.other_ports(&me.namespace, &me.labels)
        } else {
            Mode::default()
        };
        View {
            role,
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
            features: Features {
                metadata_exchange: node.has_extension("istio.metadata_exchange"),
                stats: node.has_extension("istio.stats"),
                alpn: node.has_extension("istio.alpn"),
                mesh_h2: node.has_extension("mesh.h2"),
            },
            session,
            dns: node.metadata.dns_capture && role == Role::Sidecar,
            http10: node.metadata.http10,
            transparent: role == Role::Sidecar && node.metadata.interception_mode == "TPROXY",
            ipv6: me.addresses.iter().any(IpAddr::is_ipv6),
            http_proxy: if role == Role::Sidecar { http_proxy(snapshot, node) } else { None },
            near: me.near().only(&snapshot.asked),
            client: Hashed::new(snapshot.telemetry.of(&me.namespace, &me.labels, Side::Client)),
            server: Hashed::new(snapshot.telemetry.of(&me.namespace, &me.labels, Side::Server)),
            rules: snapshot.traffic.chosen(&me.namespace, &me.labels),
            sidecar,
            served,
            mode,
            gateways: if role == Role::Gateway { gateways(snapshot, &me) } else { Vec::new() },
            namespace: me.namespace,
        }
    }
}

/// The proxy port: as the proxy says, else as the mesh says. Without namespaces every pod has a loopback address of
/// its own, and the port is there.
fn http_proxy(snapshot: &Snapshot, node: &Node) -> Option<(IpAddr, u16)> {
    let said = node.metadata.http_proxy_port.parse().ok();
    let port = said.unwrap_or(snapshot.mesh.http_proxy_port);
    let own = node.id.ip.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
    (port > 0).then(|| (own.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port))
}

/// What is known of a proxy: by its pod, else by its own word.
pub(super) struct Me {
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub addresses: Vec<IpAddr>,
    locality: String,
    workload: Option<Hashed<Workload>>,
}

impl Me {
    fn find(snapshot: &Snapshot, node: &Node) -> Me {
        let id = &node.id;
        let address = id.ip.parse::<IpAddr>().ok();
        let found = snapshot.workloads.named(&id.namespace, &id.name);
        let found = found.or_else(|| {
            let at = snapshot.workloads.at(&address?)?;
            // Somebody else's address says nothing of this one.
            (*at.namespace == *id.namespace && id.name.is_empty()).then_some(at)
        });
        let said = &node.locality;
        let locality = format!("{}/{}/{}", said.region, said.zone, said.sub_zone);
        let locality = locality.trim_end_matches('/').to_owned();
        match found {
            Some(workload) => Me {
                namespace: workload.namespace.to_string(),
                labels: (*workload.labels).clone(),
                addresses: workload.addresses.to_vec(),
                locality: if workload.locality.is_empty() { locality } else { workload.locality.to_string() },
                workload: Some(workload.clone()),
            },
            None => Me {
                namespace: id.namespace.clone(),
                labels: node.metadata.labels.clone(),
                addresses: said_addresses(node),
                locality,
                workload: None,
            },
        }
    }

    fn near(&self) -> Near {
        let workload = self.workload.as_deref();
        Near {
            locality: self.locality.clone(),
            network: workload.map(|w| w.network.to_string()).unwrap_or_default(),
            node: workload.map(|w| w.node.to_string()).unwrap_or_default(),
            labels: self.labels.clone(),
        }
    }

    /// Port of this workload behind a port of a service, if it is behind it at all.
    pub(super) fn behind(&self, snapshot: &Snapshot, service: &Service, port: &Port) -> Option<u16> {
        if !service.selector.is_empty() {
            let selected = labels_match(&service.selector, &self.labels);
            return if selected { target_number(port, self.workload.as_deref()) } else { None };
        }
        let endpoints = snapshot.endpoints.0.of(&service.host, &service.namespace, port.number)?;
        let mine = |address: &crate::model::endpoint::Address| matches!(address, crate::model::endpoint::Address::Ip(ip) if self.addresses.contains(ip));
        endpoints.iter().find(|e| mine(&e.address)).map(|e| e.port)
    }
}

/// Addresses that a proxy without a known pod says it has.
fn said_addresses(node: &Node) -> Vec<IpAddr> {
    let all = std::iter::once(&node.id.ip).chain(&node.metadata.instance_ips);
    let mut out: Vec<IpAddr> = all.filter_map(|text| text.parse().ok()).collect();
    out.sort();
    out.dedup();
    out
}

/// Gateways whose selector means this proxy.
fn gateways(snapshot: &Snapshot, me: &Me) -> Vec<Serving> {
    let mine = snapshot.gateways.all.iter().filter(|g| labels_match(&g.selector, &me.labels));
    let resolved = |number: u16| {
        let services = snapshot.services.all.iter().filter(|s| s.namespace == me.namespace);
        services.filter_map(|s| me.behind(snapshot, s, s.port(number)?)).next().unwrap_or(number)
    };
    mine.map(|gateway| Serving {
        gateway: gateway.clone(),
        ports: gateway.servers.iter().map(|s| (s.port, resolved(s.port))).collect(),
    })
    .collect()
}
