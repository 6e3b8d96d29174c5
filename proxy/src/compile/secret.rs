//! Secrets over ADS and of bootstrap files: certificates and trust bundles.
//!
//! In: a Secret message. Out: key material that was parsed and fits together, or a reject that names the field. Called
//! by `lower`.

use wire::pb::envoy::extensions::transport_sockets::tls::v3 as tls;

use super::read::{At, Lower, Refusal, done, harmless, refuse};
use super::tls::{certificate, validation};
use crate::tls::{Secret, SecretSource};

/// What a secret holds, checked to be usable.
pub struct SecretPart {
    pub secret: Secret,
}

impl std::fmt::Debug for SecretPart {
    /// Never the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretPart")
    }
}

pub(super) fn secret(mut one: tls::Secret) -> Lower<SecretPart> {
    harmless!(one; name);
    let secret = match one.r#type.take() {
        Some(tls::secret::Type::TlsCertificate(pair)) => {
            key_pair(&certificate(pair)?).at("tls_certificate")?
        }
        Some(tls::secret::Type::ValidationContext(context)) => {
            let rules = validation(context).at("validation_context")?;
            if !rules.spki.is_empty()
                || !rules.hashes.is_empty()
                || !rules.sans.is_empty()
                || rules.accept_untrusted
                || rules.system
            {
                return refuse("validation_context", "only trusted_ca is supported in a secret");
            }
            match rules.roots {
                Some(SecretSource::Inline { chain, .. }) => {
                    Secret::trust(&chain).map_err(Refusal::new).at("validation_context.trusted_ca")?
                }
                _ => return refuse("validation_context.trusted_ca", "must be inline"),
            }
        }
        Some(tls::secret::Type::SessionTicketKeys(_)) => {
            return refuse("session_ticket_keys", "not supported");
        }
        Some(tls::secret::Type::GenericSecret(_)) => return refuse("generic_secret", "not supported"),
        None => return Err(Refusal::new("an empty secret")),
    };
    done(&one)?;
    Ok(SecretPart { secret })
}

/// Inline, or in files that are read here and now.
fn key_pair(source: &SecretSource) -> Lower<Secret> {
    if !matches!(source, SecretSource::Inline { .. } | SecretSource::Files { .. }) {
        return Err(Refusal::new("a certificate must be inline or in files"));
    }
    let secret = Secret::load(source).map_err(Refusal::new)?;
    match secret.certificate {
        Some(_) => Ok(secret),
        None => Err(Refusal::new("a certificate needs its private key")),
    }
}
