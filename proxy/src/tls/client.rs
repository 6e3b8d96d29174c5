//! TLS towards upstreams.
//!
//! In: a connected stream, the cluster's [`ClientTls`], the secrets in force, and what the request overrides (SNI,
//! ALPN). Out: the encrypted stream with its facts, or why not. Called by `upstream` for each new connection. The
//! rustls configurations are cached per settings and secret versions: a rotation makes new ones at the next dial.
//! Mesh connections are never resumed: a ticket would bring back an old chain.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};

use super::server::{OneKey, reason, versions};
use super::{ClientTls, KeyMaterial, Roots, Secrets, TlsError, Validation, facts, provider, verify};
use crate::observe::TlsFacts;

/// The encrypted stream of an upstream connection.
pub type ClientStream<IO> = tokio_rustls::client::TlsStream<IO>;

/// What one connection asks for beyond the cluster's settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides<'a> {
    /// Instead of the cluster's `sni` (`auto_sni`).
    pub sni: Option<&'a str>,
    /// Instead of the cluster's ALPN list (`istio.alpn`); `None` keeps it.
    pub alpn: Option<&'a [Arc<str>]>,
}

/// Handshakes as client.
pub async fn connect<IO>(
    secrets: &Secrets,
    tls: &Arc<ClientTls>,
    overrides: Overrides<'_>,
    io: IO,
) -> Result<(ClientStream<IO>, Arc<TlsFacts>), TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let alpn = overrides.alpn.unwrap_or(&tls.alpn);
    let sni = overrides.sni.filter(|name| !name.is_empty()).unwrap_or(&tls.sni);
    let prepared = secrets.clients().get(secrets, tls, alpn, !sni.is_empty())?;
    let connector = tokio_rustls::TlsConnector::from(prepared.config.clone());
    let stream = connector.connect(server_name(sni)?, io).await?;
    let facts = facts::of(stream.get_ref().1, prepared.principal.clone());
    Ok((stream, Arc::new(facts)))
}

/// A name is required by the interface even where none is sent; Istio's own names hold `_`, which rustls allows.
fn server_name(sni: &str) -> Result<ServerName<'static>, TlsError> {
    if sni.is_empty() {
        return Ok(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from([0, 0, 0, 0]))));
    }
    let name = ServerName::try_from(sni.to_owned());
    name.map_err(|_| TlsError::Settings(format!("{sni:?} cannot be a server name")))
}

/// A rustls configuration with the key it was made from.
#[derive(Clone)]
struct Prepared {
    config: Arc<ClientConfig>,
    principal: Option<Arc<str>>,
}

struct Slot {
    settings: Weak<ClientTls>,
    version: u64,
    prepared: Prepared,
}

/// (address of the settings, ALPN list, SNI is sent)
type Key = (usize, Vec<Arc<str>>, bool);

/// Configurations by settings; entries of settings that are gone are dropped when it grows.
#[derive(Default)]
pub(super) struct Cache {
    slots: Mutex<HashMap<Key, Slot>>,
}

impl Cache {
    fn get(
        &self,
        secrets: &Secrets,
        tls: &Arc<ClientTls>,
        alpn: &[Arc<str>],
        sni: bool,
    ) -> Result<Prepared, TlsError> {
        let version = secrets.version();
        let key = (Arc::as_ptr(tls) as usize, alpn.to_vec(), sni);
        if let Some(slot) = self.slots.lock().get(&key)
            && slot.version == version
            && slot.settings.strong_count() > 0
        {
            return Ok(slot.prepared.clone());
        }
        let prepared = prepare(secrets, tls, alpn, sni)?;
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| slot.settings.strong_count() > 0);
        let slot = Slot { settings: Arc::downgrade(tls), version, prepared: prepared.clone() };
        slots.insert(key, slot);
        Ok(prepared)
    }
}

fn prepare(secrets: &Secrets, tls: &ClientTls, alpn: &[Arc<str>], sni: bool) -> Result<Prepared, TlsError> {
    let verifier = verifier(secrets, tls.validation.as_ref())?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.versions))
        .map_err(|e| TlsError::Settings(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut principal = None;
    let mut config = match tls.certificates.first() {
        Some(source) => {
            let material = secrets.certificate(source)?;
            principal = material.principal.clone();
            builder.with_client_cert_resolver(Arc::new(OneKey(vec![material])))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = Resumption::disabled();
    config.enable_sni = sni;
    Ok(Prepared { config: Arc::new(config), principal })
}

fn verifier(
    secrets: &Secrets,
    validation: Option<&Validation>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let Some(validation) = validation else { return Ok(Arc::new(ByChain { roots: None, validation: None })) };
    let roots = match &validation.roots {
        Some(source) => Some(secrets.roots(source)?),
        None if validation.system => Some(system_roots()?),
        None => None,
    };
    Ok(Arc::new(ByChain { roots, validation: Some(validation.clone()) }))
}

/// The trust bundle of the machine, where distributions put it.
pub(super) fn system_roots() -> Result<Arc<Roots>, TlsError> {
    const PLACES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    for place in PLACES {
        if let Ok(pem) = std::fs::read(place) {
            let secret =
                super::Secret::trust(&pem).map_err(|e| TlsError::Settings(format!("{place}: {e}")))?;
            return secret.roots.ok_or_else(|| TlsError::Settings(format!("{place}: no roots")));
        }
    }
    Err(TlsError::Settings(format!("no system roots: none of {} exists", PLACES.join(", "))))
}

/// Checks a server: chain to the roots if there are any, then names. As Envoy, without a validation context it
/// checks nothing but possession of the key.
#[derive(Debug)]
struct ByChain {
    roots: Option<Arc<Roots>>,
    validation: Option<Validation>,
}

impl ServerCertVerifier for ByChain {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let (Some(roots), false) =
            (&self.roots, self.validation.as_ref().is_some_and(|validation| validation.accept_untrusted))
        {
            let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).cloned().collect();
            verify::check_chain(&chain, &roots.anchors, now, webpki::KeyUsage::server_auth())
                .map_err(reason)?;
        }
        if let Some(validation) = &self.validation {
            verify::check_pins(leaf, &validation.spki, &validation.hashes).map_err(reason)?;
            if validation.match_sni {
                let subject =
                    webpki::EndEntityCert::try_from(leaf).map_err(|e| reason(format!("certificate: {e}")))?;
                let fits = subject.verify_is_valid_for_subject_name(name);
                fits.map_err(|e| {
                    reason(format!("CERTIFICATE_VERIFY_FAILED: not for {}: {e}", name.to_str()))
                })?;
            }
        }
        if let Some(validation) = self.validation.as_ref().filter(|v| !v.sans.is_empty()) {
            let names = verify::Names::of(leaf).map_err(reason)?;
            verify::check_names(&names, &validation.sans).map_err(reason)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A configuration for the control plane: the server is known by its host name.
pub fn control_plane(roots: &Roots, own: Option<Arc<KeyMaterial>>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = rustls::RootCertStore::empty();
    store.roots.extend(roots.anchors.iter().cloned());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Settings(e.to_string()))?
        .with_root_certificates(store);
    let mut config = match own {
        Some(material) => builder.with_client_cert_resolver(Arc::new(OneKey(vec![material]))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
