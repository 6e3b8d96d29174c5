//! Service and ServiceEntry objects -> services.
//!
//! Comes in: the world and the export defaults of the mesh. Goes out: services sorted by host and namespace.
//! Ports are read by Istio's rules: `appProtocol`, then the port's name, then well-known numbers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::core::{Service as KubeService, ServicePort};
use api::networking::{Location, Resolution as Written, ServiceEntry};
use api::port::Protocol as Word;
use api::text::IntOrString;
use api::{Code, Findings, Object};
use ipnet::IpNet;

use super::hashed::{Digest, Hashed};
use super::mesh::Mesh;
use super::names::{full, service_host};
use super::note::note;
use super::service::{
    Alias, Distribution, Port, Protocol, Registry, Resolution, Service, Target, Visibility,
};
use crate::world::World;

/// Annotation of a Service: as `exportTo`.
const EXPORT: &str = "networking.istio.io/exportTo";

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Services {
    /// By host, then namespace.
    pub all: Vec<Hashed<Service>>,
}

impl Services {
    /// Services with this host, in any namespace.
    pub fn with_host<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a Hashed<Service>> {
        let start = self.all.partition_point(|s| s.host.as_str() < host);
        let host = host.to_owned();
        self.all[start..].iter().take_while(move |s| s.host == host)
    }
}

/// Reads all services.
pub fn resolve(world: &World, mesh: &Mesh, findings: &mut Findings) -> Services {
    let mut all: BTreeMap<(String, String), Service> = BTreeMap::new();
    let mut names = Vec::new();
    for object in world.all::<KubeService>() {
        if object.spec.is_external_name() {
            names.push(OtherName::of(object));
            continue;
        }
        let service = kubernetes(object, mesh, findings);
        all.insert((service.host.clone(), service.namespace.clone()), service);
    }
    for object in world.by_age::<ServiceEntry>() {
        for service in entry(object, mesh, findings) {
            let key = (service.host.clone(), service.namespace.clone());
            match all.get_mut(&key) {
                None => drop(all.insert(key, service)),
                Some(first) if first.registry == Registry::External => {
                    merge(first, service, object, findings)
                }
                Some(_) => {
                    let text = format!("{} is a Service already, which wins", key.0);
                    note(findings, object, "spec.hosts", Code::NoEffect, text);
                }
            }
        }
    }
    allocate(&mut all);
    attach(names, &mut all);
    Services { all: all.into_values().map(Hashed::new).collect() }
}

/// A Service of type ExternalName: only another name of something.
struct OtherName {
    host: String,
    alias: Alias,
    target: String,
}

impl OtherName {
    fn of(object: &Object<KubeService>) -> Self {
        let (name, namespace) = (object.meta.name.clone(), object.meta.namespace.clone());
        OtherName {
            host: service_host(&name, &namespace),
            target: object.spec.external_name.trim_end_matches('.').to_ascii_lowercase(),
            alias: Alias { name, namespace },
        }
    }
}

/// Whatever is true of a service is true of its other names. A name for something outside of the mesh is none of
/// ours: clients resolve it and go there as to any unknown place.
fn attach(names: Vec<OtherName>, all: &mut BTreeMap<(String, String), Service>) {
    let targets: BTreeMap<&str, &str> = names.iter().map(|n| (n.host.as_str(), n.target.as_str())).collect();
    for name in &names {
        // A name of a name of a name.
        let mut target = name.target.as_str();
        for _ in 0..targets.len() {
            target = targets.get(target).copied().unwrap_or(target);
        }
        all.values_mut().filter(|s| s.host == target).for_each(|s| s.aliases.push(name.alias.clone()));
    }
}

/// Gives virtual addresses to ServiceEntry hosts that name none, so that DNS has an answer for them and TCP can tell
/// them apart. Istio's ranges: 240.240.0.0/16 and 2001:2::/48. The address follows from the host's name; of two hosts
/// that fall on the same one, the later by name takes the next free.
fn allocate(all: &mut BTreeMap<(String, String), Service>) {
    let mut taken = std::collections::HashSet::new();
    for service in all.values_mut() {
        let wants = service.registry == Registry::External
            && service.addresses.is_empty()
            && service.ranges.is_empty()
            && service.resolution != Resolution::Original
            && !service.host.starts_with('*');
        if !wants {
            continue;
        }
        let digest = Digest::of(&(&service.host, &service.namespace)).0;
        // The first and the last address of the range stay free.
        let mut number = u16::try_from(digest % 65_534).unwrap_or_default() + 1;
        while !taken.insert(number) {
            number = if number == 65_534 { 1 } else { number + 1 };
            if taken.len() >= 65_534 {
                return;
            }
        }
        service.allocated = true;
        let [high, low] = number.to_be_bytes();
        service.addresses = vec![
            IpAddr::V4(Ipv4Addr::new(240, 240, high, low)),
            IpAddr::V6(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, number)),
        ];
    }
}

/// Two ServiceEntries of one host in one namespace share it: ports are joined, the oldest wins.
fn merge(first: &mut Service, other: Service, object: &Object<ServiceEntry>, findings: &mut Findings) {
    for port in other.ports {
        match first.port(port.number) {
            None => first.ports.push(port),
            Some(old) if old.protocol != port.protocol => {
                let text = format!(
                    "port {} of {} has another protocol in an older ServiceEntry",
                    port.number, first.host
                );
                note(findings, object, "spec.ports", Code::ConflictingServiceEntryProtocol, text);
            }
            Some(_) => {}
        }
    }
    first.ports.sort_by_key(|p| p.number);
    for address in other.addresses {
        if !first.addresses.contains(&address) {
            first.addresses.push(address);
        }
    }
}

fn kubernetes(object: &Object<KubeService>, mesh: &Mesh, findings: &mut Findings) -> Service {
    let spec = &object.spec;
    let (name, namespace) = (object.meta.name.clone(), object.meta.namespace.clone());
    let mut addresses: Vec<_> = std::iter::once(&spec.cluster_ip)
        .chain(&spec.cluster_ips)
        .filter_map(|text| text.parse().ok())
        .collect();
    let mut seen = Vec::new();
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    let words: Vec<String> = object
        .meta
        .annotation(EXPORT)
        .map(|text| text.split(',').map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect())
        .unwrap_or_default();
    let headless = spec.is_headless();
    let resolution = if headless { Resolution::Original } else { Resolution::Endpoints };
    let ports =
        spec.ports.iter().enumerate().filter_map(|(i, p)| kubernetes_port(object, i, p, findings)).collect();
    Service {
        host: service_host(&name, &namespace),
        visibility: Visibility::parse(&words, &namespace, &mesh.export_services),
        registry: Registry::Kubernetes,
        addresses,
        allocated: false,
        ranges: Vec::new(),
        ports,
        resolution,
        headless,
        external: false,
        sans: Vec::new(),
        selector: spec.selector.clone(),
        unready_too: spec.publish_not_ready_addresses,
        distribution: match spec.traffic_distribution.as_deref() {
            Some("PreferClose" | "PreferSameZone") => Some(Distribution::SameZone),
            Some("PreferSameNode") => Some(Distribution::SameNode),
            _ => None,
        },
        node_only: spec.internal_traffic_policy.as_deref() == Some("Local"),
        aliases: Vec::new(),
        name,
        namespace,
    }
}

fn kubernetes_port(
    object: &Object<KubeService>,
    index: usize,
    port: &ServicePort,
    findings: &mut Findings,
) -> Option<Port> {
    let number = u16::try_from(port.port).ok().filter(|n| *n > 0)?;
    let protocol = {
        let said =
            Word::of_service_port(&port.protocol, port.app_protocol.as_deref(), &port.name, number.into());
        if said.is_sniffed() && !port.name.is_empty() {
            let text = format!(
                "the name {:?} of port {number} does not start with a protocol (http-, tcp-, ...): it is detected \
                 from the first bytes",
                port.name
            );
            let path = format!("spec.ports[{index}].name");
            note(findings, object, &path, Code::PortNameIsNotUnderNamingConvention, text);
        }
        protocol(said)
    };
    let target = match &port.target_port {
        Some(IntOrString::Text(name)) => Target::Name(name.clone()),
        Some(IntOrString::Int(n)) if *n > 0 => Target::Number(u16::try_from(*n).ok()?),
        _ => Target::Number(number),
    };
    Some(Port { number, name: port.name.clone(), protocol, target })
}

/// What the mesh does with a protocol.
pub fn protocol(word: Word) -> Protocol {
    match word {
        Word::Http | Word::HttpProxy => Protocol::Http,
        Word::Http2 => Protocol::Http2,
        Word::Grpc => Protocol::Grpc,
        Word::GrpcWeb => Protocol::GrpcWeb,
        Word::Https | Word::Tls => Protocol::Tls,
        Word::Tcp | Word::Mongo | Word::Redis | Word::Mysql | Word::Hbone => Protocol::Tcp,
        Word::Udp => Protocol::Udp,
        Word::Unsupported => Protocol::Unknown,
    }
}

/// One service per host.
fn entry(object: &Object<ServiceEntry>, mesh: &Mesh, findings: &mut Findings) -> Vec<Service> {
    let spec = &object.spec;
    let namespace = object.meta.namespace.as_str();
    let resolution = match spec.resolution {
        Written::None => Resolution::Original,
        Written::Static => Resolution::Endpoints,
        Written::Dns => Resolution::Dns,
        Written::DnsRoundRobin => Resolution::DnsRoundRobin,
        Written::DynamicDns => {
            // Named by the list of what is not honoured: the client's own choice holds.
            Resolution::Original
        }
    };
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().enumerate() {
        let Some(number) = u16::try_from(port.number).ok().filter(|n| *n > 0) else { continue };
        let said = Word::parse(&port.protocol);
        if said.is_sniffed() && !port.protocol.is_empty() {
            let text = format!("{:?} is no protocol: it is detected from the first bytes", port.protocol);
            note(findings, object, &format!("spec.ports[{index}].protocol"), Code::BadValue, text);
        }
        let target = u16::try_from(port.target_port).ok().filter(|n| *n > 0).unwrap_or(number);
        ports.push(Port {
            number,
            name: port.name.clone(),
            protocol: protocol(if said.is_sniffed() {
                Word::of_service_port("", None, &port.name, port.number)
            } else {
                said
            }),
            target: Target::Number(target),
        });
    }
    let addresses: Vec<_> = spec.addresses.iter().filter_map(|a| a.parse().ok()).collect();
    let ranges: Vec<IpNet> =
        spec.addresses.iter().filter(|a| a.contains('/')).filter_map(|a| a.parse().ok()).collect();
    spec.hosts
        .iter()
        .map(|host| {
            let host = full(host, namespace);
            Service {
                name: host.clone(),
                host,
                namespace: namespace.to_owned(),
                registry: Registry::External,
                addresses: addresses.clone(),
                allocated: false,
                ranges: ranges.clone(),
                ports: ports.clone(),
                resolution,
                headless: false,
                external: spec.location == Location::MeshExternal,
                visibility: Visibility::parse(&spec.export_to, namespace, &mesh.export_services),
                sans: spec.subject_alt_names.clone(),
                selector: BTreeMap::new(),
                unready_too: false,
                distribution: None,
                node_only: false,
                aliases: Vec::new(),
            }
        })
        .collect()
}
