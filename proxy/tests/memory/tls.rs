//! Two proxies with mutual TLS between them: the hop is HTTP/2 by our own ALPN, TCP carries metadata frames.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy::config::*;
use proxy::filter::{AlpnOverride, Filter};
use proxy::io::{Raw, Stream, Wire};
use proxy::tls::{ClientTls, Secret, SecretSource, Secrets, ServerTls, Validation, Versions};
use proxy::worker::{Moment, Node};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

fn own() -> SecretSource {
    SecretSource::Identity("default".into())
}

fn roots() -> SecretSource {
    SecretSource::Identity("ROOTCA".into())
}

/// A mesh's secrets: one identity, signed by one root.
fn secrets(issuer: &Issuer<'_, KeyPair>, root: &str, name: &str) -> Secrets {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    let id = format!("spiffe://cluster.local/ns/default/sa/{name}");
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
    let leaf = params.signed_by(&key, issuer).unwrap();
    let secrets = Secrets::new();
    let pair = Secret::key_pair(leaf.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    secrets.put(own(), pair);
    secrets.put(roots(), Secret::trust(root.as_bytes()).unwrap());
    secrets
}

fn both() -> (Secrets, Secrets) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    (secrets(&issuer, &root, "client"), secrets(&issuer, &root, "server"))
}

fn validation() -> Option<Validation> {
    Some(Validation {
        roots: Some(roots()),
        system: false,
        sans: Vec::new(),
        accept_untrusted: false,
        ..Default::default()
    })
}

fn words(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|word| Arc::from(*word)).collect()
}

fn client_tls(alpn: &[&str]) -> Option<Arc<ClientTls>> {
    Some(Arc::new(ClientTls {
        certificates: vec![own()],
        validation: validation(),
        sni: "outbound_.80_._.svc".into(),
        auto_sni: false,
        alpn: words(alpn),
        versions: Versions { min: 13, max: 13 },
    }))
}

fn server_tls(alpn: &[&str]) -> Arc<ServerTls> {
    Arc::new(ServerTls {
        certificates: vec![own()],
        validation: validation(),
        require_client: true,
        alpn: words(alpn),
        suites: Vec::new(),
        versions: Versions { min: 13, max: 13 },
    })
}

fn outbound() -> HttpChain {
    let mut http = chain();
    http.filters.push(Filter::Alpn(Arc::new(AlpnOverride {
        http10: words(&["istio-http/1.0", "istio", "http/1.0"]),
        http11: words(&["mesh-h2", "istio-http/1.1", "istio", "http/1.1"]),
        http2: words(&["mesh-h2", "istio-h2", "istio", "h2"]),
    })));
    http
}

/// A client's proxy that dials the server's proxy, which forwards to an origin at `addr(2)` in its own net.
fn pair(server_alpn: &'static [&'static str]) -> (Mesh, Rc<Mesh>) {
    let (client_secrets, server_secrets) = both();
    let settings = ClusterSettings { tls: client_tls(&["istio"]), ..Default::default() };
    let client =
        mesh_with(Setup { settings, http: outbound(), ..Setup::default() }, client_secrets, Node::default());
    let inbound = Setup { endpoints: vec![addr(2)], ..Setup::default() };
    let server = Rc::new(mesh_with(inbound, server_secrets.clone(), Node::default()));
    let (mesh, tls) = (server.clone(), server_tls(server_alpn));
    client.net.listen(addr(1), move |io| {
        let (mesh, tls, secrets) = (mesh.clone(), tls.clone(), server_secrets.clone());
        async move {
            let Ok((stream, facts)) = proxy::tls::accept(&secrets, &tls, Wire::new(Raw::Memory(io))).await
            else {
                return;
            };
            mesh.serve_stream(Stream::Server(Box::new(stream)), Some(facts)).await;
        }
    });
    (client, server)
}

#[test]
fn our_own_hop_is_http2() {
    run(async {
        let (client, server) = pair(&["mesh-h2", "istio-h2", "istio-http/1.1"]);
        server.net.listen(
            addr(2),
            origin(|request| async move { say(200, &format!("{}{}", request.path, request.body)) }),
        );
        let mut tasks = Vec::new();
        for n in 0..8 {
            let mut user = client.connect();
            tasks.push(tokio::task::spawn_local(async move {
                let got = user.send(http::Method::POST, &format!("/{n}"), &[], "body").await;
                assert_eq!((got.status, got.body), (200, format!("/{n}body")));
                assert_eq!(got.headers["content-length"], "6");
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(client.net.dials(), 1, "one connection carries all");
        let told = server.last();
        assert_eq!(told.protocol, http::Version::HTTP_11, "the client's, not the hop's");
        assert_eq!(told.peer.as_deref(), Some("spiffe://cluster.local/ns/default/sa/client"));
    });
}

#[test]
fn other_proxies_get_http1() {
    run(async {
        let (client, server) = pair(&["istio-h2", "istio-http/1.1"]);
        server.net.listen(addr(2), origin(|_| async { say(200, "ok") }));
        let mut user = client.connect();
        assert_eq!(user.get("/").await.body, "ok");
        assert_eq!(user.get("/").await.body, "ok");
        assert_eq!(client.net.dials(), 1);
        assert_eq!(server.last().protocol, http::Version::HTTP_11);
    });
}

#[test]
fn upgrades_take_http1_beside_it() {
    run(async {
        let (client, server) = pair(&["mesh-h2", "istio-http/1.1"]);
        server.net.listen(addr(2), |mut io| async move {
            assert_ne!(io.read(&mut [0; 4096]).await.unwrap(), 0);
            io.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )
            .await
            .unwrap();
            let mut buf = [0; 16];
            let n = io.read(&mut buf).await.unwrap();
            io.write_all(&buf[..n]).await.unwrap();
        });
        let mut io = client.connect_raw();
        io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
            .await
            .unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            io.read_buf(&mut text).await.unwrap();
        }
        assert!(text.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&text));
        io.write_all(b"ping").await.unwrap();
        let mut echo = [0; 4];
        io.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"ping");
    });
}

#[test]
fn a_stranger_is_refused_with_a_reason() {
    run(async {
        let (client, _server) = pair(&["mesh-h2"]);
        let (strange, _) = both();
        // Another root: neither side knows the other.
        for source in [own(), roots()] {
            let secret = strange.get(&source).unwrap();
            let copy = Secret {
                certificate: secret.certificate.clone(),
                roots: secret.roots.clone(),
                ..Secret::default()
            };
            client.worker.secrets.put(source, copy);
        }
        let got = client.connect().get("/").await;
        assert_eq!(got.status, 503);
        let details = client.last().details;
        assert!(details.contains("{remote_connection_failure|TLS_error"), "{details}");
    });
}

#[test]
fn metadata_frames_go_before_the_bytes() {
    run(async {
        let (client_secrets, server_secrets) = both();
        let settings = ClusterSettings {
            tls: client_tls(&["istio-peer-exchange", "istio"]),
            tcp_peer_exchange: true,
            ..Default::default()
        };
        let frame = |name: &str| {
            let peer = wire::peer::Peer { id: name.into(), workload: name.into(), ..Default::default() };
            Node { peer_frame: peer.to_frame().into(), ..Node::default() }
        };
        let client = mesh_with(Setup { settings, ..Setup::default() }, client_secrets, frame("from"));
        let inbound = Setup { endpoints: vec![addr(2)], ..Setup::default() };
        let server = Rc::new(mesh_with(inbound, server_secrets.clone(), frame("to")));
        server.net.listen(addr(2), |mut io| async move {
            let mut all = String::new();
            io.read_to_string(&mut all).await.unwrap();
            io.write_all(all.to_uppercase().as_bytes()).await.unwrap();
        });
        let (mesh, tls) = (server.clone(), server_tls(&["istio-peer-exchange", "istio"]));
        client.net.listen(addr(1), move |io| {
            let (mesh, tls, secrets) = (mesh.clone(), tls.clone(), server_secrets.clone());
            async move {
                let accepted = proxy::tls::accept(&secrets, &tls, Wire::new(Raw::Memory(io))).await;
                let (stream, facts) = accepted.unwrap();
                mesh.serve_tcp(Stream::Server(Box::new(stream)), Some(facts), true).await;
            }
        });
        let (mut io, far) = tokio::io::duplex(PIPE);
        let stream = Stream::Plain(Wire::new(Raw::Memory(far)));
        tokio::task::spawn_local(async move {
            client.serve_tcp(stream, None, false).await;
            client
        });
        io.write_all(b"hello").await.unwrap();
        io.shutdown().await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "HELLO");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = server.told.connections.borrow();
        assert_eq!((told.last().unwrap().0, told.last().unwrap().1), (Moment::Closed, 5));
        assert_eq!(*server.told.frames.borrow(), ["from"]);
    });
}
