//! A namespace's scope, cut down to what one class of its workloads may see.
//!
//! Comes in: the scope, the Sidecar that the workloads follow, and the DestinationRules that choose them by labels.
//! Goes out: a scope. Pure; called by `xds::say` through the memo. What a route leads to stays reachable even if its
//! name is not, or no route could lead out of what a Sidecar names.

use super::hashed::Hashed;
use super::names::covers;
use super::policy::Policy;
use super::routes::route::{Action, Destination, GatewayRef, RouteSet};
use super::scope::{Scope, Visible};
use super::service::{Port, Service};
use super::sidecar::{Outside, Sidecar};
use super::traffic::TrafficRule;

/// What a scope is cut down by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Narrow<'a> {
    pub scope: &'a Hashed<Scope>,
    pub namespace: &'a str,
    pub sidecar: Option<&'a Hashed<Sidecar>>,
    /// Rules with a `workloadSelector` that means these workloads, oldest first.
    pub rules: &'a [Hashed<TrafficRule>],
    /// Baseline under every rule.
    pub base: Option<&'a Policy>,
    /// Hosts that the proxy itself calls.
    pub own: &'a [&'a str],
}

impl Narrow<'_> {
    /// Whether anything is different at all.
    pub fn changes(&self) -> bool {
        self.sidecar.is_some_and(|s| !s.egress.is_empty() || s.outside.is_some()) || !self.rules.is_empty()
    }

    /// The scope that is left.
    pub fn apply(&self) -> Scope {
        let (mut services, routes) = match self.sidecar.filter(|s| !s.egress.is_empty()) {
            None => (self.scope.services.clone(), self.scope.routes.clone()),
            Some(sidecar) => self.seen(sidecar),
        };
        for visible in &mut services {
            let mut fitting = self.rules.iter().filter(|r| covers(&r.host, &visible.service.host));
            if let Some(rule) = fitting.next() {
                visible.rule = Some(Hashed::new(rule.over(visible.rule.as_deref(), self.base)));
            }
        }
        let outside =
            self.sidecar.and_then(|s| s.outside.clone()).unwrap_or_else(|| self.scope.outside.clone());
        Scope::new(services, routes, outside)
    }

    fn seen(&self, sidecar: &Sidecar) -> (Vec<Visible>, Vec<Hashed<RouteSet>>) {
        let scope = self.scope;
        let mut services: Vec<Visible> =
            scope.services.iter().filter_map(|v| self.with_ports(sidecar, v)).collect();
        let routes: Vec<_> = scope
            .routes
            .iter()
            .filter(|set| set.binds(&GatewayRef::Mesh))
            .filter(|set| sidecar.follows(&set.namespace, &set.hosts, self.namespace))
            .cloned()
            .collect();
        let through = match &sidecar.outside {
            Some(Outside::Through(to)) => Some(to.host.as_str()),
            _ => None,
        };
        let leads = routes.iter().flat_map(|set| destinations(set)).map(|to| to.host.as_str());
        let mut hosts: Vec<&str> = leads.chain(through).chain(self.own.iter().copied()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            let Some(found) = scope.covering(host) else { continue };
            let at = services.binary_search_by(|v| v.service.host.cmp(&found.service.host));
            if let Err(at) = at {
                services.insert(at, Visible { named: false, ..found.clone() });
            }
        }
        (services, routes)
    }

    fn with_ports(&self, sidecar: &Sidecar, visible: &Visible) -> Option<Visible> {
        let service = &visible.service;
        let reached = |number: u16| sidecar.reaches(service, number, self.namespace);
        let left = service.ports.iter().filter(|p| reached(p.number));
        let ports: Vec<Port> = left.map(|p| Port { protocol: sidecar.spoken(p), ..p.clone() }).collect();
        if ports.is_empty() {
            return None;
        }
        if ports == service.ports {
            return Some(visible.clone());
        }
        let service = Hashed::new(Service { ports, ..(**service).clone() });
        Some(Visible { service, ..visible.clone() })
    }
}

/// Everything that the rules of a set lead to.
fn destinations(set: &RouteSet) -> impl Iterator<Item = &Destination> {
    let http = set.http.iter().flat_map(|rule| {
        let splits = match &rule.action {
            Action::Forward(splits) => splits.as_slice(),
            _ => &[],
        };
        splits.iter().map(|s| &s.to).chain(rule.mirrors.iter().map(|m| &m.to))
    });
    let tls = set.tls.iter().flat_map(|rule| rule.to.iter().map(|s| &s.to));
    let tcp = set.tcp.iter().flat_map(|rule| rule.to.iter().map(|s| &s.to));
    http.chain(tls).chain(tcp)
}
