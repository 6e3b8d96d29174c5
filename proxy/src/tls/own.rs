//! Our own side of a handshake: the key that we show, the versions that we speak.
//!
//! In: key material and version limits, as compiled. Out: what rustls asks for on both sides. Used by `client` and
//! `server` when they make a configuration.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureScheme, SupportedProtocolVersion};

use super::{KeyMaterial, Versions};

/// Shows the first key that can sign what the peer understands.
#[derive(Debug)]
pub(super) struct FirstThatFits(pub(super) Vec<Arc<KeyMaterial>>);

impl FirstThatFits {
    fn choose(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<KeyMaterial>| key.certified.key.choose_scheme(schemes).is_some();
        self.0.iter().find(fits).map(|key| key.certified.clone())
    }
}

impl ResolvesServerCert for FirstThatFits {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.signature_schemes())
    }
}

impl ResolvesClientCert for FirstThatFits {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(schemes)
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
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
