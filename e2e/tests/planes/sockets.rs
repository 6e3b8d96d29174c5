//! TCP and TLS through a gateway: routes by port and by name of the server, passthrough and termination, what is refused
//! and how, and the redirect to HTTPS.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use e2e::client::Ask;
use e2e::until::eventually;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::calls::{compare_logs, replies};
use crate::stage;
use crate::streams::{Call, block_on, talk};

/// Certificate and key in both forms.
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: (String, String),
}

fn pair(name: &str) -> Pair {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec![name.to_string()]).unwrap().self_signed(&key).unwrap();
    Pair {
        chain: vec![cert.der().clone()],
        pem: (cert.pem(), key.serialize_pem()),
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

/// Says its name and then what it hears.
fn echo(name: &'static str, tls: Option<Pair>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls.map(|pair| {
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(pair.chain, pair.key).unwrap())
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            // A client that goes away is no failure of the origin.
            std::thread::spawn(move || match config {
                None => speak(name, stream).ok(),
                Some(config) => {
                    let connection = rustls::ServerConnection::new(config).unwrap();
                    speak(name, rustls::StreamOwned::new(connection, stream)).ok()
                }
            });
        }
    });
    address
}

fn speak(name: &str, mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut heard = [0; 100];
    loop {
        let n = stream.read(&mut heard)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(format!("{name} {}", String::from_utf8_lossy(&heard[..n])).as_bytes())?;
    }
}

/// What a server said to `hello`, or how it ended the connection.
fn hello(mut stream: impl Read + Write) -> String {
    if stream.write_all(b"hello").is_err() {
        return "ended".into();
    }
    let mut heard = [0; 100];
    match stream.read(&mut heard) {
        Ok(0) | Err(_) => "ended".into(),
        Ok(n) => String::from_utf8_lossy(&heard[..n]).into_owned(),
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// A client that takes any certificate and can tell which it got.
fn client(alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    #[derive(Debug)]
    struct Any(Arc<rustls::crypto::CryptoProvider>);
    impl rustls::client::danger::ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let any = Any(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = rustls::ClientConfig::builder();
    let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(any)).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

type Secured = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A finished handshake; `None`: it was refused. An address as name sends no name.
fn secured(to: SocketAddr, name: &str, alpn: &[&[u8]]) -> Option<Secured> {
    let name = ServerName::try_from(name.to_string()).unwrap();
    let mut connection = rustls::ClientConnection::new(client(alpn), name).unwrap();
    let mut stream = connect(to);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).ok()?;
    }
    Some(rustls::StreamOwned::new(connection, stream))
}

/// What the handshake agreed on.
fn agreed(secured: &Option<Secured>) -> String {
    let Some(secured) = secured else { return "refused".into() };
    let alpn = secured.conn.alpn_protocol().map(String::from_utf8_lossy);
    let chain = secured.conn.peer_certificates().map(|chain| chain.len());
    format!("{alpn:?} {:?} {chain:?}", secured.conn.protocol_version())
}

#[test]
fn tcp_and_tls() {
    let (pass, simple) = (pair("pass.example.com"), pair("simple.example.com"));
    let (tcp, tls) = (echo("tcp", None), echo("tls", Some(pass)));
    let objects = OBJECTS.replace("TCP_PORT", &tcp.port().to_string());
    let objects = objects.replace("TLS_PORT", &tls.port().to_string());
    let (mut planes, _origins) = stage::start(&objects);
    let file = |name: &str, text: &str| {
        let path = planes.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let servers = SERVERS.replace("CHAIN", &file("chain.pem", &simple.pem.0));
    let servers = servers.replace("KEY", &file("key.pem", &simple.pem.1));
    let ports = planes.extra(&servers);
    for [tcp, tls, https, http] in ports {
        eventually("the gateway has its ports", || {
            for port in [tcp, tls, https, http] {
                TcpStream::connect(port).map_err(|error| format!("{port}: {error}"))?;
            }
            let heard = hello(connect(tcp));
            if heard == "tcp hello" { Ok(()) } else { Err(heard) }
        });
        eventually("the gateway has its routes", || {
            match Ask::get("/").host("simple.example.com").send(http) {
                Ok(reply) if reply.status == 301 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let mut wrong = Vec::new();
    let before = stage::logs(&planes, 0).map(|lines| lines.len());
    let lines = [0, 1].map(|side| connections(ports[side]));
    for (what, envoy) in &lines[0] {
        let ours = lines[1].iter().find(|(other, _)| other == what).map(|(_, ours)| ours);
        if ours != Some(envoy) {
            wrong.push(format!("{what}: envoy {envoy}, ours {ours:?}"));
        }
    }
    http(ports, &mut wrong);
    let _before = before;
    stage::no_nack(&planes, &mut wrong);
    stage::settled(&mut planes);
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
    let [envoy, ours] = stage::logs(&planes, 8);
    compare_logs(&unique(envoy), &unique(ours), 0, &mut wrong);
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

/// While a gateway gets ready it is asked more often on one side than on the other.
fn unique(mut lines: Vec<String>) -> Vec<String> {
    lines.dedup();
    lines
}

/// Connections that carry no HTTP, and how they went.
fn connections([tcp, tls, https, _]: [SocketAddr; 4]) -> Vec<(&'static str, String)> {
    let over = |to, name, alpn: &[&[u8]]| secured(to, name, alpn).map_or("refused".into(), hello);
    vec![
        ("tcp", hello(connect(tcp))),
        ("passthrough", over(tls, "pass.example.com", &[])),
        ("passthrough, upper case", over(tls, "PASS.example.com", &[])),
        ("passthrough, wildcard", over(tls, "any.wild.example.com", &[])),
        ("passthrough, unknown name", over(tls, "other.example.com", &[])),
        ("passthrough, no name", over(tls, "127.0.0.1", &[])),
        ("passthrough, plain text", hello(connect(tls))),
        ("h2 and http/1.1", agreed(&secured(https, "simple.example.com", &[b"h2", b"http/1.1"]))),
        ("http/1.1 and h2", agreed(&secured(https, "simple.example.com", &[b"http/1.1", b"h2"]))),
        ("http/1.1", agreed(&secured(https, "simple.example.com", &[b"http/1.1"]))),
        ("no ALPN", agreed(&secured(https, "simple.example.com", &[]))),
        ("foreign ALPN", agreed(&secured(https, "simple.example.com", &[b"foo"]))),
        ("unknown name", agreed(&secured(https, "other.example.com", &[]))),
        ("no name", agreed(&secured(https, "127.0.0.1", &[]))),
        ("plain text to HTTPS", hello(connect(https))),
    ]
}

/// Requests over TLS, and the plain ones that are sent there.
fn http(ports: [[SocketAddr; 4]; 2], wrong: &mut Vec<String>) {
    for (path, host) in
        [("/x?y=z", "simple.example.com"), ("/x", "other.example.com"), ("/x", "simple.example.com:8443")]
    {
        let both = ports.map(|[.., http]| Ask::get(path).host(host).send(http));
        match both {
            [Ok(envoy), Ok(ours)] => replies(&format!("redirect {host}{path}"), "GET", &envoy, &ours, wrong),
            both => wrong.push(format!("redirect {host}{path}: {both:?}")),
        }
        let both = ports.map(|[_, _, https, _]| {
            let mut stream = secured(https, "simple.example.com", &[b"http/1.1"]).ok_or("refused")?;
            Ask::get(path).host(host).over(&mut stream).map_err(|error| error.to_string())
        });
        match both {
            [Ok(envoy), Ok(ours)] => replies(&format!("https {host}{path}"), "GET", &envoy, &ours, wrong),
            both => wrong.push(format!("https {host}{path}: {both:?}")),
        }
    }
    for target in
        ["https://simple.example.com/x", "https://other.example.com/x", "http://simple.example.com/x"]
    {
        let both = ports.map(|[_, _, https, _]| {
            block_on(async move {
                let stream =
                    tokio::net::TcpStream::connect(https).await.map_err(|error| error.to_string())?;
                let name = ServerName::try_from("simple.example.com").unwrap();
                let connector = tokio_rustls::TlsConnector::from(client(&[b"h2"]));
                let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
                talk(stream, &Call::get(target), "x").await
            })
        });
        match both {
            [Ok(envoy), Ok(ours)] => replies(&format!("h2 {target}"), "GET", &envoy, &ours, wrong),
            both => wrong.push(format!("h2 {target}: {both:?}")),
        }
    }
}

const SERVERS: &str = r#"
  - {port: {number: PORT_1, name: tcp, protocol: TCP}, hosts: ['*']}
  - {port: {number: PORT_2, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [pass.example.com, '*.wild.example.com']}
  - {port: {number: PORT_3, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, serverCertificate: CHAIN, privateKey: KEY}, hosts: [simple.example.com]}
  - {port: {number: PORT_4, name: http-redirect, protocol: HTTP}, tls: {httpsRedirect: true}, hosts: [simple.example.com]}
"#;

const OBJECTS: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: tcp, namespace: default}
spec:
  hosts: [tcp.example.com]
  ports: [{number: 7000, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {tcp: TCP_PORT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: tls, namespace: default}
spec:
  hosts: [tls.example.com]
  ports: [{number: 7443, name: tls, protocol: TLS}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {tls: TLS_PORT}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp, namespace: default}
spec:
  hosts: ['*']
  gateways: EXTRA
  tcp: [{route: [{destination: {host: tcp.example.com}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tls, namespace: default}
spec:
  hosts: [pass.example.com, '*.wild.example.com']
  gateways: EXTRA
  tls: [{match: [{sniHosts: [pass.example.com, '*.wild.example.com']}], route: [{destination: {host: tls.example.com}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: simple, namespace: default}
spec:
  hosts: [simple.example.com]
  gateways: EXTRA
  http: [{route: [{destination: {host: a.example.com}}]}]
"#;
