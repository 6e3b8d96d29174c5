//! TLS for the servers of the control plane.
//!
//! In: the authority and the names under which the server is called. Out: a rustls configuration with a certificate of
//! our own, client certificates welcome but not required, ALPN `h2`. [`keep`] renews it at half life and when the roots
//! change; accept loops read the current one per connection. Used by citadel's binary and by pilot's 15012.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::Live;
use base::drain::Watch;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use wire::SpiffeId;
use wire::csr::renew_at;

use crate::ca::{Authority, Subject};
use crate::serve::Citadel;

/// Who the server is.
#[derive(Clone, Debug)]
pub struct Names {
    /// DNS names, for example `istiod.istio-system.svc`.
    pub dns: Vec<String>,
    /// Its workload identity, so that peers may check that, too.
    pub identity: Option<SpiffeId>,
}

/// A configuration and when to replace it.
pub struct Made {
    /// For `tokio_rustls::TlsAcceptor`.
    pub config: Arc<ServerConfig>,
    /// Half of the certificate's life.
    pub renew_at: SystemTime,
}

/// Makes a certificate and a configuration around it.
pub fn server_config(
    authority: &Authority,
    names: &Names,
    ttl: Duration,
    now: SystemTime,
) -> Result<Made, String> {
    let key = KeyPair::generate().map_err(|e| e.to_string())?;
    let subject = Subject { identity: names.identity.as_ref(), dns: &names.dns };
    let signed = authority.sign(&subject, &key, ttl, now).map_err(|e| e.to_string())?;
    // Without the roots, which a peer has or does not trust.
    let sent = signed.chain.len().saturating_sub(1);
    let own = signed.chain.iter().take(sent).map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()));
    let chain = own.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.extend(authority.anchors().iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(|e| e.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would bring back a client's old certificate.
    config.send_tls13_tickets = 0;
    let random = rand::random();
    let renew_at = renew_at(signed.not_before, signed.issued.not_after, (0.5, 0.01), random);
    Ok(Made { config: Arc::new(config), renew_at })
}

/// Keeps `live` fresh until the drain begins. A failure is logged and tried again; the last good one stays.
pub async fn keep(
    citadel: Arc<Citadel>,
    names: Names,
    mut renew_at: SystemTime,
    live: Live<Arc<ServerConfig>>,
    mut drain: Watch,
) {
    let mut authority = citadel.authority.reader();
    let mut now_trusted = authority.load();
    loop {
        let wait = renew_at.duration_since(citadel.clock.now()).unwrap_or_default();
        tokio::select! {
            () = citadel.clock.sleep(wait) => {}
            changed = authority.changed() => now_trusted = changed,
            () = drain.graceful() => return,
        }
        match server_config(&now_trusted, &names, citadel.lifetimes.default, citadel.clock.now()) {
            Ok(made) => {
                renew_at = made.renew_at;
                live.set(made.config);
                tracing::info!(names = ?names.dns, "own certificate renewed");
            }
            Err(reason) => {
                tracing::error!(reason, "own certificate could not be renewed");
                renew_at = citadel.clock.now() + Duration::from_secs(10);
            }
        }
    }
}
