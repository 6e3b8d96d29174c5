//! TLS towards upstreams.
//!
//! In: a connected stream, the cluster's [`ClientTls`], the secrets in force, and what the request overrides (SNI,
//! ALPN). Out: the encrypted stream with its facts, or why not. Called by `upstream` for each new connection.
//! Mesh connections are never resumed: a ticket would bring back an old chain.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};

use super::cache::{self, Prepared};
use super::own::{FirstThatFits, versions};
use super::trust::{self, Trust, reason};
use super::{ClientTls, KeyMaterial, Roots, Secrets, TlsError, facts, provider};
use crate::observe::TlsFacts;

/// The encrypted stream of an upstream connection.
pub type ClientStream<IO> = tokio_rustls::client::TlsStream<IO>;

/// Configurations by settings, ALPN list, and whether SNI is sent.
pub(super) type Cache = cache::Cache<ClientTls, (Vec<Arc<str>>, bool), ClientConfig>;

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
    let key = (alpn.to_vec(), !sni.is_empty());
    let make = || prepare(secrets, tls, alpn, !sni.is_empty());
    let prepared = secrets.clients().get(tls, key, secrets.version(), make)?;
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

fn prepare(
    secrets: &Secrets,
    tls: &ClientTls,
    alpn: &[Arc<str>],
    sni: bool,
) -> Result<Prepared<ClientConfig>, TlsError> {
    let verifier = ServerVerifier { trust: Trust::of(secrets, tls.validation.as_ref())? };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.versions))
        .map_err(|e| TlsError::Settings(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut principal = None;
    let mut config = match tls.certificates.first() {
        Some(source) => {
            let material = secrets.certificate(source)?;
            principal = material.principal.clone();
            builder.with_client_cert_resolver(Arc::new(FirstThatFits(vec![material])))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = Resumption::disabled();
    config.enable_sni = sni;
    Ok(Prepared { config: Arc::new(config), principal })
}

/// Checks a server. As Envoy, without a validation context it checks nothing but possession of the key.
#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.trust.check(leaf, intermediates, now, webpki::KeyUsage::server_auth())?;
        if self.trust.validation.as_ref().is_some_and(|validation| validation.match_sni) {
            let subject =
                webpki::EndEntityCert::try_from(leaf).map_err(|e| reason(format!("certificate: {e}")))?;
            let not_for = |e| reason(format!("CERTIFICATE_VERIFY_FAILED: not for {}: {e}", name.to_str()));
            subject.verify_is_valid_for_subject_name(name).map_err(not_for)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        trust::signed_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        trust::signed_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        trust::schemes()
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
        Some(material) => builder.with_client_cert_resolver(Arc::new(FirstThatFits(vec![material]))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
