//! Ports: numbers, and the protocol that a port's name or `appProtocol` says.
//!
//! Used by pilot's services and gateways. Unknown words mean "find out by looking at the first bytes".

use std::fmt;

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    /// HTTP/2 without TLS.
    Http2,
    Https,
    Grpc,
    GrpcWeb,
    /// A forward proxy for HTTP.
    HttpProxy,
    Tcp,
    Tls,
    Udp,
    Mongo,
    Redis,
    Mysql,
    /// Mesh tunnel.
    Hbone,
    /// Nothing was said: the first bytes tell.
    #[default]
    Unsupported,
}

impl Protocol {
    /// The protocol of a word, in any case.
    pub fn parse(word: &str) -> Protocol {
        match word.to_ascii_lowercase().as_str() {
            "http" => Protocol::Http,
            "http2" => Protocol::Http2,
            "https" => Protocol::Https,
            "grpc" => Protocol::Grpc,
            "grpc-web" => Protocol::GrpcWeb,
            "http_proxy" => Protocol::HttpProxy,
            "tcp" => Protocol::Tcp,
            "tls" => Protocol::Tls,
            "udp" => Protocol::Udp,
            "mongo" => Protocol::Mongo,
            "redis" => Protocol::Redis,
            "mysql" => Protocol::Mysql,
            "hbone" => Protocol::Hbone,
            _ => Protocol::Unsupported,
        }
    }

    /// The protocol of a Kubernetes Service port: transport, `appProtocol`, then the name's prefix before `-`.
    /// Numbers whose protocols talk server-first are TCP where nothing is said.
    pub fn of_service_port(transport: &str, app_protocol: Option<&str>, name: &str, number: u32) -> Protocol {
        if transport.eq_ignore_ascii_case("UDP") {
            return Protocol::Udp;
        }
        let said = match app_protocol.filter(|word| !word.is_empty()) {
            Some(word) => match word.to_ascii_lowercase().as_str() {
                "kubernetes.io/h2c" => Protocol::Http2,
                "kubernetes.io/ws" => Protocol::Http,
                "kubernetes.io/wss" => Protocol::Https,
                word => Protocol::parse(word),
            },
            None => Protocol::of_name(name),
        };
        match (said, number) {
            (Protocol::Unsupported, 25 | 53 | 3306 | 27017) => Protocol::Tcp,
            (said, _) => said,
        }
    }

    /// The protocol that a port's name starts with: `http-web`, `grpc-web-x`, `tcp`.
    pub fn of_name(name: &str) -> Protocol {
        let name = name.to_ascii_lowercase();
        if name == "grpc-web" || name.starts_with("grpc-web-") {
            return Protocol::GrpcWeb;
        }
        Protocol::parse(name.split('-').next().unwrap_or_default())
    }

    /// Routed by HTTP rules, when not inside TLS.
    pub fn is_http(self) -> bool {
        use Protocol::{Grpc, GrpcWeb, Http, Http2, HttpProxy};
        matches!(self, Http | Http2 | Grpc | GrpcWeb | HttpProxy)
    }

    /// Spoken as HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// Routed by connection.
    pub fn is_tcp(self) -> bool {
        use Protocol::{Https, Mongo, Mysql, Redis, Tcp, Tls};
        matches!(self, Tcp | Https | Tls | Mongo | Redis | Mysql)
    }

    /// Starts with a TLS handshake of the application.
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }

    /// Found out from the first bytes.
    pub fn is_sniffed(self) -> bool {
        self == Protocol::Unsupported
    }

    /// As Istio writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "HTTP",
            Protocol::Http2 => "HTTP2",
            Protocol::Https => "HTTPS",
            Protocol::Grpc => "GRPC",
            Protocol::GrpcWeb => "GRPC-Web",
            Protocol::HttpProxy => "HTTP_PROXY",
            Protocol::Tcp => "TCP",
            Protocol::Tls => "TLS",
            Protocol::Udp => "UDP",
            Protocol::Mongo => "Mongo",
            Protocol::Redis => "Redis",
            Protocol::Mysql => "MySQL",
            Protocol::Hbone => "HBONE",
            Protocol::Unsupported => "UnsupportedProtocol",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port number, if it is one.
pub fn number(value: i64) -> Option<u16> {
    u16::try_from(value).ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ports() {
        use Protocol::{Grpc, GrpcWeb, Http, Http2, Https, Mongo, Tcp, Tls, Udp, Unsupported};
        for (transport, app, name, number, expected) in [
            ("TCP", None, "http", 80, Http),
            ("TCP", None, "HTTP-web", 80, Http),
            ("", None, "http2-x", 80, Http2),
            ("TCP", None, "grpc-web", 80, GrpcWeb),
            ("TCP", None, "grpc-web-x", 80, GrpcWeb),
            ("TCP", None, "grpc-x", 80, Grpc),
            ("TCP", None, "https", 443, Https),
            ("TCP", None, "tls-x", 443, Tls),
            ("TCP", None, "mongo-1", 1, Mongo),
            ("TCP", None, "web", 80, Unsupported),
            ("TCP", None, "", 80, Unsupported),
            ("TCP", None, "", 3306, Tcp),
            ("TCP", Some("http"), "tcp", 80, Http),
            ("TCP", Some("kubernetes.io/h2c"), "tcp", 80, Http2),
            ("TCP", Some("kubernetes.io/wss"), "", 80, Https),
            ("TCP", Some("example.com/own"), "http", 80, Unsupported),
            ("UDP", None, "http", 80, Udp),
            ("TCP", None, "httpx", 80, Unsupported),
        ] {
            assert_eq!(
                Protocol::of_service_port(transport, app, name, number),
                expected,
                "{transport} {app:?} {name}"
            );
        }
    }
}
