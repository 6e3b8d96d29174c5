//! What a workload may see: services, the rules that it follows towards them, and routes.
//!
//! Comes in: services, traffic, routes, identities. Goes out: one scope per namespace that sees anything else than
//! a stranger does; all other namespaces share one. Equal scopes have equal digests, and so equal layers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::endpoint::{Accounts, Address, Endpoint, Endpoints};
use super::hashed::{Digest, Hashed};
use super::mesh::Mesh;
use super::names::covers;
use super::routes::Routes;
use super::routes::route::{GatewayRef, RouteSet};
use super::service::{Port, Registry, Resolution, Service, Visibility};
use super::services::Services;
use super::sidecar::Outside;
use super::traffic::{Traffic, TrafficRule};

/// Scopes by namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes {
    /// What everybody sees.
    stranger: Hashed<Scope>,
    /// Namespaces that see something else.
    own: BTreeMap<String, Hashed<Scope>>,
}

impl Scopes {
    /// The scope of a namespace.
    pub fn of(&self, namespace: &str) -> &Hashed<Scope> {
        self.own.get(namespace).unwrap_or(&self.stranger)
    }
}

/// What one namespace sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// One per host, by host.
    pub services: Vec<Visible>,
    /// Oldest first.
    pub routes: Vec<Hashed<RouteSet>>,
    /// Positions in `routes` by exact host.
    exact: BTreeMap<String, Vec<usize>>,
    /// Wildcard hosts and positions in `routes`.
    wild: Vec<(String, usize)>,
    /// Where connections to unknown places go.
    pub outside: Outside,
}

/// A service and what holds for clients of this scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Visible {
    pub service: Hashed<Service>,
    pub rule: Option<Hashed<TrafficRule>>,
    pub accounts: Option<Hashed<Vec<String>>>,
    /// Endpoints by port, where clusters carry them themselves (DNS).
    pub inline: Vec<(u16, Hashed<Vec<Endpoint>>)>,
    /// Ports whose every known endpoint takes mutual TLS, where clients choose the endpoint.
    pub mutual: Vec<u16>,
    /// Addresses of pods by port, where clients choose one and nothing in what they send says which service they mean.
    pub pods: Vec<(u16, Vec<IpAddr>)>,
    /// Clients may call it by its name; false: only routes lead there.
    pub named: bool,
}

impl Visible {
    /// Addresses at which connections to a port can only mean this service.
    pub fn addresses(&self, port: u16) -> &[IpAddr] {
        if self.service.headless {
            let of_port = self.pods.iter().find(|(number, _)| *number == port);
            return of_port.map(|(_, pods)| pods.as_slice()).unwrap_or_default();
        }
        &self.service.addresses
    }
}

impl Scope {
    /// A scope of these services (by host, one each) and routes (oldest first).
    pub fn new(services: Vec<Visible>, routes: Vec<Hashed<RouteSet>>, outside: Outside) -> Self {
        let mut exact: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut wild = Vec::new();
        for (at, set) in routes.iter().enumerate() {
            for host in &set.hosts {
                if host.starts_with('*') {
                    wild.push((host.clone(), at));
                } else {
                    exact.entry(host.clone()).or_default().push(at);
                }
            }
        }
        Scope { services, routes, exact, wild, outside }
    }

    /// Services that clients may call by their names.
    pub fn named(&self) -> impl Iterator<Item = &Visible> {
        self.services.iter().filter(|v| v.named)
    }

    /// The service with this host.
    pub fn service(&self, host: &str) -> Option<&Visible> {
        let at = self.services.binary_search_by(|v| v.service.host.as_str().cmp(host)).ok()?;
        Some(&self.services[at])
    }

    /// The service that answers for a host: its own, or a wildcard's.
    pub fn covering(&self, host: &str) -> Option<&Visible> {
        self.service(host).or_else(|| {
            let wild = self
                .services
                .iter()
                .filter(|v| v.service.host.starts_with('*') && covers(&v.service.host, host));
            wild.max_by_key(|v| v.service.host.len())
        })
    }

    /// The route set that sidecars follow for a host: the most specific, then the oldest, of those that `has`.
    pub fn route(&self, host: &str, has: impl Fn(&RouteSet) -> bool) -> Option<&Hashed<RouteSet>> {
        let usable = |at: &usize| {
            let set = &self.routes[*at];
            set.binds(&GatewayRef::Mesh) && has(set)
        };
        let exact = self.exact.get(host).and_then(|all| all.iter().find(|at| usable(at)));
        let best = exact.copied().or_else(|| {
            let covering = self.wild.iter().filter(|(pattern, at)| covers(pattern, host) && usable(at));
            covering.max_by_key(|(pattern, at)| (pattern.len(), usize::MAX - at)).map(|(_, at)| *at)
        });
        best.map(|at| &self.routes[at])
    }
}

/// What scopes are made from.
pub struct Sources<'a> {
    pub mesh: &'a Mesh,
    pub services: &'a Services,
    pub traffic: &'a Traffic,
    pub routes: &'a Routes,
    pub accounts: &'a Accounts,
    pub endpoints: &'a Endpoints,
}

/// Digest of the endpoints that scopes show. Most services have none of those: a scope outlives their pods.
pub(super) fn shown(from: &Sources<'_>) -> Digest {
    let shows = |service: &Service| service.headless || service.resolution != Resolution::Endpoints;
    let services = from.services.all.iter().filter(|service| shows(service));
    let sets = services.flat_map(|service| {
        let of = |port: &Port| from.endpoints.of(&service.host, &service.namespace, port.number);
        service.ports.iter().map(move |port| of(port).map(Hashed::digest))
    });
    Digest::of(&sets.collect::<Vec<_>>())
}

/// Makes all scopes.
pub fn resolve(from: &Sources<'_>) -> Scopes {
    let stranger = Hashed::new(scope(from, ""));
    let mut own = BTreeMap::new();
    for namespace in interested(from) {
        let scope = Hashed::new(scope(from, &namespace));
        if scope != stranger {
            own.insert(namespace, scope);
        }
    }
    Scopes { stranger, own }
}

/// Namespaces that may see something else than a stranger.
fn interested(from: &Sources<'_>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut add = |own: &str, visibility: &Visibility| {
        out.insert(own.to_owned());
        if let Visibility::Namespaces(names) = visibility {
            out.extend(names.iter().cloned());
        }
    };
    for service in &from.services.all {
        if service.visibility != Visibility::Everywhere
            || from.services.with_host(&service.host).nth(1).is_some()
        {
            add(&service.namespace, &service.visibility);
        }
    }
    from.traffic.rules.iter().for_each(|rule| add(&rule.namespace, &rule.visibility));
    for set in &from.routes.sets {
        if set.visibility != Visibility::Everywhere {
            add(&set.namespace, &set.visibility);
        }
    }
    out
}

fn scope(from: &Sources<'_>, namespace: &str) -> Scope {
    let mut services: Vec<Visible> = Vec::new();
    for service in from.services.all.iter().filter(|s| s.visibility.includes(namespace)) {
        match services.last_mut() {
            // Own namespace, then Kubernetes, then the first.
            Some(last) if last.service.host == service.host => {
                let rank = |s: &Service| (s.namespace != namespace, s.registry != Registry::Kubernetes);
                if rank(service) < rank(&last.service) {
                    *last = visible(from, service, namespace);
                }
            }
            _ => services.push(visible(from, service, namespace)),
        }
    }
    let routes: Vec<_> =
        from.routes.sets.iter().filter(|s| s.visibility.includes(namespace)).cloned().collect();
    Scope::new(services, routes, if from.mesh.allow_any { Outside::Pass } else { Outside::Block })
}

fn visible(from: &Sources<'_>, service: &Hashed<Service>, namespace: &str) -> Visible {
    let rule = from.traffic.rule(&service.host, &service.namespace, namespace, &from.mesh.root_namespace);
    let set = |port: u16| from.endpoints.of(&service.host, &service.namespace, port);
    let numbers = service.ports.iter().map(|p| p.number);
    let inline = match service.resolution {
        Resolution::Dns | Resolution::DnsRoundRobin => {
            numbers.clone().filter_map(|n| Some((n, set(n)?.clone()))).collect()
        }
        Resolution::Endpoints | Resolution::Original => Vec::new(),
    };
    let mutual = match service.resolution {
        Resolution::Original => numbers
            .filter(|n| set(*n).is_some_and(|e| !e.is_empty() && e.iter().all(|e| e.mutual_tls)))
            .collect(),
        _ => Vec::new(),
    };
    let opaque = service.ports.iter().filter(|p| service.headless && !p.protocol.is_http());
    let ip = |e: &Endpoint| match e.address {
        Address::Ip(ip) => Some(ip),
        _ => None,
    };
    let pods =
        opaque.filter_map(|p| Some((p.number, set(p.number)?.iter().filter_map(ip).collect()))).collect();
    Visible {
        service: service.clone(),
        rule: rule.cloned(),
        accounts: from.accounts.of(&service.host, &service.namespace).cloned(),
        inline,
        mutual,
        pods,
        named: true,
    }
}
