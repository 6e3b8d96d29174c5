//! Ports of a workload, as its sidecar serves them.
//!
//! Comes in: the snapshot and what is known of one proxy. Goes out: ports with protocol, mode and limits, for its
//! view. Services declare them, unless the workload's Sidecar names its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::view::Me;
use crate::model::Snapshot;
use crate::model::endpoint::Address;
use crate::model::identity::Mode;
use crate::model::policy::Pool;
use crate::model::service::Protocol;
use crate::model::sidecar::{Behind, Ingress, Sidecar};

/// A port of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Served {
    pub port: u16,
    pub protocol: Protocol,
    pub mode: Mode,
    pub pool: Option<Pool>,
    /// Where the application is; None: where the connection went to.
    pub to: Option<(Address, u16)>,
    /// Host, name, namespace and port number of the services in front of it.
    pub services: Vec<(String, String, String, u16)>,
}

/// Ports of the workload that services of its namespace declare, or those of its Sidecar.
pub(super) fn served(snapshot: &Snapshot, me: &Me, sidecar: Option<&Sidecar>) -> Vec<Served> {
    let mut out: BTreeMap<u16, Served> = BTreeMap::new();
    let scope = snapshot.scopes.of(&me.namespace);
    let default = sidecar.and_then(|s| s.pool.as_ref());
    for service in snapshot.services.all.iter().filter(|s| s.namespace == me.namespace) {
        for port in service.ports.iter().filter(|p| p.protocol != Protocol::Udp) {
            let Some(number) = me.behind(snapshot, service, port) else { continue };
            let about = (service.host.clone(), service.name.clone(), service.namespace.clone(), port.number);
            // The first service by host decides what is spoken.
            let entry = out.entry(number).or_insert_with(|| {
                let rule = scope.service(&service.host).and_then(|v| v.rule.as_ref());
                let ruled = || rule.and_then(|r| r.effective(port.number, None).pool);
                Served {
                    port: number,
                    protocol: port.protocol,
                    mode: snapshot.identity.mode(&me.namespace, &me.labels, number),
                    pool: default.cloned().or_else(ruled),
                    to: None,
                    services: Vec::new(),
                }
            });
            entry.services.push(about);
        }
    }
    match sidecar.map(|s| s.ingress.as_slice()) {
        None | Some([]) => out.into_values().collect(),
        Some(ingress) => {
            let mut own: BTreeMap<u16, Served> = BTreeMap::new();
            for one in ingress {
                own.entry(one.port).or_insert_with(|| opened(snapshot, me, one, out.get(&one.port), default));
            }
            own.into_values().collect()
        }
    }
}

/// A port as a Sidecar opens it. Services that mean it keep their names on it.
fn opened(
    snapshot: &Snapshot,
    me: &Me,
    ingress: &Ingress,
    declared: Option<&Served>,
    pool: Option<&Pool>,
) -> Served {
    let ruled = || declared.and_then(|d| d.pool.clone());
    Served {
        port: ingress.port,
        protocol: ingress.protocol,
        mode: snapshot.identity.mode(&me.namespace, &me.labels, ingress.port),
        pool: ingress.pool.clone().or_else(|| pool.cloned()).or_else(ruled),
        to: ingress.to.as_ref().and_then(|to| place(to, me)),
        services: declared.map(|d| d.services.clone()).unwrap_or_default(),
    }
}

fn place(to: &Behind, me: &Me) -> Option<(Address, u16)> {
    Some(match to {
        Behind::Loopback { port, ipv6: false } => (Address::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)), *port),
        Behind::Loopback { port, ipv6: true } => (Address::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)), *port),
        Behind::Own(port) => (Address::Ip(*me.addresses.first()?), *port),
        Behind::Pipe(path) => (Address::Pipe(path.clone()), 0),
    })
}
