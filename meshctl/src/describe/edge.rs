//! How a service is reached from outside: gateways in front of it, their addresses, and the paths that lead to it.
//!
//! In: VirtualServices on gateways whose routes name the service, Gateways, the pods that serve them and the Services in
//! front of those. Out: lines with URLs.

use api::core::{Service as KubeService, ServicePort};
use api::meta::labels_match;
use api::networking::VirtualService;
use api::text::IntOrString;
use api::{AnyObject, Object};
use pilot::model::gateway::{Gateway, ServerProtocol};
use pilot::model::names::full;
use pilot::model::scope::Visible;
use pilot::offline::Paper;
use serde_json::Value;

use super::common::name;
use super::rules::shown;

/// Everything that leads to a service from outside; empty if nothing does.
pub(super) fn exposed(paper: &Paper, found: &Visible, namespace: &str) -> String {
    let host = &found.service.host;
    let mut out = String::new();
    for rule in paper.world.all::<VirtualService>() {
        let paths = paths(rule, host);
        if paths.is_empty() {
            continue;
        }
        let mut urls = Vec::new();
        for word in rule.spec.gateways.iter().filter(|word| *word != "mesh") {
            let (own, short) = word.split_once('/').unwrap_or((&rule.meta.namespace, word));
            if let Some(gateway) = paper.snapshot.gateways.named(own, short) {
                urls.extend(addresses(paper, gateway));
            }
        }
        urls.sort();
        urls.dedup();
        if urls.is_empty() {
            continue;
        }
        for url in urls {
            out.push_str(&format!("Exposed on Ingress Gateway {url}\n"));
        }
        out.push_str(&format!(
            "VirtualService: {}\n",
            name(&rule.meta.name, &rule.meta.namespace, namespace)
        ));
        out.push_str(&format!("   {}\n", paths.join(", ")));
    }
    out
}

/// Whether any pod serves a Gateway.
pub(super) fn has_gateways(paper: &Paper) -> bool {
    let labelled = |labels: &std::collections::BTreeMap<String, String>| {
        labels.get("istio").is_some_and(|value| value.contains("ingressgateway"))
    };
    let served = |gateway: &Gateway| {
        paper.snapshot.workloads.iter().any(|pod| labels_match(&gateway.selector, &pod.labels))
    };
    paper.snapshot.workloads.iter().any(|pod| labelled(&pod.labels))
        || paper.snapshot.gateways.all.iter().any(|gateway| served(gateway))
}

/// The paths of a rule whose routes lead to a host.
fn paths(rule: &Object<VirtualService>, host: &str) -> Vec<String> {
    let leads = |to: &api::networking::HttpRouteDestination| {
        to.destination.as_ref().is_some_and(|to| full(&to.host, &rule.meta.namespace) == host)
    };
    let mut all = Vec::new();
    for route in rule.spec.http.iter().filter(|route| route.route.iter().any(leads)) {
        if route.matches.is_empty() {
            all.push("/*".to_owned());
        }
        all.extend(route.matches.iter().map(|one| one.uri.as_ref().map_or("/*".to_owned(), shown)));
    }
    all
}

/// URLs of the servers of a Gateway, as far as Services tell them.
fn addresses(paper: &Paper, gateway: &Gateway) -> Vec<String> {
    let mut urls = Vec::new();
    for pod in paper.snapshot.workloads.iter().filter(|pod| labels_match(&gateway.selector, &pod.labels)) {
        let fronts = paper.world.within::<KubeService>(&pod.namespace).filter(|service| {
            !service.spec.selector.is_empty() && labels_match(&service.spec.selector, &pod.labels)
        });
        for service in fronts {
            for server in &gateway.servers {
                let scheme = match server.protocol {
                    ServerProtocol::Http => "http",
                    ServerProtocol::Https => "https",
                    ServerProtocol::Tcp | ServerProtocol::Tls => continue,
                };
                let port = service_port(service, server.port, &pod.ports);
                urls.extend(port.and_then(|port| url(service, scheme, port)));
            }
        }
    }
    urls
}

/// The port of a gateway's Service behind which a server listens: the one of its number, or else the one that leads to that
/// port of the pod, as Istio finds it.
fn service_port(
    service: &Object<KubeService>,
    server: u16,
    named: &std::collections::BTreeMap<String, u16>,
) -> Option<u16> {
    let leads = |port: &&ServicePort| match &port.target_port {
        Some(IntOrString::Int(number)) => *number == i64::from(server),
        Some(IntOrString::Text(name)) => named.get(name) == Some(&server),
        None => false,
    };
    let ports = &service.spec.ports;
    let found =
        ports.iter().find(|port| port.port == i32::from(server)).or_else(|| ports.iter().find(leads))?;
    u16::try_from(found.port).ok()
}

/// `http://ADDRESS`, with a port where it is not the usual one of the scheme.
fn url(service: &Object<KubeService>, scheme: &str, port: u16) -> Option<String> {
    let value = AnyObject::from(service.clone()).to_value();
    let published = |one: &Value| one["ip"].as_str().or_else(|| one["hostname"].as_str()).map(str::to_owned);
    let balancer =
        value["status"]["loadBalancer"]["ingress"].as_array().and_then(|all| all.first()).and_then(published);
    let node = || {
        let ports = service.spec.ports.iter().find(|one| one.port == i32::from(port))?;
        (ports.node_port > 0).then(|| format!("{scheme}://<node>:{}", ports.node_port))
    };
    let Some(address) = balancer else { return node() };
    let usual = if scheme == "http" { 80 } else { 443 };
    let address = if address.contains(':') { format!("[{address}]") } else { address };
    Some(if port == usual { format!("{scheme}://{address}") } else { format!("{scheme}://{address}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_the_port_of_the_service() {
        let port = |port, target| ServicePort { port, target_port: Some(target), ..ServicePort::default() };
        let mut service = Object::<KubeService>::default();
        service.spec.ports = vec![
            port(80, IntOrString::Int(8080)),
            port(443, IntOrString::Text("https".into())),
            port(9000, IntOrString::Int(80)),
        ];
        let named = [("https".to_owned(), 8443)].into();
        let found = |server| service_port(&service, server, &named);
        assert_eq!(found(8080), Some(80), "behind port 80");
        assert_eq!(found(8443), Some(443), "behind a port with a name");
        assert_eq!(found(80), Some(80), "its own number comes first");
        assert_eq!(found(7000), None);
    }
}
