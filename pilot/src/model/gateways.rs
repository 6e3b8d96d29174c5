//! Gateway objects -> gateways, in the order of their age.
//!
//! Nothing is matched to pods here: which proxies serve a gateway is a question of a view.

use api::networking as written;
use api::port::Protocol;
use api::{Code, Findings, Object};

use super::gateway::{Gateway, Server, ServerHost, ServerProtocol, ServerTls, ServerTlsMode, TlsVersion};
use super::hashed::Hashed;
use super::names::full;
use super::note::{note, source};
use crate::world::World;

/// All gateways, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gateways {
    pub all: Vec<Hashed<Gateway>>,
}

impl Gateways {
    /// The gateway with this name.
    pub fn named(&self, namespace: &str, name: &str) -> Option<&Hashed<Gateway>> {
        self.all.iter().find(|g| g.namespace == namespace && g.name == name)
    }
}

/// Reads all Gateways.
pub fn resolve(world: &World, findings: &mut Findings) -> Gateways {
    let gateway = |object: &Object<written::Gateway>, findings: &mut Findings| {
        let servers = object.spec.servers.iter().enumerate();
        Gateway {
            name: object.meta.name.clone(),
            namespace: object.meta.namespace.clone(),
            selector: object.spec.selector.clone(),
            servers: servers.filter_map(|(i, s)| server(object, i, s, findings)).collect(),
            source: source(object, ""),
        }
    };
    Gateways {
        all: world
            .by_age::<written::Gateway>()
            .into_iter()
            .map(|o| Hashed::new(gateway(o, findings)))
            .collect(),
    }
}

fn server(
    object: &Object<written::Gateway>,
    index: usize,
    from: &written::Server,
    findings: &mut Findings,
) -> Option<Server> {
    let path = format!("spec.servers[{index}]");
    let port = from.port.as_ref()?;
    let number = u16::try_from(port.number).ok().filter(|n| *n > 0)?;
    let protocol = match Protocol::parse(&port.protocol) {
        Protocol::Https => ServerProtocol::Https,
        Protocol::Tls => ServerProtocol::Tls,
        p if p.is_http() => ServerProtocol::Http,
        p if p.is_tcp() => ServerProtocol::Tcp,
        _ => {
            let text = format!("{:?} is no protocol of a gateway: the server is left out", port.protocol);
            note(findings, object, &format!("{path}.port.protocol"), Code::BadValue, text);
            return None;
        }
    };
    let tls = from.tls.as_ref().map(server_tls);
    if matches!(protocol, ServerProtocol::Https | ServerProtocol::Tls) && tls.is_none() {
        let text = "a server with TLS needs tls settings: the server is left out";
        note(findings, object, &format!("{path}.tls"), Code::Required, text);
        return None;
    }
    if tls.as_ref().is_some_and(|t| t.mode == ServerTlsMode::AutoPassthrough) {
        // Named by the list of what is not honoured.
        return None;
    }
    Some(Server {
        port: number,
        port_name: port.name.clone(),
        protocol,
        hosts: from.hosts.iter().map(|h| host(h, &object.meta.namespace)).collect(),
        tls,
        source: source(object, &path),
    })
}

/// `host`, `ns/host`, `./host`, `*/host`.
fn host(text: &str, own: &str) -> ServerHost {
    let (namespace, host) = match text.split_once('/') {
        None | Some(("*", _)) => (None, text.split_once('/').map_or(text, |(_, h)| h)),
        Some((".", host)) => (Some(own.to_owned()), host),
        Some((namespace, host)) => (Some(namespace.to_owned()), host),
    };
    ServerHost { namespace, host: full(host, own) }
}

fn server_tls(from: &written::ServerTlsSettings) -> ServerTls {
    let mut credentials = from.credential_names.clone();
    if !from.credential_name.is_empty() {
        credentials.insert(0, from.credential_name.clone());
    }
    let mut files: Vec<(String, String)> =
        from.tls_certificates.iter().map(|c| (c.server_certificate.clone(), c.private_key.clone())).collect();
    if !from.server_certificate.is_empty() {
        files.push((from.server_certificate.clone(), from.private_key.clone()));
    }
    ServerTls {
        mode: match from.mode {
            written::ServerTlsMode::Passthrough => ServerTlsMode::Passthrough,
            written::ServerTlsMode::Simple => ServerTlsMode::Simple,
            written::ServerTlsMode::Mutual => ServerTlsMode::Mutual,
            written::ServerTlsMode::AutoPassthrough => ServerTlsMode::AutoPassthrough,
            written::ServerTlsMode::IstioMutual => ServerTlsMode::IstioMutual,
            written::ServerTlsMode::OptionalMutual => ServerTlsMode::OptionalMutual,
        },
        redirect: from.https_redirect,
        credentials,
        ca_credential: from.ca_cert_credential_name.clone(),
        files,
        ca_file: from.ca_certificates.clone(),
        sans: from.subject_alt_names.clone(),
        spki: from.verify_certificate_spki.clone(),
        hashes: from.verify_certificate_hash.clone(),
        skip_verify: from.insecure_skip_verify.unwrap_or(false),
        min: version(from.min_protocol_version),
        max: version(from.max_protocol_version),
        ciphers: from.cipher_suites.clone(),
    }
}

fn version(from: written::TlsProtocol) -> TlsVersion {
    match from {
        written::TlsProtocol::Auto => TlsVersion::Auto,
        written::TlsProtocol::V1_0 => TlsVersion::V10,
        written::TlsProtocol::V1_1 => TlsVersion::V11,
        written::TlsProtocol::V1_2 => TlsVersion::V12,
        written::TlsProtocol::V1_3 => TlsVersion::V13,
    }
}
