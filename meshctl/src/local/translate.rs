//! The node's translation table: Service addresses to pods, and the way to the outside.
//!
//! In: all Service views and the pods' addresses. Out: one nftables batch that replaces the last one. Every pod's
//! packets pass the node, so one table serves all pods, with a sidecar or not. A Service without ready pods
//! refuses at once. TCP to the rest of the world is turned to the egress listener; other traffic finds no route.

use std::net::IpAddr;

use base::net::nft::{Action, At, Batch, Family, Hook, L4, Match};

use super::addresses::{DNS, PODS, PODS6, SERVICES, SERVICES6};
use super::services::{Reach, ServiceView};

const TABLE: &str = "services";
const TO_PODS: &str = "to_pods";
const FROM_PODS: &str = "from_pods";
const REFUSE: &str = "refuse";

/// What the table is made of; equal inputs need no new table.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// All Services.
    pub services: Vec<ServiceView>,
    /// Addresses of all pods.
    pub pods: Vec<IpAddr>,
    /// Port of the egress listener on the node.
    pub egress: u16,
    /// Whether the kernel has IPv6.
    pub ipv6: bool,
}

/// The whole table.
#[must_use]
pub fn batch(input: &Input) -> Batch {
    let mut batch = Batch::new();
    table(&mut batch, input, Family::Ip);
    if input.ipv6 {
        table(&mut batch, input, Family::Ip6);
    }
    batch
}

fn table(batch: &mut Batch, input: &Input, family: Family) {
    let (pods, services): ((IpAddr, u8), (IpAddr, u8)) = match family {
        Family::Ip => ((PODS.0.into(), PODS.1), (SERVICES.0.into(), SERVICES.1)),
        Family::Ip6 => ((PODS6.0.into(), PODS6.1), (SERVICES6.0.into(), SERVICES6.1)),
    };
    let at = |chain| At { family, table: TABLE, chain };
    batch.fresh_table(family, TABLE);
    batch.chain(family, TABLE, TO_PODS, Some(Hook::NatPrerouting));
    batch.chain(family, TABLE, FROM_PODS, Some(Hook::NatPostrouting));
    batch.chain(family, TABLE, REFUSE, Some(Hook::FilterPrerouting));
    let mut number = 0;
    for service in &input.services {
        let Reach::Address(addresses) = &service.reach else { continue };
        for address in addresses.iter().filter(|address| family.has(**address)) {
            for port in &service.ports {
                let targets: Vec<(IpAddr, u16)> = service
                    .ready(port)
                    .filter_map(|(pod, port)| match family {
                        Family::Ip => Some((IpAddr::V4(pod.ip4), port)),
                        Family::Ip6 => pod.ip6.map(|ip6| (IpAddr::V6(ip6), port)),
                    })
                    .collect();
                if targets.is_empty() {
                    continue;
                }
                number += 1;
                let chain = format!("service_{number}");
                batch.chain(family, TABLE, &chain, None);
                for (index, (pod, port)) in targets.iter().enumerate() {
                    let left = u32::try_from(targets.len() - index).unwrap_or(1);
                    let one: &[Match] = if left > 1 { &[Match::OneOf(left)] } else { &[] };
                    batch.rule(At { family, table: TABLE, chain: &chain }, one, &Action::Dnat(*pod, *port));
                }
                let full = if address.is_ipv4() { 32 } else { 128 };
                let matches =
                    [Match::To(*address, full), Match::Proto(port.protocol), Match::Port(port.port)];
                batch.rule(at(TO_PODS), &matches, &Action::Jump(chain));
            }
        }
    }
    // The world outside: neither a pod nor a Service.
    batch.rule(at(TO_PODS), &[Match::To(pods.0, pods.1)], &Action::Accept);
    batch.rule(at(TO_PODS), &[Match::To(services.0, services.1)], &Action::Accept);
    batch.rule(at(TO_PODS), &[Match::Proto(L4::Tcp)], &Action::Redirect(input.egress));
    // A pod that reaches itself by a Service must see the answer come back the same way.
    for pod in input.pods.iter().filter(|pod| family.has(**pod)) {
        let full = if pod.is_ipv4() { 32 } else { 128 };
        batch.rule(at(FROM_PODS), &[Match::From(*pod, full), Match::To(*pod, full)], &Action::Masquerade);
    }
    if family == Family::Ip {
        batch.rule(at(REFUSE), &[Match::To(DNS.into(), 32)], &Action::Accept);
    }
    let unknown = Match::To(services.0, services.1);
    batch.rule(at(REFUSE), &[unknown, Match::Proto(L4::Tcp)], &Action::ResetTcp);
    batch.rule(at(REFUSE), &[unknown], &Action::Unreachable);
}
