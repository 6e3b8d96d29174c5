//! What a gateway listens on, how it routes, and the credentials that it shows.
//!
//! In: the gateways whose selector matches the view, the routes bound to them. Out: three layers: listeners by port of
//! the pod, route tables, Secrets for authenticated clients of the same namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::{Kind, Resource};

use super::hosts::table;
use crate::model::gateway::{Gateway, Server, ServerProtocol, ServerTls, ServerTlsMode};
use crate::model::names::covers;
use crate::model::routes::route::{GatewayRef, L4Match, Place, RouteSet};
use crate::xds::filters::{Direction, TcpTarget};
use crate::xds::listener::gateway::{self, Chain, To};
use crate::xds::names::{self, RouteName, virtual_host};
use crate::xds::place;
use crate::xds::route::config::Rest;
use crate::xds::route::{Host, Placed};
use crate::xds::say::{Layer, Sight};
use crate::xds::secret;

/// A server, its gateway, and the port of the pod.
#[derive(Clone, Copy)]
struct Open<'a> {
    gateway: &'a Gateway,
    server: &'a Server,
    port: u16,
}

/// Servers by port of the pod, oldest gateway first.
fn open<'a>(sight: &'a Sight<'_>) -> BTreeMap<u16, Vec<Open<'a>>> {
    let mut out: BTreeMap<u16, Vec<Open<'_>>> = BTreeMap::new();
    for serving in &sight.view.gateways {
        for server in &serving.gateway.servers {
            let port = serving.ports.get(&server.port).copied().unwrap_or(server.port);
            out.entry(port).or_default().push(Open { gateway: &serving.gateway, server, port });
        }
    }
    out
}

impl Open<'_> {
    fn reference(&self) -> GatewayRef {
        GatewayRef::Named { namespace: self.gateway.namespace.clone(), name: self.gateway.name.clone() }
    }

    /// Plain servers of a port share a table; each server with TLS has its own.
    fn table(&self) -> RouteName {
        match self.server.protocol {
            ServerProtocol::Https => RouteName::GatewayHttps {
                port: self.server.port,
                port_name: self.server.port_name.clone(),
                gateway: self.gateway.name.clone(),
                namespace: self.gateway.namespace.clone(),
            },
            _ => RouteName::GatewayHttp(self.port),
        }
    }

    fn passes(&self) -> bool {
        self.server.tls.as_ref().is_some_and(|t| !t.mode.terminates())
    }

    fn is_http(&self) -> bool {
        self.server.protocol == ServerProtocol::Http
            || (self.server.protocol == ServerProtocol::Https && !self.passes())
    }
}

/// One listener per port.
pub(crate) fn listeners(sight: &Sight<'_>) -> Layer {
    let mesh = &sight.snapshot.mesh;
    let common = sight.common(Direction::Gateway);
    let on = (
        &sight.view.gateways,
        sight.scope,
        &common,
        mesh.inspect_timeout,
        &mesh.policy,
        &sight.view.namespace,
    );
    sight.layer("gateway-listeners", &on, || {
        let mut out = Vec::new();
        for (port, servers) in open(sight) {
            let chains = chains(sight, &servers);
            if chains.is_empty() {
                continue;
            }
            let input = gateway::Gateway {
                port,
                chains,
                inspect_timeout: mesh.inspect_timeout,
                common: common.clone(),
            };
            let name = names::listener(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port);
            out.push(sight.memo.say(Kind::Listener, &name, &input, gateway::build));
        }
        out
    })
}

/// Chains of one port. The first server says whether it is plain; no two chains match the same names.
fn chains(sight: &Sight<'_>, servers: &[Open<'_>]) -> Vec<Chain> {
    let mut out: Vec<Chain> = Vec::new();
    let mut names_taken = BTreeSet::new();
    for one in servers {
        let tls = one
            .server
            .tls
            .as_ref()
            .filter(|t| t.mode.terminates() && one.server.protocol != ServerProtocol::Http);
        let hosts: Vec<String> = one.server.hosts.iter().map(|h| h.host.clone()).collect();
        let fresh = if one.is_http() {
            vec![Chain { sni: hosts, tls: tls.cloned(), to: To::Http(one.table().to_string()) }]
        } else if one.passes() {
            passing(sight, one)
        } else {
            let target = tcp_target(sight, one);
            target
                .into_iter()
                .map(|to| Chain { sni: hosts.clone(), tls: tls.cloned(), to: To::Tcp(to) })
                .collect()
        };
        for mut chain in fresh {
            let encrypted = chain.tls.is_some() || matches!(chain.to, To::Sni(_));
            if !encrypted {
                // One plain chain per port: further plain HTTP servers share its table.
                if out.iter().all(|c| c.tls.is_some() || matches!(c.to, To::Sni(_))) {
                    out.push(Chain { sni: Vec::new(), ..chain });
                }
                continue;
            }
            chain.sni.retain(|name| names_taken.insert(name.clone()));
            if !chain.sni.is_empty() {
                // "Any name" beside others is any name.
                if chain.sni.iter().any(|n| n == "*") {
                    chain.sni.clear();
                }
                out.push(chain);
            }
        }
    }
    out
}

/// Route sets that bind to a gateway, oldest first, with the hosts that its server lets them have.
fn bound<'a>(
    sight: &'a Sight<'_>,
    one: &'a Open<'_>,
) -> impl Iterator<Item = (&'a RouteSet, Vec<String>)> + 'a {
    let reference = one.reference();
    // Routes bind wherever they are exported to the gateway's namespace.
    let sets = sight.snapshot.routes.sets.iter();
    sets.filter(move |set| set.binds(&reference)).filter_map(move |set| {
        let visible =
            set.visibility.includes(&sight.view.namespace) || set.visibility.includes(&one.gateway.namespace);
        let mut hosts = Vec::new();
        for host in &set.hosts {
            for allowed in &one.server.hosts {
                if allowed.namespace.as_ref().is_some_and(|ns| *ns != set.namespace) {
                    continue;
                }
                if covers(&allowed.host, host) {
                    hosts.push(host.clone());
                } else if covers(host, &allowed.host) {
                    hosts.push(allowed.host.clone());
                }
            }
        }
        hosts.sort();
        hosts.dedup();
        (visible && !hosts.is_empty()).then_some((&**set, hosts))
    })
}

/// TLS that is passed through: by server name.
fn passing(sight: &Sight<'_>, one: &Open<'_>) -> Vec<Chain> {
    let reference = one.reference();
    let place = place_of(sight, one, &reference);
    let base = sight.snapshot.mesh.policy.as_ref();
    let mut out = Vec::new();
    for (set, hosts) in bound(sight, one) {
        for rule in &set.tls {
            let to = place::tcp_target(sight.scope, &rule.to, one.server.port, base);
            for entry in rule.matches.iter().filter(|m| m.client.holds(&place)) {
                let allowed = |name: &&String| hosts.iter().any(|h| covers(h, name));
                let sni: Vec<String> = entry.sni.iter().filter(allowed).cloned().collect();
                if !sni.is_empty() {
                    out.push(Chain { sni, tls: None, to: To::Sni(to.clone()) });
                }
            }
        }
        // A tcp rule takes whatever name the server lets in.
        if let Some(to) = set.tcp.iter().find(|r| l4_holds(&r.matches, &place)) {
            let to = place::tcp_target(sight.scope, &to.to, one.server.port, base);
            out.push(Chain { sni: hosts, tls: None, to: To::Sni(to) });
        }
    }
    out
}

fn l4_holds(matches: &[L4Match], place: &Place<'_>) -> bool {
    matches.is_empty() || matches.iter().any(|m| m.client.holds(place))
}

fn tcp_target(sight: &Sight<'_>, one: &Open<'_>) -> Option<TcpTarget> {
    let reference = one.reference();
    let place = place_of(sight, one, &reference);
    let base = sight.snapshot.mesh.policy.as_ref();
    bound(sight, one).find_map(|(set, _)| {
        let rule = set.tcp.iter().find(|r| l4_holds(&r.matches, &place))?;
        Some(place::tcp_target(sight.scope, &rule.to, one.server.port, base))
    })
}

fn place_of<'a>(sight: &'a Sight<'_>, one: &Open<'_>, gateway: &'a GatewayRef) -> Place<'a> {
    Place { gateway, port: one.server.port, namespace: &sight.view.namespace, labels: &sight.view.labels }
}

/// Tables of all HTTP servers.
pub(crate) fn routes(sight: &Sight<'_>) -> Layer {
    let (view, mesh) = (sight.view, &sight.snapshot.mesh);
    let on = (
        (&view.gateways, sight.scope, &sight.snapshot.routes.value, &view.namespace),
        (view.session.delta, view.features.own(), &mesh.retries, &mesh.policy),
    );
    sight.layer("gateway-routes", &on, || {
        let mut tables: BTreeMap<RouteName, Vec<Open<'_>>> = BTreeMap::new();
        for one in open(sight).into_values().flatten().filter(Open::is_http) {
            tables.entry(one.table()).or_default().push(one);
        }
        let mut out: Vec<Arc<Resource>> = Vec::new();
        for (name, servers) in tables {
            let port = servers[0].port;
            out.extend(table(sight, name, Rest::Blackhole(port), virtual_hosts(sight, &servers)));
        }
        out
    })
}

/// One virtual host per name; the rules of several route sets follow each other, oldest first.
fn virtual_hosts(sight: &Sight<'_>, servers: &[Open<'_>]) -> Vec<Host> {
    let mut out: BTreeMap<String, Host> = BTreeMap::new();
    let base = sight.snapshot.mesh.policy.as_ref();
    for one in servers {
        let reference = one.reference();
        let place = place_of(sight, one, &reference);
        let redirect = one.server.tls.as_ref().is_some_and(|t| t.redirect);
        for (set, hosts) in bound(sight, one) {
            let rules = place::rules(sight.scope, set, &place, base);
            for host in hosts {
                let entry = out.entry(host.clone()).or_insert_with(|| empty(sight, one, &host));
                entry.require_tls |= redirect;
                append(&mut entry.rules, &rules);
            }
        }
        // A redirect needs no route.
        if redirect {
            for host in &one.server.hosts {
                out.entry(host.host.clone()).or_insert_with(|| empty(sight, one, &host.host)).require_tls =
                    true;
            }
        }
    }
    out.into_values().filter(|host| host.require_tls || !host.rules.is_empty()).collect()
}

/// The same set may bind through two servers.
fn append(rules: &mut Vec<Placed>, more: &[Placed]) {
    for rule in more {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
}

fn empty(sight: &Sight<'_>, one: &Open<'_>, host: &str) -> Host {
    Host {
        name: virtual_host(host, one.port),
        domains: vec![host.to_owned()],
        port: one.server.port,
        rules: Vec::new(),
        default: None,
        require_tls: false,
        retries: sight.snapshot.mesh.retries.clone(),
        origin: sight.view.features.own(),
    }
}

/// Credentials of the gateway's own namespace, only to a client that has shown who it is.
pub(crate) fn secrets(sight: &Sight<'_>) -> Layer {
    if !sight.view.session.authenticated {
        return sight.layer("secrets", &(), Vec::new);
    }
    let mut names = BTreeSet::new();
    for one in open(sight).into_values().flatten() {
        names.extend(
            one.server.tls.iter().filter(|t| t.mode != ServerTlsMode::IstioMutual).flat_map(credentials),
        );
    }
    let rules = sight.scope.services.iter().filter_map(|v| v.rule.as_ref());
    let policies = rules.flat_map(|r| r.policies().filter_map(|p| p.tls.as_ref()));
    names.extend(policies.map(|t| t.credential.clone()).filter(|n| !n.is_empty()));
    let namespace = &sight.view.namespace;
    let all: Vec<_> =
        sight.snapshot.secrets.within(namespace).map(|(n, c)| (n.to_owned(), c.clone())).collect();
    sight.layer("secrets", &(&names, &all, namespace), || {
        names.iter().flat_map(|name| secret::say(sight, namespace, name)).collect()
    })
}

fn credentials(tls: &ServerTls) -> Vec<String> {
    let ca = Some(tls.ca_credential.clone()).filter(|n| !n.is_empty());
    tls.credentials.iter().cloned().chain(ca).collect()
}
