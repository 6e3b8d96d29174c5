//! Rules of VirtualService: hosts, gateways, and its three lists of rules.

use super::http_route::http_rules;
use super::meta::labels;
use super::{At, Check, rules};
use crate::finding::Code;
use crate::host::Host;
use crate::meta::Meta;
use crate::networking::{
    Destination, L4MatchAttributes, RouteDestination, TcpRoute, TlsMatchAttributes, VirtualService,
};

/// The word for all sidecars.
const MESH: &str = "mesh";

impl Check for VirtualService {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        let delegate = self.hosts.is_empty() && self.gateways.is_empty();
        if delegate {
            for (field, used) in [("tcp", !self.tcp.is_empty()), ("tls", !self.tls.is_empty())] {
                at.key(field).must(!used, Code::Required, || {
                    "without hosts this is a delegate, which can only have http rules; set hosts".to_owned()
                });
            }
        } else {
            rules::some(&self.hosts, &at.key("hosts"), "host");
        }
        self.host_rules(at);
        gateway_names(&self.gateways, &at.key("gateways"));
        rules::export_to(&self.export_to, &at.key("exportTo"));
        if self.http.is_empty() && self.tls.is_empty() && self.tcp.is_empty() {
            at.tell(Code::Required, "add http, tls or tcp rules");
        }
        http_rules(&self.http, delegate, &at.key("http"));
        at.key("tls").each(&self.tls, |at, route| {
            rules::some(&route.matches, &at.key("match"), "match with sniHosts");
            at.key("match").each(&route.matches, |at, m| self.tls_match(m, at));
            destinations(&route.route, &at.key("route"));
        });
        at.key("tcp").each(&self.tcp, tcp_route);
        one_catch_all(&self.tcp, &at.key("tcp"));
    }
}

impl VirtualService {
    fn host_rules(&self, at: &At<'_>) {
        let mesh = self.gateways.is_empty() || self.gateways.iter().any(|g| g == MESH);
        let at = at.key("hosts");
        rules::unique(self.hosts.iter().map(String::as_str), &at, "host");
        at.each(&self.hosts, |at, host| {
            if mesh && host == "*" {
                at.tell(
                    Code::BadHost,
                    "'*' is only allowed for gateways; name the hosts, or list gateways without mesh",
                );
            } else {
                rules::wildcard_host(host, at);
            }
        });
    }

    fn tls_match(&self, m: &TlsMatchAttributes, at: &At<'_>) {
        rules::some(&m.sni_hosts, &at.key("sniHosts"), "server name");
        at.key("sniHosts").each(&m.sni_hosts, |at, sni| {
            rules::wildcard_host(sni, at);
            let within = self.hosts.iter().any(|host| Host(host).covers(Host(sni)));
            at.must(within, Code::BadHost, || format!("{sni:?} is not within spec.hosts; add it there"));
        });
        at.key("destinationSubnets").each(&m.destination_subnets, |at, net| rules::cidr(net, at));
        rules::port_or_none(m.port, &at.key("port"));
        labels(&m.source_labels, &at.key("sourceLabels"));
        gateway_names(&m.gateways, &at.key("gateways"));
    }
}

fn tcp_route(at: &At<'_>, route: &TcpRoute) {
    at.key("match").each(&route.matches, |at, m: &L4MatchAttributes| {
        at.key("destinationSubnets").each(&m.destination_subnets, |at, net| rules::cidr(net, at));
        if !m.source_subnet.is_empty() {
            rules::cidr(&m.source_subnet, &at.key("sourceSubnet"));
            at.key("sourceSubnet")
                .tell(Code::NoEffect, "sourceSubnet has no effect, in Istio neither; use sourceLabels");
        }
        rules::port_or_none(m.port, &at.key("port"));
        labels(&m.source_labels, &at.key("sourceLabels"));
        gateway_names(&m.gateways, &at.key("gateways"));
    });
    destinations(&route.route, &at.key("route"));
}

fn one_catch_all(routes: &[TcpRoute], at: &At<'_>) {
    let mut catch_all = None;
    for (index, route) in routes.iter().enumerate() {
        if let Some(first) = catch_all {
            let message = format!("never reached: rule {first} matches every connection");
            at.index(index).tell(Code::VirtualServiceUnreachableRule, message);
        }
        if route.matches.is_empty() || route.matches.contains(&L4MatchAttributes::default()) {
            catch_all = catch_all.or(Some(index));
        }
    }
}

/// `namespace/name`, `name` or `mesh`.
pub(super) fn gateway_names(names: &[String], at: &At<'_>) {
    at.each(names, |at, name| {
        let parts: Vec<_> = name.split('/').collect();
        let fits = match parts.as_slice() {
            [name] => crate::host::is_dns_name(name),
            [namespace, name] => super::meta::is_label(namespace) && super::meta::is_subdomain(name),
            _ => false,
        };
        at.must(fits, Code::BadReference, || {
            format!("{name:?} is no gateway; use namespace/name, name or mesh")
        });
    });
}

/// Weighted destinations of TLS and TCP rules.
fn destinations(routes: &[RouteDestination], at: &At<'_>) {
    rules::some(routes, at, "destination");
    at.each(routes, |at, route| {
        destination(route.destination.as_ref(), &at.key("destination"));
        rules::not_negative(route.weight, &at.key("weight"));
    });
    weights(routes.iter().map(|route| route.weight), at);
}

/// The sum of several weights must not be zero.
pub(super) fn weights(weights: impl ExactSizeIterator<Item = i32>, at: &At<'_>) {
    let several = weights.len() > 1;
    let total: i64 = weights.map(i64::from).sum();
    at.must(!several || total != 0, Code::BadWeight, || {
        "all weights are 0; give at least one a weight".to_owned()
    });
}

/// A host with optional subset and port.
pub(super) fn destination(destination: Option<&Destination>, at: &At<'_>) {
    let Some(destination) = destination else {
        return at.tell(Code::Required, "set destination.host");
    };
    if rules::required(&destination.host, &at.key("host"), "the host of a Service or ServiceEntry") {
        rules::wildcard_host(&destination.host, &at.key("host"));
        at.key("host")
            .must(destination.host != "*", Code::BadHost, || "'*' is no destination; name a host".to_owned());
    }
    if !destination.subset.is_empty() {
        subset_name(&destination.subset, &at.key("subset"));
    }
    if let Some(port) = &destination.port {
        rules::port(port.number, &at.key("port").key("number"));
    }
}

/// A subset's name.
pub(super) fn subset_name(name: &str, at: &At<'_>) {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    at.must(name.len() <= 63 && name.chars().all(inner), Code::BadName, || {
        format!("{name:?} is no subset name; use letters, digits, '-', '_' and '.'")
    });
}
