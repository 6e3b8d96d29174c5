//! The whole thing over a real socket: TLS, gRPC, token, certificate, renewal by certificate, drain.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use citadel::attest::uri_of;
use citadel::settings::Settings;
use citadel::token::{AUDIENCE, JWKS_FILE, Signer, Wish};
use clap::Parser;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use wire::csr::{CaClient, IstioCertificateRequest};
use wire::transport::Channel;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

async fn channel(
    address: std::net::SocketAddr,
    roots: &str,
    own: Option<(Vec<CertificateDer<'static>>, &KeyPair)>,
) -> Channel {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.unwrap()).unwrap();
    }
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(store);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("istiod.istio-system.svc").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let origin = http::Uri::from_static("https://istiod.istio-system.svc:15012");
    Channel::connect(stream, &origin).await.unwrap()
}

fn request(key: &KeyPair) -> IstioCertificateRequest {
    let csr = CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
    IstioCertificateRequest { csr, validity_duration: 30, metadata: None }
}

#[tokio::test]
async fn a_workload_gets_and_renews_its_certificate_over_tls() {
    let dir = std::env::temp_dir().join(format!("citadel-serve-{:032x}", rand::random::<u128>()));
    std::fs::create_dir_all(&dir).unwrap();
    let signer = Signer::load_or_create(&dir).unwrap();
    let jwks = dir.join(JWKS_FILE);
    let args = ["citadel", "--ca-dir", dir.to_str().unwrap(), "--jwks", jwks.to_str().unwrap()];
    let settings = Settings::parse_from(args);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let monitoring = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, watch) = base::drain::pair();
    let server =
        tokio::spawn(async move { citadel::app::run(&settings, listener, Some(monitoring), watch).await });

    // The CA's directory is made by the server; its root is all that a workload knows beforehand.
    let root = dir.join("root-cert.pem");
    while !root.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let roots = std::fs::read_to_string(&root).unwrap();

    let first = channel(address, &roots, None).await;
    let mut client = CaClient::with_origin(first.clone(), first.origin());
    let key = KeyPair::generate().unwrap();
    let refused = client.create_certificate(request(&key), None, "").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let wish = Wish {
        namespace: "default",
        service_account: "ratings",
        pod: None,
        audiences: &[AUDIENCE],
        ttl: Duration::from_secs(60),
    };
    let token = signer.mint(&wish, SystemTime::now()).unwrap();
    let chain =
        client.create_certificate(request(&key), Some(&token), "Kubernetes").await.unwrap().cert_chain;
    let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
    assert_eq!(uri_of(&leaf).unwrap().to_string(), "spiffe://cluster.local/ns/default/sa/ratings");
    assert_eq!(chain[1], roots);

    // With that certificate, and no token, on a new connection.
    let second = channel(address, &roots, Some((vec![leaf.clone()], &key))).await;
    let mut client = CaClient::with_origin(second.clone(), second.origin());
    let other = KeyPair::generate().unwrap();
    let chain = client.create_certificate(request(&other), None, "").await.unwrap().cert_chain;
    let renewed = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
    assert_eq!(uri_of(&renewed).unwrap(), uri_of(&leaf).unwrap());

    drop((client, first, second));
    assert_eq!(trigger.drain(Duration::from_secs(30)).await, base::drain::Outcome::Complete);
    server.await.unwrap().unwrap();
    let tasks =
        ["citadel-tls", "citadel-files", "citadel-monitoring", "citadel-connection", "admin-connection"];
    base::task::settled(&tasks, Duration::from_secs(10)).await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}
