//! Handshakes over memory between our two sides: who is let in, what is agreed on, what a refusal says.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::TextMatch;
use crate::observe::TlsFacts;

/// A certificate authority for one test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, params: CertificateParams) -> Secret {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Secret::key_pair(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn spiffe(&self, id: &str) -> Secret {
        self.issue(named(id))
    }

    fn roots(&self) -> Secret {
        Secret::trust(self.pem.as_bytes()).unwrap()
    }
}

fn named(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(id.to_owned().try_into().unwrap())];
    params
}

fn own() -> SecretSource {
    SecretSource::Identity("default".into())
}

fn roots() -> SecretSource {
    SecretSource::Identity("ROOTCA".into())
}

fn secrets(own_secret: Secret, trusted: Secret) -> Secrets {
    let secrets = Secrets::new();
    secrets.put(own(), own_secret);
    secrets.put(roots(), trusted);
    secrets
}

fn validation(prefixes: &[&str]) -> Option<Validation> {
    let san = |prefix: &&str| SanMatch {
        kind: SanKind::Uri,
        text: TextMatch::Prefix { text: (*prefix).into(), ignore_case: false },
    };
    Some(Validation {
        roots: Some(roots()),
        system: false,
        sans: prefixes.iter().map(san).collect(),
        accept_untrusted: false,
        ..Default::default()
    })
}

fn names(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|name| Arc::from(*name)).collect()
}

fn server(alpn: &[&str], sans: &[&str]) -> Arc<ServerTls> {
    Arc::new(ServerTls {
        certificates: vec![own()],
        validation: validation(sans),
        require_client: true,
        alpn: names(alpn),
        suites: Vec::new(),
        versions: Versions { min: 12, max: 13 },
    })
}

fn client(alpn: &[&str], sans: &[&str]) -> Arc<ClientTls> {
    Arc::new(ClientTls {
        certificates: vec![own()],
        validation: validation(sans),
        sni: "outbound_.9080_._.reviews.default.svc.cluster.local".into(),
        auto_sni: false,
        alpn: names(alpn),
        versions: Versions { min: 12, max: 13 },
    })
}

type Side = (TlsFacts, Option<String>);

/// One handshake and one byte each way; the error of either side in words.
async fn shake(
    ours: (&Secrets, &Arc<ServerTls>),
    theirs: (&Secrets, &Arc<ClientTls>),
) -> Result<(Side, Arc<TlsFacts>), (Option<String>, Option<String>)> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serve = async {
        let (mut stream, facts) = accept(ours.0, ours.1, near).await.map_err(|e| e.to_string())?;
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map_err(|e| e.to_string())?;
        stream.write_all(&byte).await.map_err(|e| e.to_string())?;
        Ok::<_, String>((facts, sni))
    };
    let call = async {
        let connected = connect(theirs.0, theirs.1, Overrides::default(), far).await;
        let (mut stream, facts) = connected.map_err(|e| e.to_string())?;
        stream.write_all(b"x").await.map_err(|e| e.to_string())?;
        // A server that refuses our certificate says so after its own handshake is done.
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map_err(|e| e.to_string())?;
        Ok::<_, String>(facts)
    };
    match tokio::join!(serve, call) {
        (Ok(server), Ok(client)) => Ok((server, client)),
        (server, client) => Err((server.err(), client.err())),
    }
}

const REVIEWS: &str = "spiffe://cluster.local/ns/default/sa/reviews";
const PRODUCT: &str = "spiffe://cluster.local/ns/default/sa/productpage";

#[tokio::test]
async fn mesh_peers_know_each_other() {
    let authority = Authority::new();
    let here = secrets(authority.spiffe(REVIEWS), authority.roots());
    let there = secrets(authority.spiffe(PRODUCT), authority.roots());
    let server = server(&["istio-http/1.1", "mesh-h2"], &["spiffe://cluster.local/"]);
    let client = client(&["mesh-h2", "istio-http/1.1", "istio"], &[REVIEWS]);
    let ((facts, sni), theirs) = shake((&here, &server), (&there, &client)).await.unwrap();
    assert_eq!(facts.peer_principal.as_deref(), Some(PRODUCT));
    assert_eq!(facts.local_principal.as_deref(), Some(REVIEWS));
    assert_eq!((&*facts.version, facts.peer_chain.len()), ("TLSv1.3", 1));
    assert!(facts.cipher.starts_with("TLS_"), "{}", facts.cipher);
    assert_eq!(sni.as_deref(), Some("outbound_.9080_._.reviews.default.svc.cluster.local"));
    assert_eq!(theirs.peer_principal.as_deref(), Some(REVIEWS));
    // The server's order decides.
    assert_eq!(theirs.alpn.as_deref(), Some("istio-http/1.1"));
}

#[tokio::test]
async fn no_common_protocol_is_no_failure() {
    let authority = Authority::new();
    let both = secrets(authority.spiffe(REVIEWS), authority.roots());
    let (server, client) = (server(&["istio-h2"], &[]), client(&["h2"], &[]));
    let (_, theirs) = shake((&both, &server), (&both, &client)).await.unwrap();
    assert_eq!(theirs.alpn, None);
}

#[tokio::test]
async fn strangers_are_refused_with_a_reason() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let here = secrets(authority.spiffe(REVIEWS), authority.roots());
    let server = server(&[], &["spiffe://cluster.local/"]);
    let client = client(&[], &[]);

    // Another mesh's authority.
    let other = secrets(foreign.spiffe(PRODUCT), authority.roots());
    let (ours, _) = shake((&here, &server), (&other, &client)).await.unwrap_err();
    assert!(ours.as_ref().is_some_and(|e| e.contains("none of the trusted roots")), "{ours:?}");

    // Our authority, another trust domain.
    let other = secrets(authority.spiffe("spiffe://elsewhere/ns/default/sa/a"), authority.roots());
    let (ours, _) = shake((&here, &server), (&other, &client)).await.unwrap_err();
    assert!(
        ours.as_ref().is_some_and(|e| e.contains("SAN") && e.contains("spiffe://elsewhere/")),
        "{ours:?}"
    );

    // No certificate at all.
    let bare = Arc::new(ClientTls { certificates: Vec::new(), ..ClientTls::clone(&client) });
    assert!(shake((&here, &server), (&other, &bare)).await.is_err());

    // A leaf that is marked as an authority, as `openssl req -x509` makes it.
    let mut params = named(PRODUCT);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other = secrets(authority.issue(params), authority.roots());
    let (ours, _) = shake((&here, &server), (&other, &client)).await.unwrap_err();
    assert!(ours.as_ref().is_some_and(|e| e.contains("CA:TRUE") && e.contains("CA:FALSE")), "{ours:?}");
}

#[tokio::test]
async fn a_client_checks_whom_it_reached() {
    let authority = Authority::new();
    let both = secrets(authority.spiffe(REVIEWS), authority.roots());
    let client = client(&[], &["spiffe://cluster.local/ns/default/sa/ratings"]);
    let (_, theirs) = shake((&both, &server(&[], &[])), (&both, &client)).await.unwrap_err();
    assert!(theirs.as_ref().is_some_and(|e| e.contains("SAN") && e.contains("sa/reviews")), "{theirs:?}");
}

#[tokio::test]
async fn a_rotation_is_seen_by_the_next_handshake() {
    let (old, new) = (Authority::new(), Authority::new());
    let (server, client) = (server(&[], &[]), client(&[], &[]));
    let both = secrets(old.spiffe(REVIEWS), old.roots());
    let ((before, _), _) = shake((&both, &server), (&both, &client)).await.unwrap();
    both.put(own(), new.spiffe(PRODUCT));
    both.put(roots(), new.roots());
    let ((after, _), _) = shake((&both, &server), (&both, &client)).await.unwrap();
    assert_eq!(before.peer_principal.as_deref(), Some(REVIEWS));
    assert_eq!(after.peer_principal.as_deref(), Some(PRODUCT));
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    let authority = Authority::new();
    let there = secrets(authority.spiffe(PRODUCT), authority.roots());
    let mut settings = ServerTls::clone(&server(&[], &[]));
    settings.certificates = vec![SecretSource::Ads("kubernetes://bookinfo-cert".into())];
    let here = Secrets::new();
    let (ours, _) = shake((&here, &Arc::new(settings)), (&there, &client(&[], &[]))).await.unwrap_err();
    assert_eq!(ours.as_deref(), Some("secret \"kubernetes://bookinfo-cert\" is not here yet"));
}

#[test]
fn keys_and_certificates_belong_together() {
    let authority = Authority::new();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let pem = named(REVIEWS).signed_by(&key, &authority.issuer).unwrap().pem();
    assert!(Secret::key_pair(pem.as_bytes(), key.serialize_pem().as_bytes()).is_ok());
    let error = Secret::key_pair(pem.as_bytes(), other.serialize_pem().as_bytes()).unwrap_err();
    assert!(error.contains("do not belong together"), "{error}");
    assert!(Secret::trust(b"nothing").is_err());
}
