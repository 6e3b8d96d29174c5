//! Outbound listeners of sidecars: one that catches, one per HTTP port, one per address of everything else.
//!
//! In: the services of the scope. Out: a layer keyed by scope and features. What stands behind an address is an Input
//! of `listener/outbound`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use wire::{Kind, Resource};

use crate::model::names::overlap;
use crate::model::routes::route::{GatewayRef, L4Match, Place};
use crate::model::scope::Visible;
use crate::model::service::{Port, Protocol};
use crate::xds::filters::{Common, Direction, TcpTarget};
use crate::xds::listener::outbound::{self, ByName, BySubnet, Catch, Outbound};
use crate::xds::names::{self, ClusterName, RouteName};
use crate::xds::place;
use crate::xds::say::{Layer, Sight};

/// All outbound listeners of the view.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    let mesh = &sight.snapshot.mesh;
    let common = sight.common(Direction::Outbound);
    let on = (
        (sight.scope, &sight.view.namespace, &sight.view.labels, sight.view.dns),
        (&common, mesh.inspect_timeout, &mesh.policy),
    );
    sight.layer("listeners", &on, || {
        let catch = Catch { rest: place::outside(sight.scope), common: common.clone() };
        let mut out = vec![sight.memo.say(Kind::Listener, names::VIRTUAL_OUTBOUND, &catch, outbound::catch)];
        out.extend(places(sight, &common).into_values().map(|input| say(sight, &input)));
        out
    })
}

fn say(sight: &Sight<'_>, input: &Outbound) -> Arc<Resource> {
    sight.memo.say(Kind::Listener, &input.name(), input, outbound::build)
}

/// A listener per address and port; no address is any address.
type Places = BTreeMap<(Option<IpAddr>, u16), Outbound>;

fn places(sight: &Sight<'_>, common: &Common) -> Places {
    let mut out = Places::new();
    for visible in sight.scope.named() {
        for port in &visible.service.ports {
            match port.protocol {
                Protocol::Udp => {}
                p if p.is_http() => {
                    let place = entry(sight, common, &mut out, None, port.number);
                    place.http = Some(RouteName::Port(port.number).to_string());
                    place.sniffed = false;
                }
                _ => opaque(sight, common, &mut out, visible, port),
            }
        }
    }
    out.values_mut().for_each(tidy);
    out
}

fn entry<'a>(
    sight: &Sight<'_>,
    common: &Common,
    out: &'a mut Places,
    address: Option<IpAddr>,
    port: u16,
) -> &'a mut Outbound {
    out.entry((address, port)).or_insert_with(|| Outbound {
        address,
        port,
        http: None,
        sniffed: false,
        tls: Vec::new(),
        tcp: Vec::new(),
        rest: None,
        inspect_timeout: sight.snapshot.mesh.inspect_timeout,
        common: common.clone(),
    })
}

/// TCP, TLS and what is not declared: at the service's own addresses, else wherever its port is called.
fn opaque(sight: &Sight<'_>, common: &Common, out: &mut Places, visible: &Visible, port: &Port) {
    let service = &visible.service;
    let chains = Chains::of(sight, visible, port);
    let called = !service.allocated || sight.view.dns;
    let addresses = if called { visible.addresses(port.number) } else { &[] };
    for address in addresses {
        if let Some(taken) = out.get_mut(&(Some(*address), port.number)) {
            // Several hosts of a ServiceEntry share its addresses; TLS says which one is meant.
            if port.protocol == Protocol::Tls {
                taken.tls.extend(chains.tls.iter().cloned());
                let sni = vec![service.host.clone()];
                taken.tls.push(ByName { sni, subnets: Vec::new(), to: chains.rest.clone() });
            }
            continue;
        }
        let place = entry(sight, common, out, Some(*address), port.number);
        place.tls.clone_from(&chains.tls);
        place.tcp.clone_from(&chains.tcp);
        place.rest = Some(chains.rest.clone());
        if port.protocol == Protocol::Unknown {
            let name = RouteName::Service { host: service.host.clone(), port: port.number };
            place.http = Some(name.to_string());
            place.sniffed = true;
        }
    }
    if !service.ranges.is_empty() {
        let subnets = service.ranges.iter().map(ToString::to_string).collect();
        entry(sight, common, out, None, port.number).tcp.push(BySubnet { subnets, to: chains.rest.clone() });
    }
    if !addresses.is_empty() || !service.ranges.is_empty() || service.headless {
        return;
    }
    let place = entry(sight, common, out, None, port.number);
    place.tls.extend(chains.tls);
    match port.protocol {
        Protocol::Tls => {
            let sni = vec![service.host.clone()];
            place.tls.push(ByName { sni, subnets: Vec::new(), to: chains.rest });
            place.rest.get_or_insert_with(|| TcpTarget::one(place::outside(sight.scope)));
        }
        protocol => {
            place.tcp.extend(chains.tcp);
            place.rest.get_or_insert(chains.rest);
            if protocol == Protocol::Unknown && place.http.is_none() {
                place.http = Some(RouteName::Port(port.number).to_string());
                place.sniffed = true;
            }
        }
    }
}

/// What a service port's connections do.
struct Chains {
    tls: Vec<ByName>,
    tcp: Vec<BySubnet>,
    rest: TcpTarget,
}

impl Chains {
    fn of(sight: &Sight<'_>, visible: &Visible, port: &Port) -> Chains {
        let (scope, base) = (sight.scope, sight.snapshot.mesh.policy.as_ref());
        let host = visible.service.host.as_str();
        let place = Place {
            gateway: &GatewayRef::Mesh,
            port: port.number,
            namespace: &sight.view.namespace,
            labels: &sight.view.labels,
        };
        let own = ClusterName::outbound(port.number, "", host);
        let mut out =
            Chains { tls: Vec::new(), tcp: Vec::new(), rest: place::plain_target(scope, &own, base) };
        if port.protocol == Protocol::Tls {
            // Server names tell rules apart, so one host of a wildcard may have a rule of its own.
            let sets = scope.routes.iter().filter(|s| s.binds(&GatewayRef::Mesh));
            let meeting = sets.filter(|s| s.hosts.iter().any(|h| overlap(h, host)));
            for rule in meeting.flat_map(|s| &s.tls) {
                let to = place::tcp_target(scope, &rule.to, port.number, base);
                let holding = rule.matches.iter().filter(|m| m.client.holds(&place) && !m.sni.is_empty());
                out.tls.extend(holding.map(|m| ByName {
                    sni: m.sni.clone(),
                    subnets: m.subnets.clone(),
                    to: to.clone(),
                }));
            }
            return out;
        }
        let rules = scope.route(host, |s| !s.tcp.is_empty()).into_iter().flat_map(|s| &s.tcp);
        for rule in rules {
            let to = place::tcp_target(scope, &rule.to, port.number, base);
            let holding: Vec<&L4Match> = rule.matches.iter().filter(|m| m.client.holds(&place)).collect();
            if rule.matches.is_empty() || holding.iter().any(|m| m.subnets.is_empty()) {
                out.rest = to;
                break;
            }
            out.tcp.extend(holding.iter().map(|m| BySubnet { subnets: m.subnets.clone(), to: to.clone() }));
        }
        out
    }
}

/// No two chains of a listener may match the same: the first one keeps a name or a network.
fn tidy(place: &mut Outbound) {
    let mut names = std::collections::BTreeSet::new();
    for chain in &mut place.tls {
        let subnets = chain.subnets.clone();
        chain.sni.retain(|name| names.insert((name.clone(), subnets.clone())));
    }
    place.tls.retain(|chain| !chain.sni.is_empty());
    let mut networks = std::collections::BTreeSet::new();
    for chain in &mut place.tcp {
        chain.subnets.retain(|network| networks.insert(network.clone()));
    }
    place.tcp.retain(|chain| !chain.subnets.is_empty());
}
