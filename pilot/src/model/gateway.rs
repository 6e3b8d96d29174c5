//! What a gateway listens on, as written in a Gateway.
//!
//! Made by `gateways.rs`; read by `xds/listener/gateway.rs` and by the routes of gateways.

use std::collections::BTreeMap;

use crate::model::service::Source;

/// One Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    pub name: String,
    pub namespace: String,
    /// Labels of the pods that serve it, in any namespace; empty: all.
    pub selector: BTreeMap<String, String>,
    pub servers: Vec<Server>,
    pub source: Source,
}

/// One server of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// As written: the port of the Service in front, or of the pod.
    pub port: u16,
    pub port_name: String,
    pub protocol: ServerProtocol,
    pub hosts: Vec<ServerHost>,
    pub tls: Option<ServerTls>,
    pub source: Source,
}

/// A host and the namespace from which routes may bind to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerHost {
    /// None: any.
    pub namespace: Option<String>,
    /// Full name, `*.suffix` or `*`.
    pub host: String,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerProtocol {
    Http,
    /// TLS terminated here, HTTP inside.
    Https,
    Tcp,
    /// TLS, terminated here or passed through; opaque inside.
    Tls,
}

/// `tls` of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerTls {
    pub mode: ServerTlsMode,
    /// Answer plain HTTP with 301 to https.
    pub redirect: bool,
    /// Names of Secrets in the namespace of the gateway's pods.
    pub credentials: Vec<String>,
    pub ca_credential: String,
    /// Certificate chain and key.
    pub files: Vec<(String, String)>,
    pub ca_file: String,
    pub sans: Vec<String>,
    pub spki: Vec<String>,
    pub hashes: Vec<String>,
    pub skip_verify: bool,
    pub min: TlsVersion,
    pub max: TlsVersion,
    pub ciphers: Vec<String>,
}

/// Mode of server TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServerTlsMode {
    #[default]
    Passthrough,
    AutoPassthrough,
    Simple,
    Mutual,
    OptionalMutual,
    IstioMutual,
}

impl ServerTlsMode {
    /// Whether the gateway ends TLS.
    pub fn terminates(self) -> bool {
        !matches!(self, ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
    }
}

/// A TLS version; `Auto` is 1.2 as minimum and 1.3 as maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    #[default]
    Auto,
    V10,
    V11,
    V12,
    V13,
}
