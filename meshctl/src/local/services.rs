//! What Services mean: addresses, and the pods behind each port. Pure.
//!
//! In: Service objects, their addresses and the facts of all pods. Out: one view per Service, from which the
//! translation table, DNS, the published ports and the EndpointSlices are made. Called by the reconciler.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::core::Service;
use api::{Object, meta};
use base::net::nft::L4;
use serde_json::{Value, json};

/// What the rest of the mesh must know of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Address.
    pub ip4: Ipv4Addr,
    /// IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// Takes connections.
    pub ready: bool,
    /// Is being ended.
    pub terminating: bool,
    /// Numbers of named container ports.
    pub ports: BTreeMap<String, u16>,
    /// `hostname` and `subdomain` of the pod, for names of their own.
    pub hostname: Option<(String, String)>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct PortView {
    /// Name, empty where there is only one.
    pub name: String,
    /// Port of the Service.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: L4,
    /// Pods that take connections: index into `ServiceView::pods`, and their port.
    pub ready: Vec<(usize, u16)>,
    /// Pods that do not yet.
    pub waiting: Vec<(usize, u16)>,
}

/// How clients reach a Service.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// By an address of its own.
    Address(Vec<IpAddr>),
    /// By the addresses of its pods.
    Headless,
    /// By another name.
    Name(String),
}

/// One Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// Its ports.
    pub ports: Vec<PortView>,
    /// The selected pods.
    pub pods: Vec<PodFacts>,
    /// Whether its ports are published on the host.
    pub published: bool,
    /// Whether IPv6 is wanted beside IPv4.
    pub dual: bool,
}

impl ServiceView {
    /// Addresses and ports of the pods that take connections on a port.
    pub fn ready<'a>(&'a self, port: &'a PortView) -> impl Iterator<Item = (&'a PodFacts, u16)> {
        port.ready.iter().filter_map(|(pod, port)| Some((self.pods.get(*pod)?, *port)))
    }
}

/// Puts one Service and the pods together. `addresses` are those given to it.
#[must_use]
pub fn view(service: &Object<Service>, addresses: (Ipv4Addr, Ipv6Addr), all: &[PodFacts]) -> ServiceView {
    let spec = &service.spec;
    let dual = matches!(spec.ip_family_policy.as_deref(), Some("PreferDualStack" | "RequireDualStack"))
        || spec.ip_families.iter().any(|family| family == "IPv6");
    let only6 =
        spec.ip_families == ["IPv6"] && spec.ip_family_policy.as_deref().is_none_or(|p| p == "SingleStack");
    let reach = if spec.is_external_name() {
        Reach::Name(spec.external_name.trim_end_matches('.').to_lowercase())
    } else if spec.is_headless() {
        Reach::Headless
    } else {
        let (v4, v6) = (IpAddr::V4(addresses.0), IpAddr::V6(addresses.1));
        Reach::Address(match (dual, only6) {
            (_, true) => vec![v6],
            (true, false) if spec.ip_families.first().is_some_and(|family| family == "IPv6") => vec![v6, v4],
            (true, false) => vec![v4, v6],
            (false, false) => vec![v4],
        })
    };
    let selected = |pod: &&PodFacts| {
        let same = pod.namespace == service.meta.namespace && !spec.selector.is_empty();
        same && meta::labels_match(&spec.selector, &pod.labels)
    };
    let pods: Vec<PodFacts> = all.iter().filter(selected).cloned().collect();
    let ports = spec.ports.iter().filter_map(|port| {
        let protocol = match port.protocol.as_str() {
            "" | "TCP" => L4::Tcp,
            "UDP" => L4::Udp,
            _ => return None,
        };
        let number = u16::try_from(port.port).ok()?;
        let mut view = PortView {
            name: port.name.clone(),
            port: number,
            protocol,
            ready: Vec::new(),
            waiting: Vec::new(),
        };
        for (index, pod) in pods.iter().enumerate() {
            let target = match &port.target_port {
                Some(target) => match target.name() {
                    Some(name) => pod.ports.get(name).copied(),
                    None => target
                        .number()
                        .and_then(|number| u16::try_from(number).ok())
                        .filter(|number| *number > 0),
                },
                None => Some(number),
            };
            let Some(target) = target else { continue };
            let usable = (pod.ready || spec.publish_not_ready_addresses) && !pod.terminating;
            if usable { view.ready.push((index, target)) } else { view.waiting.push((index, target)) }
        }
        Some(view)
    });
    let ports = ports.collect();
    ServiceView {
        namespace: service.meta.namespace.clone(),
        name: service.meta.name.clone(),
        reach,
        ports,
        pods,
        published: spec.service_type == "LoadBalancer",
        dual,
    }
}

/// The EndpointSlices of a Service, as an API server would have them; none for a Service without a selector.
#[must_use]
pub fn slices(service: &Object<Service>, view: &ServiceView) -> Vec<Value> {
    if service.spec.selector.is_empty() || service.spec.is_external_name() {
        return Vec::new();
    }
    let mut families = vec!["IPv4"];
    if view.dual {
        families.push("IPv6");
    }
    // Ports are the same for all endpoints of a slice; pods that number a named port differently get one each.
    let mut groups: BTreeMap<Vec<u16>, Vec<usize>> = BTreeMap::new();
    for index in 0..view.pods.len() {
        let number = |port: &PortView| {
            port.ready.iter().chain(&port.waiting).find(|(pod, _)| *pod == index).map(|p| p.1)
        };
        if let Some(ports) = view.ports.iter().map(number).collect::<Option<Vec<u16>>>() {
            groups.entry(ports).or_default().push(index);
        }
    }
    if groups.is_empty() {
        groups.insert(view.ports.iter().map(|port| port.port).collect(), Vec::new());
    }
    let mut slices = Vec::new();
    for family in families {
        for (number, (ports, members)) in groups.iter().enumerate() {
            let suffix = format!("{}{number}", if family == "IPv4" { "a" } else { "b" });
            slices.push(slice(
                view,
                (family, &suffix),
                ports,
                members,
                service.spec.publish_not_ready_addresses,
            ));
        }
    }
    slices
}

fn slice(
    view: &ServiceView,
    (family, suffix): (&str, &str),
    ports: &[u16],
    members: &[usize],
    eager: bool,
) -> Value {
    let endpoints = members.iter().filter_map(|index| {
        let pod = view.pods.get(*index)?;
        let address = if family == "IPv4" { pod.ip4.to_string() } else { pod.ip6?.to_string() };
        let ready = (pod.ready || eager) && !pod.terminating;
        let mut endpoint = json!({
            "addresses": [address],
            "conditions": {"ready": ready, "serving": pod.ready || eager, "terminating": pod.terminating},
            "nodeName": super::system::NODE_NAME,
            "targetRef": {"kind": "Pod", "name": pod.name, "namespace": pod.namespace},
        });
        if let Some((hostname, _)) = pod.hostname.as_ref().filter(|(_, domain)| *domain == view.name) {
            endpoint["hostname"] = json!(hostname);
        }
        Some(endpoint)
    });
    let ports = view.ports.iter().zip(ports).map(|(port, number)| {
        json!({"name": port.name, "port": number, "protocol": if port.protocol == L4::Udp { "UDP" } else { "TCP" }})
    });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-{suffix}", view.name),
            "namespace": view.namespace,
            "labels": {
                "kubernetes.io/service-name": view.name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": family,
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": ports.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, number: u16, ready: bool) -> PodFacts {
        let (ip4, ip6) = super::super::addresses::of_pod(number);
        PodFacts {
            namespace: "default".into(),
            name: name.into(),
            labels: BTreeMap::from([("app".into(), "a".into())]),
            ip4,
            ip6: Some(ip6),
            ready,
            terminating: false,
            ports: BTreeMap::from([("http".into(), 9080)]),
            hostname: None,
        }
    }

    fn service(text: &str) -> Object<Service> {
        let parsed = api::parse("t", text);
        parsed.objects[0].get::<Service>().unwrap().clone()
    }

    #[test]
    fn named_ports_and_readiness() {
        let service = service(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  selector: {app: a}\n  ports:\n  \
             - {name: http, port: 80, targetPort: http}\n",
        );
        let addresses = (Ipv4Addr::new(10, 96, 1, 0), Ipv6Addr::LOCALHOST);
        let view = view(&service, addresses, &[pod("one", 2, true), pod("two", 3, false)]);
        assert_eq!(view.reach, Reach::Address(vec![addresses.0.into()]));
        assert_eq!((&view.ports[0].ready, &view.ports[0].waiting), (&vec![(0, 9080)], &vec![(1, 9080)]));
        let slices = slices(&service, &view);
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0]["endpoints"][1]["conditions"]["ready"], false);
        assert_eq!(slices[0]["ports"][0]["port"], 9080);
    }

    #[test]
    fn dual_stack_and_headless() {
        let service = service(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ipFamilyPolicy: PreferDualStack\n  \
             clusterIP: None\n  selector: {app: a}\n  ports:\n  - {port: 80}\n",
        );
        let view = view(&service, (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST), &[pod("one", 2, true)]);
        assert_eq!(view.reach, Reach::Headless);
        let families: Vec<_> = slices(&service, &view).iter().map(|s| s["addressType"].clone()).collect();
        assert_eq!(families, ["IPv4", "IPv6"]);
    }
}
