//! What TLS contexts ask for. Certificates are named and looked up at handshake time, so a rotation or a late
//! secret changes no listener and no cluster.

use std::sync::Arc;

use crate::config::TextMatch;

/// TLS towards clients (`DownstreamTlsContext`).
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// Names of secrets with certificate and key, or inline PEM, in order.
    pub certificates: Vec<SecretSource>,
    pub validation: Option<Validation>,
    /// `require_client_certificate`
    pub require_client: bool,
    pub alpn: Vec<Arc<str>>,
    pub versions: Versions,
    /// Suites of TLS 1.2 that are allowed, by OpenSSL's names; empty: all.
    pub suites: Vec<Arc<str>>,
}

/// TLS towards upstreams (`UpstreamTlsContext`).
#[derive(Debug, Clone)]
pub struct ClientTls {
    pub certificates: Vec<SecretSource>,
    pub validation: Option<Validation>,
    pub sni: Arc<str>,
    pub auto_sni: bool,
    pub alpn: Vec<Arc<str>>,
    pub versions: Versions,
}

/// Lowest and highest protocol version: 12 or 13.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub min: u8,
    pub max: u8,
}

/// Where key material is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// Name of an SDS secret from the identity keeper (`default`, `ROOTCA`, `file-cert:...`).
    Identity(Arc<str>),
    /// Name of an SDS secret over ADS (`kubernetes://...`).
    Ads(Arc<str>),
    /// Inline PEM: certificate chain and key (or CA only, with an empty key).
    Inline { chain: Arc<[u8]>, key: Arc<[u8]> },
    /// Paths of PEM files, read again when they change: certificate chain and key (or CA only, with an empty key).
    Files { chain: Arc<str>, key: Arc<str> },
}

/// How the other side's certificate is checked.
#[derive(Debug, Clone, Default)]
pub struct Validation {
    /// `None`: trust nothing given; with `system` the system roots.
    pub roots: Option<SecretSource>,
    pub system: bool,
    /// SAN matchers, any may match; empty: none asked.
    pub sans: Vec<SanMatch>,
    /// `trust_chain_verification: ACCEPT_UNTRUSTED`
    pub accept_untrusted: bool,
    /// SHA-256 of the leaf's public key (`verify_certificate_spki`); any of these and of `hashes` will do.
    pub spki: Vec<[u8; 32]>,
    /// SHA-256 of the leaf (`verify_certificate_hash`).
    pub hashes: Vec<[u8; 32]>,
    /// The certificate must be for the name that was asked for (`auto_san_validation`); upstreams only.
    pub match_sni: bool,
}

/// One SAN condition (`match_typed_subject_alt_names`).
#[derive(Debug, Clone)]
pub struct SanMatch {
    pub kind: SanKind,
    pub text: TextMatch,
}

/// Which kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanKind {
    Dns,
    Uri,
    Ip,
    Email,
    Any,
}
