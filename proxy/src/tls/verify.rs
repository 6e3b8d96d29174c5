//! Who the other side is: chain to the roots, then names.
//!
//! In: the presented certificates, trust anchors, SAN conditions, the time. Out: nothing, or a reason in words. Pure.
//! Called by the verifiers of both sides. The chain is checked without a host name, since a SPIFFE certificate has
//! only a URI; then the conditions decide: any of them may match any name of its kind. A trust domain is limited by
//! conditions too (`spiffe://DOMAIN/` as prefix), as Istio writes it.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{SanKind, SanMatch, provider};
use crate::config::TextMatch;

/// The subject alternative names of a certificate.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    pub uris: Vec<String>,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub emails: Vec<String>,
}

impl Names {
    /// Reads them from DER.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| format!("certificate: {e}"))?;
        let mut names = Names::default();
        let extension =
            parsed.subject_alternative_name().map_err(|e| format!("subject alternative names: {e}"))?;
        for name in extension.iter().flat_map(|e| &e.value.general_names) {
            match name {
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => names.dns.push(dns.to_ascii_lowercase()),
                GeneralName::RFC822Name(email) => names.emails.push((*email).to_owned()),
                GeneralName::IPAddress(bytes) => names.ips.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(names)
    }

    /// The SPIFFE id, else the first URI.
    pub fn principal(&self) -> Option<Arc<str>> {
        let spiffe = self.uris.iter().find(|uri| uri.starts_with("spiffe://"));
        spiffe.or_else(|| self.uris.first()).map(|uri| Arc::from(uri.as_str()))
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Chain to one of the anchors, valid now, for this usage.
pub fn check_chain(
    chain: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<(), String> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err("no certificate was presented".into());
    };
    let leaf = EndEntityCert::try_from(leaf).map_err(|e| format!("certificate: {e}"))?;
    let algorithms = provider().signature_verification_algorithms.all;
    match leaf.verify_for_usage(algorithms, anchors, intermediates, now, usage, None, None) {
        Ok(_) => Ok(()),
        Err(webpki::Error::CaUsedAsEndEntity) => {
            Err("the certificate is marked as a CA (basicConstraints CA:TRUE), so it may not \
             identify a peer; make one with CA:FALSE (openssl req: -addext basicConstraints=CA:FALSE)"
                .into())
        }
        // The second: a root of the same name with another key, as two meshes have.
        Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey) => {
            Err("CERTIFICATE_VERIFY_FAILED: signed by none of the trusted roots".into())
        }
        Err(webpki::Error::CertExpired { .. }) => {
            Err("CERTIFICATE_VERIFY_FAILED: certificate has expired".into())
        }
        Err(webpki::Error::CertNotValidYet { .. }) => {
            Err("CERTIFICATE_VERIFY_FAILED: certificate is not yet valid".into())
        }
        Err(error) => Err(format!("CERTIFICATE_VERIFY_FAILED: {error}")),
    }
}

/// The leaf is one of those that are pinned, if any are.
pub(super) fn check_pins(
    leaf: &CertificateDer<'_>,
    spki: &[[u8; 32]],
    hashes: &[[u8; 32]],
) -> Result<(), String> {
    if spki.is_empty() && hashes.is_empty() {
        return Ok(());
    }
    let digest = |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let holds = |list: &[[u8; 32]], bytes: &[u8]| {
        let found = digest(bytes);
        list.iter().any(|one| one.as_slice() == found.as_ref())
    };
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|e| format!("certificate: {e}"))?;
    match holds(hashes, leaf) || holds(spki, parsed.public_key().raw) {
        true => Ok(()),
        false => Err("CERTIFICATE_VERIFY_FAILED: the certificate is none of those that are pinned".into()),
    }
}

/// Any condition matches any name of its kind; no conditions: all names are good.
pub fn check_names(names: &Names, conditions: &[SanMatch]) -> Result<(), String> {
    if conditions.is_empty() || conditions.iter().any(|condition| fits(names, condition)) {
        return Ok(());
    }
    let all = names.uris.iter().chain(&names.dns).chain(&names.emails).cloned();
    let all: Vec<String> = all.chain(names.ips.iter().map(IpAddr::to_string)).collect();
    let shown = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    Err(format!("CERTIFICATE_VERIFY_FAILED: verify SAN list: none of the expected names; presented: {shown}"))
}

fn fits(names: &Names, condition: &SanMatch) -> bool {
    let uri = || names.uris.iter().any(|name| text_matches(&condition.text, name));
    let dns = || names.dns.iter().any(|name| dns_matches(&condition.text, name));
    let ip = || names.ips.iter().any(|ip| text_matches(&condition.text, &ip.to_string()));
    let email = || names.emails.iter().any(|name| text_matches(&condition.text, name));
    match condition.kind {
        SanKind::Uri => uri(),
        SanKind::Dns => dns(),
        SanKind::Ip => ip(),
        SanKind::Email => email(),
        SanKind::Any => uri() || dns() || ip() || email(),
    }
}

/// An exact DNS condition honours a wildcard in the certificate's leftmost label.
fn dns_matches(condition: &TextMatch, presented: &str) -> bool {
    if text_matches(condition, presented) {
        return true;
    }
    let TextMatch::Exact { text, .. } = condition else { return false };
    let wanted = text.to_ascii_lowercase();
    if wanted == presented {
        return true;
    }
    match (presented.strip_prefix("*."), wanted.split_once('.')) {
        (Some(domain), Some((label, rest))) => !label.is_empty() && rest == domain,
        _ => false,
    }
}

fn text_matches(condition: &TextMatch, text: &str) -> bool {
    let same = |a: &str, b: &str, ignore: bool| if ignore { a.eq_ignore_ascii_case(b) } else { a == b };
    let lower = |s: &str, ignore: bool| if ignore { s.to_ascii_lowercase() } else { s.to_owned() };
    match condition {
        TextMatch::Exact { text: t, ignore_case } => same(t, text, *ignore_case),
        TextMatch::Prefix { text: t, ignore_case: i } => lower(text, *i).starts_with(&lower(t, *i)),
        TextMatch::Suffix { text: t, ignore_case: i } => lower(text, *i).ends_with(&lower(t, *i)),
        TextMatch::Contains { text: t, ignore_case: i } => lower(text, *i).contains(&lower(t, *i)),
        TextMatch::Regex(regex) => {
            regex.find(text.as_bytes()).is_some_and(|found| found.start() == 0 && found.end() == text.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(kind: SanKind, text: &str) -> SanMatch {
        SanMatch { kind, text: TextMatch::Exact { text: text.into(), ignore_case: false } }
    }

    #[test]
    fn names_by_condition() {
        let names = Names {
            uris: vec!["spiffe://cluster.local/ns/default/sa/reviews".into()],
            dns: vec!["*.example.com".into()],
            ..Names::default()
        };
        let prefix = |text: &str| SanMatch {
            kind: SanKind::Uri,
            text: TextMatch::Prefix { text: text.into(), ignore_case: false },
        };
        assert!(check_names(&names, &[]).is_ok());
        assert!(check_names(&names, &[prefix("spiffe://cluster.local/")]).is_ok());
        let error = check_names(&names, &[prefix("spiffe://other/")]).unwrap_err();
        assert!(error.contains("sa/reviews") && error.contains("example.com"), "{error}");
        assert!(check_names(&names, &[exact(SanKind::Dns, "www.example.com")]).is_ok());
        assert!(check_names(&names, &[exact(SanKind::Dns, "a.b.example.com")]).is_err());
        assert!(check_names(&names, &[exact(SanKind::Dns, "example.com")]).is_err());
        // Of the wrong kind: a URI condition never matches a DNS name.
        assert!(check_names(&names, &[exact(SanKind::Uri, "*.example.com")]).is_err());
        assert!(check_names(&names, &[exact(SanKind::Any, "*.example.com")]).is_ok());
    }
}
