//! Checks what was signed, before anybody gets it.
//!
//! In: a fresh leaf and what it was meant to be. Out: its serial and expiry, or an internal error: the chain must hold
//! under our own roots now, the names must be exactly those meant, and it must not be a CA. A mistake in the
//! template, the key or the files is found here and not by a peer.

use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::authority::{Authority, time};
use super::template::Subject;
use crate::audit::Issued;
use crate::denied::Denied;

/// Checks a leaf.
pub fn verify(
    leaf: &CertificateDer<'_>,
    subject: &Subject<'_>,
    authority: &Authority,
    now: SystemTime,
) -> Result<Issued, Denied> {
    let wrong = |what: String| Denied::Internal(format!("the signed certificate is wrong: {what}"));
    let end = EndEntityCert::try_from(leaf).map_err(|e| wrong(e.to_string()))?;
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    for usage in [KeyUsage::client_auth(), KeyUsage::server_auth()] {
        let time = UnixTime::since_unix_epoch(since);
        let (algorithms, anchors) = (webpki::ALL_VERIFICATION_ALGS, authority.anchors());
        end.verify_for_usage(algorithms, anchors, &authority.intermediates(), time, usage, None, None)
            .map_err(|e| wrong(format!("chain: {e}")))?;
    }
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|e| wrong(e.to_string()))?;
    let names = parsed.subject_alternative_name().map_err(|e| wrong(e.to_string()))?;
    let names = names.ok_or_else(|| wrong("it has no names".into()))?;
    let found: Vec<String> = names.value.general_names.iter().map(text).collect();
    let uri = subject.identity.iter().map(|identity| format!("URI:{identity}"));
    let meant: Vec<String> = uri.chain(subject.dns.iter().map(|name| format!("DNS:{name}"))).collect();
    if found != meant || !names.critical {
        return Err(wrong(format!("names are {found:?}, meant are {meant:?}, critical")));
    }
    if parsed.is_ca() {
        return Err(wrong("it is a CA".into()));
    }
    Ok(Issued {
        serial: format!("{:x}", parsed.serial),
        not_after: time(parsed.validity().not_after.timestamp()),
    })
}

fn text(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        other => format!("{other:?}"),
    }
}
