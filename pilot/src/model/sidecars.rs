//! Sidecar objects -> which of them a workload follows.
//!
//! Comes in: the world and the root namespace. Goes out: Sidecars by namespace. Of several defaults in a namespace
//! the oldest holds and the others are named; whether two meet on a pod is a question of `check`.

use api::networking as written;
use api::port::Protocol as Word;
use api::{Code, Findings, Object};

use super::hashed::Hashed;
use super::names::full;
use super::note::{note, source};
use super::routes::virtual_service::destination;
use super::services::protocol;
use super::sidecar::{Behind, Egress, EgressHost, From, Ingress, Outside, Sidecar, Sidecars};
use super::traffic::pool;
use crate::world::World;

/// Reads all Sidecars.
pub(super) fn resolve(world: &World, root: &str, findings: &mut Findings) -> Sidecars {
    let mut out = Sidecars::default();
    for object in world.by_age::<written::Sidecar>() {
        let sidecar = Hashed::new(sidecar(object));
        let namespace = sidecar.namespace.clone();
        if !sidecar.labels.is_empty() {
            out.chosen.entry(namespace).or_default().push(sidecar);
            continue;
        }
        let older = out.defaults.get(&namespace);
        if let Some(older) = older {
            let text = format!(
                "the older Sidecar {} without workloadSelector already holds for {namespace}: this one is ignored",
                older.name
            );
            note(findings, object, "metadata.name", Code::MultipleSidecarsWithoutWorkloadSelectors, text);
            continue;
        }
        if namespace == root {
            out.mesh = Some(sidecar.clone());
        }
        out.defaults.insert(namespace, sidecar);
    }
    out
}

fn sidecar(object: &Object<written::Sidecar>) -> Sidecar {
    let spec = &object.spec;
    let namespace = object.meta.namespace.as_str();
    Sidecar {
        name: object.meta.name.clone(),
        namespace: namespace.to_owned(),
        labels: spec.workload_selector.as_ref().map(|s| s.labels.clone()).unwrap_or_default(),
        egress: spec.egress.iter().map(|e| egress(e, namespace)).collect(),
        ingress: spec.ingress.iter().filter_map(ingress).collect(),
        pool: spec.inbound_connection_pool.as_ref().map(pool),
        outside: spec.outbound_traffic_policy.as_ref().map(|p| outside(p, namespace)),
        source: source(object, ""),
    }
}

fn outside(from: &written::OutboundTrafficPolicy, namespace: &str) -> Outside {
    match (from.mode, &from.egress_proxy) {
        (written::OutboundMode::RegistryOnly, _) => Outside::Block,
        (_, Some(proxy)) => Outside::Through(destination(proxy, namespace)),
        (_, None) => Outside::Pass,
    }
}

fn egress(from: &written::IstioEgressListener, own: &str) -> Egress {
    let word = from.port.as_ref().map(|p| Word::parse(&p.protocol)).filter(|word| !word.is_sniffed());
    Egress {
        port: from.port.as_ref().and_then(|p| u16::try_from(p.number).ok()).filter(|n| *n > 0),
        protocol: word.map(protocol),
        hosts: from.hosts.iter().map(|h| egress_host(h, own)).collect(),
    }
}

/// `ns/host`, `./host`, `*/host`, `~/*`, and `~ns/host` for what is taken away.
fn egress_host(text: &str, own: &str) -> EgressHost {
    let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
    let without = namespace.strip_prefix('~').filter(|rest| !rest.is_empty());
    let namespace = match without.unwrap_or(namespace) {
        "*" => From::Any,
        "." => From::Own,
        "~" => From::Nowhere,
        name => From::Named(name.to_owned()),
    };
    EgressHost { namespace, not: without.is_some(), host: full(host, own) }
}

fn ingress(from: &written::IstioIngressListener) -> Option<Ingress> {
    let port = from.port.as_ref()?;
    let number = u16::try_from(port.number).ok().filter(|n| *n > 0)?;
    let word = Word::parse(&port.protocol);
    Some(Ingress {
        port: number,
        protocol: protocol(if word.is_sniffed() { Word::of_name(&port.name) } else { word }),
        to: behind(&from.default_endpoint, number),
        pool: from.connection_pool.as_ref().map(pool),
    })
}

fn behind(text: &str, own: u16) -> Option<Behind> {
    if let Some(path) = text.strip_prefix("unix://") {
        return Some(Behind::Pipe(path.to_owned()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    match host {
        "127.0.0.1" => Some(Behind::Loopback { port, ipv6: false }),
        "[::1]" => Some(Behind::Loopback { port, ipv6: true }),
        // The workload's own address and port is where the connection goes anyway.
        _ if port == own => None,
        _ => Some(Behind::Own(port)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sidecars(text: &str) -> (Sidecars, Findings) {
        let parsed = api::parse("test.yaml", text);
        assert!(parsed.findings.is_empty(), "{}", parsed.findings);
        let mut findings = Findings::new();
        (resolve(&World::of(parsed.objects), "istio-system", &mut findings), findings)
    }

    fn one(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
        )
    }

    #[test]
    fn labels_then_namespace_then_root() {
        let text = one("mesh", "istio-system", "{egress: [{hosts: [./*]}]}")
            + &one("first", "a", "{egress: [{hosts: [./*]}]}")
            + &one("second", "a", "{egress: [{hosts: [./*]}]}")
            + &one("x", "a", "{workloadSelector: {labels: {app: x}}, egress: [{hosts: [./*]}]}");
        let (found, findings) = sidecars(&text);
        let x = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        let name = |ns: &str, labels: &BTreeMap<String, String>| found.of(ns, labels).unwrap().name.clone();
        assert_eq!(name("a", &x), "x");
        assert_eq!(name("a", &BTreeMap::new()), "first");
        assert_eq!(name("b", &x), "mesh");
        assert_eq!(findings.iter().map(|f| f.code.id()).collect::<Vec<_>>(), ["IST0111"]);
    }

    #[test]
    fn words_of_hosts() {
        let sidecar = Sidecar {
            egress: vec![Egress {
                port: None,
                protocol: None,
                hosts: ["./*", "b/y", "~a/z", "~/*"].iter().map(|h| egress_host(h, "a")).collect(),
            }],
            ..Default::default()
        };
        let reaches = |host: &str, namespace: &str| {
            let host = full(host, namespace);
            let service = super::super::service::Service::named(&host, namespace);
            sidecar.reaches(&service, 80, "a")
        };
        assert!(reaches("x", "a") && !reaches("z", "a"));
        assert!(!reaches("x", "b"));
    }

    #[test]
    fn endpoints_behind_a_port() {
        assert_eq!(behind("127.0.0.1:8080", 80), Some(Behind::Loopback { port: 8080, ipv6: false }));
        assert_eq!(behind("0.0.0.0:80", 80), None);
        assert_eq!(behind("0.0.0.0:81", 80), Some(Behind::Own(81)));
        assert_eq!(behind("unix:///a.sock", 80), Some(Behind::Pipe("/a.sock".into())));
        assert_eq!(behind("", 80), None);
    }
}
