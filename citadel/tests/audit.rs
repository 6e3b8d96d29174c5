//! Every decision leaves one line, and no line leaves a secret.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base::clock::{Clock, Manual};
use base::{Live, metrics::Metrics};
use citadel::attest::{TokenAttestor, Trust};
use citadel::ca::{RootPolicy, load_or_create};
use citadel::issue::issue;
use citadel::jwt::Keys;
use citadel::serve::Counts;
use citadel::token::{AUDIENCE, Signer, Wish};
use citadel::{Caller, Citadel};
use rcgen::{CertificateParams, KeyPair};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use wire::TrustDomain;
use wire::csr::IstioCertificateRequest;

/// Keeps the events of the scope `audit` as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn issued_and_denied_are_told_without_secrets() {
    let dir = std::env::temp_dir().join(format!("citadel-audit-{:032x}", rand::random::<u128>()));
    let clock = Manual::at(SystemTime::now());
    let (authority, _) = load_or_create(&dir, &RootPolicy::default(), clock.now()).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    let signer = Signer::generate().unwrap();
    let attestor = TokenAttestor {
        keys: Live::new(Keys::from_jwks(&signer.jwks()).unwrap()),
        audiences: vec![AUDIENCE.into()],
        trust: Live::new(Trust::only(TrustDomain::cluster_local())),
        clock: Arc::new(clock.clone()),
    };
    let metrics = Metrics::new();
    let mut citadel = Citadel::new(Live::new(authority), vec![Box::new(attestor)], Arc::new(clock.clone()));
    citadel.counts = Counts::register(&metrics);
    let caller = |audience| {
        let wish = Wish {
            namespace: "default",
            service_account: "details",
            pod: None,
            audiences: &[audience],
            ttl: Duration::from_secs(60),
        };
        let bearer = Some(signer.mint(&wish, clock.now()).unwrap());
        Caller { bearer, address: "10.0.0.9:4711".into(), ..Caller::default() }
    };
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let request = IstioCertificateRequest { csr, validity_duration: 60, metadata: None };
    let (good, bad) = (caller(AUDIENCE), caller("vault"));

    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            issue(&citadel, &request, &good).await.unwrap();
            issue(&citadel, &request, &bad).await.unwrap_err();
        });
    });
    let lines = lines.0.lock().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for part in
        ["certificate issued", "spiffe://cluster.local/ns/default/sa/details", "10.0.0.9:4711", "serial="]
    {
        assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
    }
    assert!(lines[1].contains("certificate denied") && lines[1].contains("audience"), "{}", lines[1]);
    for caller in [&good, &bad] {
        let signature = caller.bearer.as_deref().unwrap().rsplit_once('.').unwrap().1;
        assert!(lines.iter().all(|line| !line.contains(signature)));
    }
    let text = metrics.render();
    for line in [
        "citadel_server_csr_count 2",
        "citadel_server_success_cert_issuance_count 1",
        "citadel_server_authentication_failure_count 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
