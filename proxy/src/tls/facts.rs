//! What a finished handshake says: version, cipher, ALPN, and the names in the peer's certificate.
//!
//! In: the state of a rustls connection and our own key material. Out: [`TlsFacts`] for logs, metrics, headers
//! and policy. Called once per connection.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::verify::Names;
use crate::observe::TlsFacts;

/// Facts of one connection; `local` is our own principal.
pub(super) fn of(state: &CommonState, local: Option<Arc<str>>) -> TlsFacts {
    let mut facts = TlsFacts {
        version: match state.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".into(),
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".into(),
            _ => "".into(),
        },
        cipher: state.negotiated_cipher_suite().map_or_else(|| "".into(), cipher),
        alpn: state.alpn_protocol().map(|name| String::from_utf8_lossy(name).into()),
        local_principal: local,
        ..TlsFacts::default()
    };
    if let Some(chain) = state.peer_certificates() {
        peer(&mut facts, chain);
    }
    facts
}

fn peer(facts: &mut TlsFacts, chain: &[CertificateDer<'static>]) {
    let Some(leaf) = chain.first() else { return };
    if let Ok(names) = Names::of(leaf) {
        facts.peer_principal = names.principal();
        facts.peer_dns = names.dns.iter().map(|name| Arc::from(name.as_str())).collect();
    }
    if let Ok((_, parsed)) = X509Certificate::from_der(leaf) {
        facts.peer_subject = Some(subject(&parsed).into());
    }
    facts.peer_hash = Some(sha256_hex(leaf).into());
    facts.peer_chain = chain.iter().map(|der| bytes::Bytes::copy_from_slice(der)).collect();
}

/// Hex of SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    digest.as_ref().iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()
}

/// The subject in RFC 2253 order: last attribute first, comma separated.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let mut parts = Vec::new();
    for rdn in certificate.subject().iter_rdn() {
        for attribute in rdn.iter() {
            let oid = attribute.attr_type().to_id_string();
            let key = match oid.as_str() {
                "2.5.4.3" => "CN",
                "2.5.4.6" => "C",
                "2.5.4.7" => "L",
                "2.5.4.8" => "ST",
                "2.5.4.10" => "O",
                "2.5.4.11" => "OU",
                other => other,
            };
            parts.push(format!("{key}={}", attribute.as_str().unwrap_or_default().replace(',', "\\,")));
        }
    }
    parts.reverse();
    parts.join(",")
}

fn cipher(suite: rustls::SupportedCipherSuite) -> Arc<str> {
    // rustls writes TLS13_AES_256_GCM_SHA384 where the standard and Envoy write TLS_AES_256_GCM_SHA384.
    let name = suite.suite().as_str().unwrap_or_default();
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}").into(),
        None => name.into(),
    }
}

/// Serial number in hex, as `/certs` prints it.
pub fn serial(certificate: &CertificateDer<'_>) -> String {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(_) => String::new(),
    }
}
