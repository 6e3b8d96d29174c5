//! What a certificate must look like. Pure.
//!
//! In: an identity or DNS names, the wished lifetime, the time. Out: rcgen's parameters. As Istio's: no subject and
//! therefore a critical subject alternative name, good for servers and clients, valid since two minutes ago, not
//! longer than its issuer.

use std::time::{Duration, SystemTime};

use rand::RngExt;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};
use wire::SpiffeId;

use crate::denied::Denied;

/// Clocks differ.
const BACKDATE: Duration = Duration::from_secs(120);

/// How long certificates live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// If the request names none; Istio's `DEFAULT_WORKLOAD_CERT_TTL`, 24 h.
    pub default: Duration,
    /// Longer wishes are cut to this; Istio's `MAX_WORKLOAD_CERT_TTL`, 90 days.
    pub max: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes { default: Duration::from_secs(24 * 3600), max: Duration::from_secs(2160 * 3600) }
    }
}

/// Whose certificate.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// URI name, for workloads and our own servers.
    pub identity: Option<&'a SpiffeId>,
    /// DNS names, for our own servers only.
    pub dns: &'a [String],
}

/// The lifetime that a wish of `seconds` gets.
pub fn ttl(seconds: i64, lifetimes: Lifetimes) -> Result<Duration, Denied> {
    match u64::try_from(seconds) {
        Ok(0) => Ok(lifetimes.default.min(lifetimes.max)),
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(lifetimes.max)),
        Err(_) => Err(Denied::Malformed(format!("validity_duration {seconds} is negative"))),
    }
}

/// A leaf.
pub(super) fn leaf(
    subject: &Subject<'_>,
    now: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, Denied> {
    let mut params = CertificateParams::default();
    let bad = |what: &str| Denied::Malformed(format!("{what} cannot be a name in a certificate"));
    if let Some(identity) = subject.identity {
        let uri = identity.to_string();
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(|_| bad(&uri))?));
    }
    for name in subject.dns {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(|_| bad(name))?));
    }
    // Without a subject the alternative names are critical, as RFC 5280 wants it.
    params.distinguished_name = DistinguishedName::new();
    params.not_before = (now - BACKDATE).into();
    params.not_after = not_after.into();
    params.serial_number = Some(serial());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A self-signed root.
pub(super) fn root(organization: &str, now: SystemTime, ttl: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + ttl).into();
    params.serial_number = Some(serial());
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::rng().random();
    // Positive, and as long as it looks.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_capped_and_defaulted() {
        let limits = Lifetimes { default: Duration::from_secs(100), max: Duration::from_secs(1000) };
        assert_eq!(ttl(0, limits), Ok(limits.default));
        assert_eq!(ttl(1, limits), Ok(Duration::from_secs(1)));
        assert_eq!(ttl(5000, limits), Ok(limits.max));
        assert!(ttl(-1, limits).is_err());
    }
}
