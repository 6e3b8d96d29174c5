//! TLS towards clients.
//!
//! In: an accepted stream, the chain's [`ServerTls`], the secrets in force. Out: the encrypted stream with its
//! facts. Called by `listen` once a chain is chosen. The ALPN list is decided per ClientHello: the chain's where it
//! overlaps with the client's, none where nothing overlaps (Envoy completes such handshakes; rustls alone would
//! send an alert). Mesh mutual TLS is never resumed.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;

use super::{
    KeyMaterial, Roots, Secrets, ServerTls, TlsError, Validation, Versions, facts, provider, verify,
};
use crate::observe::TlsFacts;

/// The encrypted stream of a downstream connection.
pub type ServerStream<IO> = tokio_rustls::server::TlsStream<IO>;

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
    let prepared = secrets.servers().get(secrets, tls, overlap)?;
    let stream = start.into_stream(prepared.config.clone()).await?;
    let facts = facts::of(stream.get_ref().1, prepared.principal.clone());
    Ok((stream, facts))
}

#[derive(Clone)]
struct Prepared {
    config: Arc<ServerConfig>,
    principal: Option<Arc<str>>,
}

struct Slot {
    settings: Weak<ServerTls>,
    version: u64,
    prepared: Prepared,
}

/// Configurations by (address of the settings, with ALPN).
#[derive(Default)]
pub(super) struct Cache {
    slots: Mutex<HashMap<(usize, bool), Slot>>,
}

impl Cache {
    fn get(&self, secrets: &Secrets, tls: &Arc<ServerTls>, alpn: bool) -> Result<Prepared, TlsError> {
        let version = secrets.version();
        let key = (Arc::as_ptr(tls) as usize, alpn);
        if let Some(slot) = self.slots.lock().get(&key)
            && slot.version == version
            && slot.settings.strong_count() > 0
        {
            return Ok(slot.prepared.clone());
        }
        let prepared = prepare(secrets, tls, alpn)?;
        let mut slots = self.slots.lock();
        slots.retain(|_, slot| slot.settings.strong_count() > 0);
        slots.insert(key, Slot { settings: Arc::downgrade(tls), version, prepared: prepared.clone() });
        Ok(prepared)
    }
}

fn prepare(secrets: &Secrets, tls: &ServerTls, alpn: bool) -> Result<Prepared, TlsError> {
    let mut keys = Vec::with_capacity(tls.certificates.len());
    for source in &tls.certificates {
        keys.push(secrets.certificate(source)?);
    }
    if keys.is_empty() {
        return Err(TlsError::Settings("the chain names no certificate".into()));
    }
    let principal = keys.first().and_then(|key| key.principal.clone());
    let builder = ServerConfig::builder_with_provider(super::provider::with_suites(&tls.suites))
        .with_protocol_versions(versions(tls.versions))
        .map_err(|e| TlsError::Settings(e.to_string()))?;
    let builder = match (&tls.validation, tls.require_client) {
        (None, false) => builder.with_no_client_auth(),
        (validation, required) => {
            builder.with_client_cert_verifier(client_verifier(secrets, validation, required)?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(OneKey(keys)));
    if alpn {
        config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Prepared { config: Arc::new(config), principal })
}

fn client_verifier(
    secrets: &Secrets,
    validation: &Option<Validation>,
    required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = match validation {
        Some(Validation { roots: Some(source), .. }) => Some(secrets.roots(source)?),
        Some(Validation { system: true, .. }) => Some(super::client::system_roots()?),
        _ => None,
    };
    let hints = roots
        .iter()
        .flat_map(|roots| &roots.anchors)
        .map(|anchor| DistinguishedName::in_sequence(&anchor.subject));
    let hints = hints.collect();
    Ok(Arc::new(ByChain { roots, validation: validation.clone(), required, hints }))
}

/// Highest and lowest version as rustls knows them.
pub(super) fn versions(range: Versions) -> &'static [&'static SupportedProtocolVersion] {
    use rustls::version::{TLS12, TLS13};
    static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
    static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (range.min, range.max) {
        (min, max) if min >= 13 || max == 0 => &NEW,
        (_, 12) => &OLD,
        _ => &BOTH,
    }
}

/// Our reason inside a rustls error.
pub(super) fn reason(text: String) -> rustls::Error {
    let error = OtherError(Arc::new(io::Error::new(io::ErrorKind::PermissionDenied, text)));
    rustls::Error::InvalidCertificate(CertificateError::Other(error))
}

/// Serves the first key that can sign what the peer understands.
#[derive(Debug)]
pub(super) struct OneKey(pub(super) Vec<Arc<KeyMaterial>>);

impl OneKey {
    fn choose(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<KeyMaterial>| key.certified.key.choose_scheme(schemes).is_some();
        self.0.iter().find(fits).map(|key| key.certified.clone())
    }
}

impl ResolvesServerCert for OneKey {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.signature_schemes())
    }
}

impl ResolvesClientCert for OneKey {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(schemes)
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Checks a client: chain to the roots, then names. Without roots any certificate is taken, as Envoy does.
#[derive(Debug)]
struct ByChain {
    roots: Option<Arc<Roots>>,
    validation: Option<Validation>,
    required: bool,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for ByChain {
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
        let untrusted_ok = self.validation.as_ref().is_some_and(|validation| validation.accept_untrusted);
        if let (Some(roots), false) = (&self.roots, untrusted_ok) {
            let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).cloned().collect();
            verify::check_chain(&chain, &roots.anchors, now, webpki::KeyUsage::client_auth())
                .map_err(reason)?;
        }
        if let Some(validation) = &self.validation {
            verify::check_pins(leaf, &validation.spki, &validation.hashes).map_err(reason)?;
        }
        if let Some(validation) = self.validation.as_ref().filter(|v| !v.sans.is_empty()) {
            let names = verify::Names::of(leaf).map_err(reason)?;
            verify::check_names(&names, &validation.sans).map_err(reason)?;
        }
        Ok(ClientCertVerified::assertion())
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
