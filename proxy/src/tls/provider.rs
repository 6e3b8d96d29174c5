//! The one crypto door: aws-lc-rs, and nothing else.
//!
//! In: nothing. Out: the provider that every rustls configuration of this process is built with. Called by `tls`,
//! `identity` and `xds`; [`install`] once by `main`, for libraries that ask for the process default.

use std::sync::{Arc, LazyLock};

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

/// AES-128 first, as Envoy offers it to upstreams: in bulk it costs less, and SHA-256 is in the processor where SHA-384 is
/// not. Clients that prefer another suite still get theirs.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
});

/// The provider, shared.
pub fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// The suites of TLS 1.2 that this provider has, by OpenSSL's names.
pub const SUITES: [(&str, CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The provider with only these suites of TLS 1.2, which is all that such lists are about; an empty list: all.
pub(super) fn with_suites(names: &[Arc<str>]) -> Arc<CryptoProvider> {
    if names.is_empty() {
        return provider();
    }
    let listed = |suite: CipherSuite| {
        SUITES.iter().any(|(name, known)| *known == suite && names.iter().any(|listed| **listed == **name))
    };
    let mut narrowed = (*provider()).clone();
    narrowed.cipher_suites.retain(|suite| suite.tls13().is_some() || listed(suite.suite()));
    Arc::new(narrowed)
}

/// Makes it the process default; a second call changes nothing.
pub fn install() {
    // An error means that it was installed before, by us: there is no other provider in this program.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}
