//! What a service of the mesh is, whatever kind of object it came from.
//!
//! Made by `services.rs` from Service and ServiceEntry; read by every builder. No address of an endpoint in
//! here: those live in the endpoints section and change far more often.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// One host name with its ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Full host name in lower case: `reviews.default.svc.cluster.local`, or a ServiceEntry host.
    pub host: String,
    /// Short name: `reviews`; for a ServiceEntry its host.
    pub name: String,
    pub namespace: String,
    pub registry: Registry,
    /// Virtual addresses. None for headless services.
    pub addresses: Vec<IpAddr>,
    /// They were made up here: only who asks our DNS server ever calls them.
    pub allocated: bool,
    /// Address ranges of a ServiceEntry.
    pub ranges: Vec<IpNet>,
    pub ports: Vec<Port>,
    pub resolution: Resolution,
    /// A Service without a virtual address: its name answers with the addresses of its pods.
    pub headless: bool,
    /// Outside of the mesh (ServiceEntry MESH_EXTERNAL): never mutual TLS.
    pub external: bool,
    pub visibility: Visibility,
    /// Subject names that a server must show where a DestinationRule originates TLS.
    pub sans: Vec<String>,
    /// Which pods of the namespace stand behind it. Empty: none by label.
    pub selector: BTreeMap<String, String>,
    /// Publish endpoints that are not ready.
    pub unready_too: bool,
    /// `trafficDistribution`: which endpoints come first.
    pub distribution: Option<Distribution>,
    /// `internalTrafficPolicy: Local`: only endpoints on the node of the client.
    pub node_only: bool,
    /// Services of type ExternalName that mean it.
    pub aliases: Vec<Alias>,
}

/// Which endpoints come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Those of the same network, then region, then zone.
    SameZone,
    /// The same, then subzone, then node.
    SameNode,
}

impl Distribution {
    /// The labels that count, the widest first.
    pub fn labels(self) -> Vec<String> {
        let all = [super::workloads::NETWORK, REGION, ZONE, SUBZONE, HOSTNAME];
        let count = if self == Distribution::SameNode { 5 } else { 3 };
        all[..count].iter().map(|&label| label.to_owned()).collect()
    }
}

/// Labels that say where something is.
pub const REGION: &str = "topology.kubernetes.io/region";
pub const ZONE: &str = "topology.kubernetes.io/zone";
pub const SUBZONE: &str = "topology.istio.io/subzone";
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Another name of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alias {
    pub name: String,
    pub namespace: String,
}

/// Where a service was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Registry {
    Kubernetes,
    External,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    pub number: u16,
    pub name: String,
    pub protocol: Protocol,
    /// Port of the workload: a number, or the name of a container port.
    pub target: Target,
}

/// Port of the workload behind a service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Number(u16),
    Name(String),
}

/// What is spoken on a port, as far as the mesh cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1 towards the application.
    Http,
    /// HTTP/2 without TLS, not gRPC.
    Http2,
    Grpc,
    GrpcWeb,
    /// TLS that the application terminates; routed by server name.
    Tls,
    Tcp,
    /// Not declared: found out from the first bytes.
    Unknown,
    /// Never captured.
    Udp,
}

impl Protocol {
    /// Routed as HTTP.
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// HTTP/2 towards the endpoint.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    pub fn is_grpc(self) -> bool {
        matches!(self, Protocol::Grpc | Protocol::GrpcWeb)
    }
}

/// How the addresses behind a host name are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Endpoints that pilot knows.
    Endpoints,
    /// The address that the client already chose.
    Original,
    /// DNS: all addresses of all names.
    Dns,
    /// DNS: the first address.
    DnsRoundRobin,
}

/// Who may see an object (`exportTo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    #[default]
    Everywhere,
    /// These namespaces only; empty: nobody.
    Namespaces(Vec<String>),
}

impl Visibility {
    /// Whether a client in this namespace sees it.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Visibility::Everywhere => true,
            Visibility::Namespaces(names) => names.iter().any(|n| n == namespace),
        }
    }

    /// Whether somebody sees both.
    pub fn meets(&self, other: &Visibility) -> bool {
        match (self, other) {
            (Visibility::Everywhere, Visibility::Everywhere) => true,
            (Visibility::Everywhere, Visibility::Namespaces(names))
            | (Visibility::Namespaces(names), Visibility::Everywhere) => !names.is_empty(),
            (Visibility::Namespaces(a), Visibility::Namespaces(b)) => a.iter().any(|n| b.contains(n)),
        }
    }

    /// From `exportTo` words; `fallback` where there are none. `.` is the object's own namespace.
    pub fn parse(words: &[String], own: &str, fallback: &[String]) -> Self {
        let words = if words.is_empty() { fallback } else { words };
        if words.is_empty() || words.iter().any(|w| w == "*") {
            return Visibility::Everywhere;
        }
        let mut names: Vec<String> = words
            .iter()
            .filter(|w| *w != "~")
            .map(|w| if w == "." { own.to_owned() } else { w.clone() })
            .collect();
        names.sort();
        names.dedup();
        Visibility::Namespaces(names)
    }
}

impl Service {
    /// A service with nothing but a name, for tests.
    #[cfg(test)]
    pub(crate) fn named(host: &str, namespace: &str) -> Self {
        Service {
            host: host.to_owned(),
            name: host.to_owned(),
            namespace: namespace.to_owned(),
            registry: Registry::External,
            addresses: Vec::new(),
            allocated: false,
            ranges: Vec::new(),
            ports: Vec::new(),
            resolution: Resolution::Endpoints,
            headless: false,
            external: false,
            visibility: Visibility::Everywhere,
            sans: Vec::new(),
            selector: BTreeMap::new(),
            unready_too: false,
            distribution: None,
            node_only: false,
            aliases: Vec::new(),
        }
    }

    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// The address by which listeners and names stand for it.
    pub fn address(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }
}

/// Where something was written: `file` empty when it came from an API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    pub file: String,
    /// Counted from 1; 0 when unknown.
    pub line: u32,
}

impl Source {
    /// `FILE:LINE`, where it is known.
    pub fn text(&self) -> Option<String> {
        (!self.file.is_empty()).then(|| format!("{}:{}", self.file, self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_words() {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(Visibility::parse(&[], "a", &[]), Visibility::Everywhere);
        assert!(!Visibility::parse(&words(&["~"]), "a", &[]).includes("a"));
        let own = Visibility::parse(&words(&[".", "b"]), "a", &[]);
        assert!(own.includes("a") && own.includes("b") && !own.includes("c"));
        assert!(!Visibility::parse(&[], "a", &words(&["."])).includes("b"));
    }
}
