//! `x-forwarded-client-cert` over mutual TLS: every mode with every detail, byte for byte as Envoy writes it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use e2e::client::read;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::backend::Record;
use super::stage::{self, Side};

/// A certificate and its key, in the form that files have, and in the form that a client takes.
struct Leaf {
    pem: String,
    key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn leaf(issuer: &CertifiedIssuer<'_, KeyPair>, subject: &str, sans: Vec<SanType>) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !subject.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, "A, B \"C\"");
        params.distinguished_name.push(DnType::CommonName, subject);
    }
    params.subject_alt_names = sans;
    let cert = params.signed_by(&key, issuer).unwrap();
    Leaf {
        pem: cert.pem(),
        key_pem: key.serialize_pem(),
        chain: vec![cert.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn name(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// Text in double quotes, with its line ends escaped.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[test]
fn client_certificates() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let server = leaf(&ca, "", vec![uri("spiffe://td/ns/a/sa/server"), name("server.example.com")]);
    let clients = [
        leaf(
            &ca,
            "client",
            vec![uri("spiffe://td/ns/b/sa/client"), name("a.example.com"), name("b.example.com")],
        ),
        leaf(&ca, "", vec![uri("spiffe://td/ns/b/sa/client")]),
        leaf(&ca, "plain", vec![name("a.example.com")]),
    ];
    let transport = format!(
        "transport_socket: {{name: tls, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
          common_tls_context: {{tls_certificates: [{{certificate_chain: {{inline_string: {}}}, private_key: {{inline_string: {}}}}}],
          validation_context: {{trusted_ca: {{inline_string: {}}}}}}}}}}}",
        quoted(&server.pem), quoted(&server.key_pem), quoted(&ca.pem())
    );
    let mut settings = Vec::new();
    for mode in ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"] {
        for details in ["subject: true, uri: true, dns: true", "cert: true, chain: true, uri: true", ""] {
            settings.push((
                format!("cert_{}", settings.len()),
                format!("forward_client_cert_details: {mode}\n          set_current_client_cert_details: {{{details}}}"),
            ));
        }
    }
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, text)| (&**name, &**text)).collect();
    let sides = stage::both_over(&(Arc::new(|_: &str| None) as _), &settings, &transport);
    let mut wrong = Vec::new();
    for (number, (_, text)) in settings.iter().enumerate() {
        for (who, client) in clients.iter().map(Some).chain([None]).enumerate() {
            for brought in [&[][..], &["By=x;Hash=y"], &["a", "b"]] {
                let [envoy, ours] = [0, 1].map(|which| arrived(&sides[which], number, &ca, client, brought));
                if envoy != ours {
                    wrong.push(format!(
                        "{text} client {who} brings {brought:?}\n   envoy {envoy:?}\n   ours  {ours:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// The header as the origin got it.
fn arrived(
    side: &Side,
    setting: usize,
    ca: &CertifiedIssuer<'_, KeyPair>,
    client: Option<&Leaf>,
    brought: &[&str],
) -> Option<String> {
    let mut stream = secured(side.listen[setting], ca, client);
    let lines: String = brought.iter().map(|value| format!("x-forwarded-client-cert: {value}\r\n")).collect();
    write!(stream, "GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n").unwrap();
    let reply = read(&mut stream, false).unwrap();
    match side.backend.record(reply.header("x-seen").parse().unwrap()) {
        Some(Record::Message(message)) => {
            // RFC 9110 5.3: several lines say the same as one list.
            let values = message.values("x-forwarded-client-cert");
            (!values.is_empty()).then(|| values.join(&b","[..]).escape_ascii().to_string())
        }
        other => panic!("{} {other:?}", side.name),
    }
}

type Secured = rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>;

fn secured(to: SocketAddr, ca: &CertifiedIssuer<'_, KeyPair>, client: Option<&Leaf>) -> Secured {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        Some(leaf) => builder.with_client_auth_cert(leaf.chain.clone(), leaf.key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("server.example.com").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = std::net::TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    rustls::StreamOwned::new(connection, stream)
}
