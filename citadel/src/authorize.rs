//! May this caller have a certificate for that identity?
//!
//! In: the attested identity and what the request's metadata asks for beyond it. Out: the identity to sign. Pure. A
//! caller gets its own identity and no other: impersonation and foreign signers are refused by name.

use wire::SpiffeId;
use wire::csr::IstioCertificateRequest;
use wire::structs;

use crate::denied::Denied;

/// Metadata key for a certificate of somebody else's.
const IMPERSONATED: &str = "ImpersonatedIdentity";
/// Metadata key that asks for an external signer.
const SIGNER: &str = "CertSigner";

/// The identity that goes into the certificate.
pub fn authorize(caller: &SpiffeId, request: &IstioCertificateRequest) -> Result<SpiffeId, Denied> {
    let wish =
        |key| request.metadata.as_ref().and_then(|m| structs::get_text(m, key)).filter(|v| !v.is_empty());
    if let Some(signer) = wish(SIGNER) {
        return Err(Denied::Forbidden(format!("{SIGNER} {signer:?}: external signers are not supported")));
    }
    match wish(IMPERSONATED) {
        None => Ok(caller.clone()),
        Some(other) if other == caller.to_string() => Ok(caller.clone()),
        Some(other) => Err(Denied::Forbidden(format!("{caller} may not impersonate {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(metadata: serde_json::Value) -> Result<SpiffeId, Denied> {
        let caller: SpiffeId = "spiffe://td/ns/a/sa/b".parse().unwrap();
        let metadata = metadata.as_object().map(structs::from_map);
        authorize(&caller, &IstioCertificateRequest { metadata, ..Default::default() })
    }

    #[test]
    fn a_caller_gets_its_own_identity_only() {
        assert!(ask(json!(null)).is_ok());
        assert!(ask(json!({"ImpersonatedIdentity": "spiffe://td/ns/a/sa/b", "CertSigner": ""})).is_ok());
        assert!(ask(json!({"ImpersonatedIdentity": "spiffe://td/ns/a/sa/admin"})).is_err());
        assert!(ask(json!({"CertSigner": "example.com/x"})).is_err());
    }
}
