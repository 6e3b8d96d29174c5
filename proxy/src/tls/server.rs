//! TLS towards clients.
//!
//! In: an accepted stream, the chain's [`ServerTls`], the secrets in force. Out: the encrypted stream with its
//! facts. Called by `listen` once a chain is chosen. The ALPN list is decided per ClientHello: the chain's where it
//! overlaps with the client's, none where nothing overlaps (Envoy completes such handshakes; rustls alone would
//! send an alert). Mesh mutual TLS is never resumed.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;

use super::cache::{self, Prepared};
use super::own::{FirstThatFits, versions};
use super::trust::{self, Trust};
use super::{Secrets, ServerTls, TlsError, facts, provider};
use crate::observe::TlsFacts;

/// The encrypted stream of a downstream connection.
pub type ServerStream<IO> = tokio_rustls::server::TlsStream<IO>;

/// Configurations by settings, with ALPN and without.
pub(super) type Cache = cache::Cache<ServerTls, bool, ServerConfig>;

/// Handshakes as server.
pub async fn accept<IO>(
    secrets: &Secrets,
    tls: &Arc<ServerTls>,
    io: IO,
) -> Result<(ServerStream<IO>, TlsFacts), TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
    let overlap = {
        let hello = start.client_hello();
        hello.alpn().is_some_and(|mut offered| {
            offered.any(|name| tls.alpn.iter().any(|ours| ours.as_bytes() == name))
        })
    };
    let make = || prepare(secrets, tls, overlap);
    let prepared = secrets.servers().get(tls, overlap, secrets.version(), make)?;
    let stream = start.into_stream(prepared.config.clone()).await?;
    let facts = facts::of(stream.get_ref().1, prepared.principal.clone());
    Ok((stream, facts))
}

fn prepare(secrets: &Secrets, tls: &ServerTls, alpn: bool) -> Result<Prepared<ServerConfig>, TlsError> {
    let mut keys = Vec::with_capacity(tls.certificates.len());
    for source in &tls.certificates {
        keys.push(secrets.certificate(source)?);
    }
    if keys.is_empty() {
        return Err(TlsError::Settings("the chain names no certificate".into()));
    }
    let principal = keys.first().and_then(|key| key.principal.clone());
    let builder = ServerConfig::builder_with_provider(provider::with_suites(&tls.suites))
        .with_protocol_versions(versions(tls.versions))
        .map_err(|e| TlsError::Settings(e.to_string()))?;
    let builder = if tls.validation.is_some() || tls.require_client {
        builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(secrets, tls)?))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(FirstThatFits(keys)));
    if alpn {
        config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Prepared { config: Arc::new(config), principal })
}

/// Checks a client, which may have to show a certificate.
#[derive(Debug)]
struct ClientVerifier {
    trust: Trust,
    required: bool,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    fn new(secrets: &Secrets, tls: &ServerTls) -> Result<Self, TlsError> {
        let trust = Trust::of(secrets, tls.validation.as_ref())?;
        let anchors = trust.roots.iter().flat_map(|roots| &roots.anchors);
        let hints = anchors.map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect();
        Ok(ClientVerifier { trust, required: tls.require_client, hints })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.trust.check(leaf, intermediates, now, webpki::KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
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
