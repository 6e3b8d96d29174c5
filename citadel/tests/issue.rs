//! Issuing and denying, without a socket.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::Live;
use base::clock::{Clock, Manual};
use citadel::attest::{TokenAttestor, Trust, X509Attestor, uri_of};
use citadel::ca::{Found, RootPolicy, load_or_create};
use citadel::issue::issue;
use citadel::jwt::Keys;
use citadel::token::{AUDIENCE, Signer, Wish};
use citadel::{Caller, Citadel, Denied, Lifetimes};
use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wire::TrustDomain;
use wire::csr::{IstioCertificateRequest, IstioCertificateResponse};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

struct Bench {
    citadel: Citadel,
    signer: Signer,
    clock: Manual,
    dir: Dir,
}

/// A directory that goes away with the test.
struct Dir(std::path::PathBuf);

impl Dir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("citadel-{:032x}", rand::random::<u128>()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Bench {
    fn new() -> Self {
        let clock = Manual::at(SystemTime::now());
        let dir = Dir::new();
        let (authority, found) = load_or_create(&dir.0, &RootPolicy::default(), clock.now()).unwrap();
        assert_eq!(found, Found::Created);
        let authority = Live::new(authority);
        let signer = Signer::generate().unwrap();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let token = TokenAttestor {
            keys: Live::new(Keys::from_jwks(&signer.jwks()).unwrap()),
            audiences: vec![AUDIENCE.into()],
            trust: Live::new(Trust::only(TrustDomain::cluster_local())),
            clock: shared.clone(),
        };
        let certificate = X509Attestor {
            authority: authority.clone(),
            trust: Live::new(Trust::only(TrustDomain::cluster_local())),
            clock: shared.clone(),
        };
        let mut citadel = Citadel::new(authority, vec![Box::new(certificate), Box::new(token)], shared);
        citadel.lifetimes = Lifetimes { default: Duration::from_secs(3600), max: Duration::from_secs(7200) };
        Bench { citadel, signer, clock, dir }
    }

    fn token(&self, audience: &str) -> Caller {
        let wish = Wish {
            namespace: "default",
            service_account: "reviews",
            pod: Some("reviews-v1"),
            audiences: &[audience],
            ttl: Duration::from_secs(600),
        };
        let bearer = Some(self.signer.mint(&wish, self.clock.now()).unwrap());
        Caller { bearer, ..Caller::default() }
    }

    async fn ask(
        &self,
        csr: String,
        seconds: i64,
        caller: &Caller,
    ) -> Result<IstioCertificateResponse, Denied> {
        let request = IstioCertificateRequest { csr, validity_duration: seconds, metadata: None };
        issue(&self.citadel, &request, caller).await
    }
}

fn csr() -> String {
    CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn leaf(response: &IstioCertificateResponse) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(response.cert_chain[0].as_bytes()).unwrap()
}

fn life(response: &IstioCertificateResponse) -> (i64, i64) {
    let der = leaf(response);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp())
}

#[tokio::test]
async fn a_token_gets_the_certificate_of_its_service_account() {
    let bench = Bench::new();
    let response = bench.ask(csr(), 60, &bench.token(AUDIENCE)).await.unwrap();
    assert_eq!(response.cert_chain.len(), 2);
    let der = leaf(&response);
    assert_eq!(uri_of(&der).unwrap().to_string(), "spiffe://cluster.local/ns/default/sa/reviews");
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical && certificate.subject().iter().next().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !certificate.is_ca());
    let now = bench.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert_eq!(life(&response), (now - 120, now + 60));
    assert_eq!(response.cert_chain[1], bench.citadel.authority.load().roots());
}

#[tokio::test]
async fn names_in_the_request_do_not_count() {
    let bench = Bench::new();
    let mut params = CertificateParams::new(["admin.example.com".to_owned()]).unwrap();
    let admin = "spiffe://cluster.local/ns/istio-system/sa/admin";
    params.subject_alt_names.push(SanType::URI(admin.try_into().unwrap()));
    params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let response = bench.ask(csr, 60, &bench.token(AUDIENCE)).await.unwrap();
    let der = leaf(&response);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names[..], [GeneralName::URI("spiffe://cluster.local/ns/default/sa/reviews")]);
    assert!(!certificate.is_ca());
}

#[tokio::test]
async fn lifetimes_are_defaulted_and_capped() {
    let bench = Bench::new();
    let caller = bench.token(AUDIENCE);
    for (asked, got) in [(0, 3600), (1, 1), (1_000_000, 7200)] {
        let (begin, end) = life(&bench.ask(csr(), asked, &caller).await.unwrap());
        assert_eq!(end - begin - 120, got);
    }
    assert!(matches!(bench.ask(csr(), -1, &caller).await, Err(Denied::Malformed(_))));
}

#[tokio::test]
async fn bad_credentials_are_denied_with_the_reason() {
    let bench = Bench::new();
    let denied = async |caller: &Caller| match bench.ask(csr(), 60, caller).await {
        Err(Denied::Unknown(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(denied(&Caller::default()).await.contains("no bearer token"));
    assert!(denied(&bench.token("vault")).await.contains("audience"));
    let expired = bench.token(AUDIENCE);
    bench.clock.advance(Duration::from_secs(600));
    assert!(denied(&expired).await.contains("expired"));

    let good = bench.token(AUDIENCE).bearer.unwrap();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let forged = Caller { bearer: Some(format!("{signed}.{}", "A".repeat(86))), ..Caller::default() };
    assert!(denied(&forged).await.contains("signature"));
    let none = format!("{}.{}.", "eyJhbGciOiJub25lIn0", good.split('.').nth(1).unwrap());
    assert!(denied(&Caller { bearer: Some(none), ..Caller::default() }).await.contains("algorithm none"));
    let stranger = Bench::new();
    assert!(denied(&stranger.token(AUDIENCE)).await.contains("no key"));
}

#[tokio::test]
async fn a_certificate_renews_itself_until_it_expires() {
    let bench = Bench::new();
    let first = bench.ask(csr(), 60, &bench.token(AUDIENCE)).await.unwrap();
    let caller = Caller { certificates: vec![leaf(&first)], ..Caller::default() };
    let second = bench.ask(csr(), 60, &caller).await.unwrap();
    assert_eq!(uri_of(&leaf(&second)).unwrap(), uri_of(&leaf(&first)).unwrap());
    assert_ne!(leaf(&second), leaf(&first));
    bench.clock.advance(Duration::from_secs(61));
    assert!(matches!(bench.ask(csr(), 60, &caller).await, Err(Denied::Unknown(_))));

    let stranger = Bench::new();
    let foreign = stranger.ask(csr(), 600, &stranger.token(AUDIENCE)).await.unwrap();
    let caller = Caller { certificates: vec![leaf(&foreign)], ..Caller::default() };
    assert!(matches!(bench.ask(csr(), 60, &caller).await, Err(Denied::Unknown(_))));
}

#[tokio::test]
async fn a_request_must_be_signed_with_a_strong_key_of_its_own() {
    let bench = Bench::new();
    let caller = bench.token(AUDIENCE);
    for bad in ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
    {
        assert!(matches!(bench.ask(bad.into(), 60, &caller).await, Err(Denied::Malformed(_))), "{bad}");
    }
    // The last bytes are the signature.
    let der = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let mut bytes = der.der().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let broken = pem("CERTIFICATE REQUEST", &bytes);
    assert!(matches!(bench.ask(broken, 60, &caller).await, Err(Denied::Malformed(_))));
}

fn pem(label: &str, bytes: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[tokio::test]
async fn the_root_stays_over_a_restart_and_keeps_its_key_when_renewed() {
    let bench = Bench::new();
    let roots = bench.citadel.authority.load().roots().to_owned();
    let (again, found) = load_or_create(&bench.dir.0, &RootPolicy::default(), bench.clock.now()).unwrap();
    assert_eq!((found, again.roots()), (Found::Loaded, roots.as_str()));
    for (file, mode) in [("ca-key.pem", 0o600), ("root-cert.pem", 0o644)] {
        let found = std::fs::metadata(bench.dir.0.join(file)).unwrap().permissions();
        // Without what the umask takes away.
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&found) & 0o777 & !mode, 0, "{file}");
    }

    // A leaf of the old root is good under the renewed one.
    let leaf_of_old = leaf(&bench.ask(csr(), 60, &bench.token(AUDIENCE)).await.unwrap());
    let renewed = citadel::ca::renew_root(&bench.dir.0, &RootPolicy::default(), bench.clock.now()).unwrap();
    assert_ne!(renewed.roots(), roots);
    bench.citadel.authority.set(renewed);
    let caller = Caller { certificates: vec![leaf_of_old], ..Caller::default() };
    bench.ask(csr(), 60, &caller).await.unwrap();
}

#[tokio::test]
async fn a_plugged_in_intermediate_sends_its_chain() {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, "root");
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let mut middle = root.clone();
    middle.distinguished_name.push(rcgen::DnType::CommonName, "middle");
    let issuer = rcgen::Issuer::from_params(&root, &root_key);
    let middle_pem = middle.signed_by(&key, &issuer).unwrap().pem();

    let dir = Dir::new();
    for (name, text) in [
        ("ca-key.pem", key.serialize_pem()),
        ("ca-cert.pem", middle_pem.clone()),
        ("cert-chain.pem", format!("{middle_pem}{root_pem}")),
        ("root-cert.pem", root_pem.clone()),
    ] {
        std::fs::write(dir.0.join(name), text).unwrap();
    }
    let bench = Bench::new();
    let (authority, found) = load_or_create(&dir.0, &RootPolicy::default(), bench.clock.now()).unwrap();
    assert_eq!(found, Found::Loaded);
    bench.citadel.authority.set(authority);
    let response = bench.ask(csr(), 60, &bench.token(AUDIENCE)).await.unwrap();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    assert_eq!(response.cert_chain.len(), 3);
    assert_eq!(der(&response.cert_chain[1]), der(&middle_pem));
    assert_eq!(der(&response.cert_chain[2]), der(&root_pem));
}

#[test]
fn wrong_files_are_told_apart() {
    let dir = Dir::new();
    let now = SystemTime::now();
    load_or_create(&dir.0, &RootPolicy::default(), now).unwrap();
    let other = Dir::new();
    load_or_create(&other.0, &RootPolicy::default(), now).unwrap();
    std::fs::copy(other.0.join("ca-key.pem"), dir.0.join("ca-key.pem")).unwrap();
    let error = load_or_create(&dir.0, &RootPolicy::default(), now).unwrap_err();
    assert!(error.contains("does not belong"), "{error}");
    std::fs::remove_file(dir.0.join("ca-cert.pem")).unwrap();
    let error = load_or_create(&dir.0, &RootPolicy::default(), now).unwrap_err();
    assert!(error.contains("no ca-cert.pem"), "{error}");
}
