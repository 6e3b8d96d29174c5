//! Rules of Gateway: ports, hosts, TLS.

use std::net::IpAddr;

use super::meta::{is_label, labels};
use super::{At, Check, rules, tls};
use crate::finding::Code;
use crate::host;
use crate::meta::Meta;
use crate::networking::{Gateway, Port, Server, ServerTlsSettings};
use crate::port::Protocol;

/// What a server's port may say.
const PROTOCOLS: [&str; 10] =
    ["HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "MONGO", "TCP", "TLS", "REDIS", "MYSQL"];

impl Check for Gateway {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        labels(&self.selector, &at.key("selector"));
        let servers = at.key("servers");
        rules::some(&self.servers, &servers, "server");
        servers.each(&self.servers, server);
        let names = self.servers.iter().map(|s| s.port.as_ref().map_or("", |port| port.name.as_str()));
        rules::unique(names, &servers, "port name");
    }
}

fn server(at: &At<'_>, server: &Server) {
    let Some(port) = &server.port else {
        return at.key("port").tell(Code::Required, "set port with number, protocol and name");
    };
    let unix = server.bind.starts_with("unix://");
    let known = protocol(port, unix, &at.key("port"));
    bind(&server.bind, &at.key("bind"));
    rules::some(&server.hosts, &at.key("hosts"), "host");
    at.key("hosts").each(&server.hosts, |at, name| scoped_host(name, at));
    if known {
        tls_of(server.tls.as_ref(), Protocol::parse(&port.protocol), at);
    }
}

/// Number, name and protocol; gives whether the protocol is known.
fn protocol(port: &Port, unix: bool, at: &At<'_>) -> bool {
    if !unix {
        rules::port(port.number, &at.key("number"));
    }
    rules::required(&port.name, &at.key("name"), "a name for the port");
    if port.target_port != 0 {
        at.key("targetPort")
            .tell(Code::NoEffect, "targetPort has no effect; the Service of the gateway has the mapping");
    }
    let word = port.protocol.to_ascii_uppercase();
    at.key("protocol").must(PROTOCOLS.contains(&word.as_str()), Code::BadValue, || {
        format!("{:?} is no protocol; use one of {}", port.protocol, PROTOCOLS.join(", "))
    })
}

fn tls_of(tls: Option<&ServerTlsSettings>, protocol: Protocol, at: &At<'_>) {
    match (tls, protocol.is_tls()) {
        (None, true) => {
            at.key("tls").tell(Code::Required, format!("a {protocol} server needs tls; set tls.mode"))
        }
        (None, false) => {}
        (Some(settings), true) => {
            let at = at.key("tls");
            at.key("httpsRedirect").must(!settings.https_redirect, Code::Exclusive, || {
                "httpsRedirect is for HTTP servers; move it to the one on port 80".to_owned()
            });
            tls::server(settings, &at);
        }
        (Some(settings), false) => {
            let only_redirect = ServerTlsSettings { https_redirect: true, ..Default::default() };
            let redirect = *settings == only_redirect && protocol.is_http();
            let plain_tcp = protocol == Protocol::Tcp;
            at.key("tls").must(redirect || plain_tcp || *settings == ServerTlsSettings::default(), Code::Exclusive, || {
                format!("a {protocol} server can only have tls.httpsRedirect; for TLS use protocol HTTPS or TLS")
            });
        }
    }
}

/// An address or a socket path.
pub(super) fn bind(bind: &str, at: &At<'_>) {
    let unix = bind.strip_prefix("unix://").is_some_and(|path| path.starts_with(['/', '@']));
    at.must(bind.is_empty() || unix || bind.parse::<IpAddr>().is_ok(), Code::BadAddress, || {
        format!("{bind:?} is no address and no unix:///path")
    });
}

/// `namespace/host`, `./host`, `*/host` or host.
fn scoped_host(name: &str, at: &At<'_>) {
    let host = match name.split_once('/') {
        Some((namespace, host)) => {
            at.must(matches!(namespace, "." | "*" | "~") || is_label(namespace), Code::BadHost, || {
                format!("{namespace:?} is no namespace; use a name, '.' or '*' before the slash")
            });
            host
        }
        None => name,
    };
    at.must(host::is_wildcard_dns_name(host) || rules::is_ip(host), Code::BadHost, || {
        format!("{host:?} is no host name; a wildcard can only be its first label, as in *.example.com")
    });
}
