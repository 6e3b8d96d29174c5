//! Every name that pilot generates, formatted and parsed here and nowhere else.
//!
//! Builders ask for names, goldens and the consistency oracle parse them back. The forms are Istio's, so that
//! `istioctl`, Kiali and people read them as they are used to; `docs/xds.md` lists them.

use std::fmt;
use std::str::FromStr;

/// Listener that catches everything outbound.
pub const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// Chain of [`VIRTUAL_OUTBOUND`] that refuses a loop to its own port.
pub const OUTBOUND_BLACKHOLE: &str = "virtualOutbound-blackhole";
/// Default chain of [`VIRTUAL_OUTBOUND`].
pub const OUTBOUND_CATCHALL: &str = "virtualOutbound-catchall-tcp";
/// Listener that catches everything inbound, and its TCP catch-all chain.
pub const VIRTUAL_INBOUND: &str = "virtualInbound";
/// Chain of [`VIRTUAL_INBOUND`] that refuses a loop to its own port.
pub const INBOUND_BLACKHOLE: &str = "virtualInbound-blackhole";
/// HTTP catch-all chain of [`VIRTUAL_INBOUND`].
pub const INBOUND_CATCHALL_HTTP: &str = "virtualInbound-catchall-http";
/// Virtual host for unknown hosts where they may pass.
pub const ALLOW_ANY: &str = "allow_any";
/// Virtual host for unknown hosts where they may not.
pub const BLOCK_ALL: &str = "block_all";
/// Cluster of the proxy's bootstrap through which its own certificates come.
pub const SDS_CLUSTER: &str = "sds-grpc";
/// Secret with the proxy's own certificate.
pub const SDS_IDENTITY: &str = "default";
/// Secret with the trust anchors of the mesh.
pub const SDS_ROOT: &str = "ROOTCA";
/// The one name table resource.
pub const NAME_TABLE: &str = "nametable";

/// The name of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterName {
    /// `outbound|PORT|SUBSET|HOST`; the subset may be empty.
    Outbound { port: u16, subset: String, host: String },
    /// `inbound|PORT||`, by port of the workload.
    Inbound { port: u16 },
    /// `BlackHoleCluster`: no endpoint at all.
    BlackHole,
    /// `PassthroughCluster`: where the client wanted to go.
    Passthrough,
    /// `InboundPassthroughCluster`: the application, at the address that was called.
    InboundPassthrough,
}

impl ClusterName {
    /// Cluster of a service port, or of a subset of it.
    pub fn outbound(port: u16, subset: &str, host: &str) -> Self {
        ClusterName::Outbound { port, subset: subset.to_owned(), host: host.to_owned() }
    }

    /// `outbound_.PORT_.SUBSET_.HOST`: the server name that a client of the mesh sends.
    pub fn sni(&self) -> Option<String> {
        match self {
            ClusterName::Outbound { port, subset, host } => {
                Some(format!("outbound_.{port}_.{subset}_.{host}"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterName::Outbound { port, subset, host } => write!(f, "outbound|{port}|{subset}|{host}"),
            ClusterName::Inbound { port } => write!(f, "inbound|{port}||"),
            ClusterName::BlackHole => f.write_str("BlackHoleCluster"),
            ClusterName::Passthrough => f.write_str("PassthroughCluster"),
            ClusterName::InboundPassthrough => f.write_str("InboundPassthroughCluster"),
        }
    }
}

impl FromStr for ClusterName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let fail = || NotAName(text.to_owned());
        match text {
            "BlackHoleCluster" => return Ok(ClusterName::BlackHole),
            "PassthroughCluster" => return Ok(ClusterName::Passthrough),
            "InboundPassthroughCluster" => return Ok(ClusterName::InboundPassthrough),
            _ => {}
        }
        let parts: Vec<&str> = text.split('|').collect();
        let [direction, port, subset, host] = parts[..] else { return Err(fail()) };
        let port = port.parse().map_err(|_| fail())?;
        match direction {
            "outbound" if !host.is_empty() => Ok(ClusterName::outbound(port, subset, host)),
            "inbound" if subset.is_empty() && host.is_empty() => Ok(ClusterName::Inbound { port }),
            _ => Err(fail()),
        }
    }
}

/// A text that is none of the generated names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name that pilot makes")]
pub struct NotAName(pub String);

/// The name of a route configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteName {
    /// `9080`: all HTTP services of a port, for sidecars.
    Port(u16),
    /// `reviews.default.svc.cluster.local:9080`: one service, for sniffed ports and gRPC clients.
    Service { host: String, port: u16 },
    /// `inbound|9080||`: what comes in on a port of the workload.
    Inbound(u16),
    /// `http_proxy`: every HTTP service, for applications that use the proxy port.
    HttpProxy,
    /// `http.8080`: all plain HTTP servers of a gateway port.
    GatewayHttp(u16),
    /// `https.443.https.bookinfo-gateway.default`: one HTTPS server of one gateway.
    GatewayHttps { port: u16, port_name: String, gateway: String, namespace: String },
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteName::Port(port) => write!(f, "{port}"),
            RouteName::Service { host, port } => write!(f, "{host}:{port}"),
            RouteName::Inbound(port) => write!(f, "inbound|{port}||"),
            RouteName::HttpProxy => f.write_str("http_proxy"),
            RouteName::GatewayHttp(port) => write!(f, "http.{port}"),
            RouteName::GatewayHttps { port, port_name, gateway, namespace } => {
                write!(f, "https.{port}.{port_name}.{gateway}.{namespace}")
            }
        }
    }
}

impl FromStr for RouteName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let fail = || NotAName(text.to_owned());
        if let Ok(port) = text.parse() {
            return Ok(RouteName::Port(port));
        }
        if text == "http_proxy" {
            return Ok(RouteName::HttpProxy);
        }
        if let Some(port) = text.strip_prefix("inbound|").and_then(|rest| rest.strip_suffix("||")) {
            return port.parse().map(RouteName::Inbound).map_err(|_| fail());
        }
        if let Some(Ok(port)) = text.strip_prefix("http.").map(str::parse) {
            return Ok(RouteName::GatewayHttp(port));
        }
        if let Some(rest) = text.strip_prefix("https.") {
            let (port, rest) = rest.split_once('.').ok_or_else(fail)?;
            let (port_name, rest) = rest.split_once('.').ok_or_else(fail)?;
            let (gateway, namespace) = rest.rsplit_once('.').ok_or_else(fail)?;
            let port = port.parse().map_err(|_| fail())?;
            let [port_name, gateway, namespace] = [port_name, gateway, namespace].map(str::to_owned);
            return Ok(RouteName::GatewayHttps { port, port_name, gateway, namespace });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(fail)?;
        let port = port.parse().map_err(|_| fail())?;
        Ok(RouteName::Service { host: host.to_owned(), port })
    }
}

/// `HOST:PORT`, the name of a virtual host.
pub fn virtual_host(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// `ROUTE/HOST:PORT`, the name of a virtual host as a resource of its own.
pub fn virtual_host_resource(route: &RouteName, virtual_host: &str) -> String {
    format!("{route}/{virtual_host}")
}

/// Route configuration and virtual host of such a name.
pub fn parse_virtual_host_resource(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
}

/// `ADDRESS_PORT`, the name of a listener and of an inbound chain. IPv6 addresses stand in brackets.
pub fn listener(address: std::net::IpAddr, port: u16) -> String {
    match address {
        std::net::IpAddr::V4(address) => format!("{address}_{port}"),
        std::net::IpAddr::V6(address) => format!("[{address}]_{port}"),
    }
}

/// `kubernetes://NAME`: certificate and key of a Secret.
pub fn secret(name: &str) -> String {
    format!("kubernetes://{name}")
}

/// `kubernetes://NAME-cacert`: trust anchors of a Secret.
pub fn secret_ca(name: &str) -> String {
    format!("kubernetes://{name}-cacert")
}

/// `/apis/networking.istio.io/v1/namespaces/NS/KIND/NAME`: which object a resource follows.
pub fn config_path(kind: &str, namespace: &str, name: &str) -> String {
    format!("/apis/networking.istio.io/v1/namespaces/{namespace}/{kind}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_parse_back() {
        let names = [
            ClusterName::outbound(9080, "v1", "reviews.default.svc.cluster.local"),
            ClusterName::outbound(80, "", "*.example.com"),
            ClusterName::Inbound { port: 9080 },
            ClusterName::BlackHole,
            ClusterName::Passthrough,
            ClusterName::InboundPassthrough,
        ];
        for name in names {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("outbound|x||a".parse::<ClusterName>().is_err());
        assert!("inbound|80|v1|".parse::<ClusterName>().is_err());
    }

    #[test]
    fn routes_parse_back() {
        let names = [
            RouteName::Port(9080),
            RouteName::Service { host: "a.b.svc.cluster.local".into(), port: 80 },
            RouteName::Inbound(9080),
            RouteName::HttpProxy,
            RouteName::GatewayHttp(8080),
            RouteName::GatewayHttps {
                port: 443,
                port_name: "https".into(),
                gateway: "g.with.dots".into(),
                namespace: "default".into(),
            },
        ];
        for name in names {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn server_name_of_mesh_traffic() {
        assert_eq!(
            ClusterName::outbound(9080, "v1", "reviews.default.svc.cluster.local").sni().as_deref(),
            Some("outbound_.9080_.v1_.reviews.default.svc.cluster.local")
        );
    }
}
