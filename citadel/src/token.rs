//! Makes service-account tokens where there is no Kubernetes to do it.
//!
//! In: a signing key on disk, a service account. Out: a token in the form of Kubernetes' projected tokens, and the JWKS
//! that a citadel needs to check it. Used by the laptop mesh and by tests.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use wire::resource::hash128;

use crate::attest::SUBJECT;
use crate::ca::write_private;

/// `iss` of our tokens; Kubernetes' default.
pub const ISSUER: &str = "https://kubernetes.default.svc";
/// Istio's audience for its CA.
pub const AUDIENCE: &str = "istio-ca";
/// Key file, PKCS#8 in DER.
const KEY_FILE: &str = "token-key.der";
/// Public keys for citadel's `--jwks`.
pub const JWKS_FILE: &str = "jwks.json";

/// Signs tokens.
pub struct Signer {
    key: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

/// What a token should say.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Of the service account.
    pub namespace: &'a str,
    /// The service account.
    pub service_account: &'a str,
    /// The pod that it is bound to, if any.
    pub pod: Option<&'a str>,
    /// Who it is for, usually [`AUDIENCE`].
    pub audiences: &'a [&'a str],
    /// How long it is good for.
    pub ttl: Duration,
}

impl Signer {
    /// A fresh P-256 key.
    pub fn generate() -> Result<Self, String> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        Signer::from_pkcs8(pkcs8.map_err(|_| "no key could be made")?.as_ref())
    }

    /// Takes an existing key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, String> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|e| format!("not a P-256 key: {e}"))?;
        let id = format!("{:016x}", hash128(key.public_key().as_ref()) >> 64);
        Ok(Signer { key, id, random: SystemRandom::new() })
    }

    /// The key in `dir`, made at first use; the JWKS is written beside it.
    pub fn load_or_create(dir: &Path) -> Result<Self, String> {
        let path = dir.join(KEY_FILE);
        let tell = |what: &str, e: std::io::Error| format!("{} cannot be {what}: {e}", path.display());
        let signer = match std::fs::read(&path) {
            Ok(pkcs8) => Signer::from_pkcs8(&pkcs8).map_err(|e| format!("{}: {e}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let random = SystemRandom::new();
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map_err(|_| "no key could be made")?;
                write_private(&path, pkcs8.as_ref()).map_err(|e| tell("written", e))?;
                Signer::from_pkcs8(pkcs8.as_ref())?
            }
            Err(error) => return Err(tell("read", error)),
        };
        std::fs::write(dir.join(JWKS_FILE), signer.jwks()).map_err(|e| tell("published", e))?;
        Ok(signer)
    }

    /// The public key as a JWKS document.
    pub fn jwks(&self) -> String {
        let point = self.key.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": part(1..33), "y": part(33..65)
        }]})
        .to_string()
    }

    /// A token for a service account, issued `now`.
    pub fn mint(&self, wish: &Wish<'_>, now: SystemTime) -> Result<String, String> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut kubernetes = json!({
            "namespace": wish.namespace,
            "serviceaccount": {"name": wish.service_account}
        });
        if let Some(pod) = wish.pod {
            kubernetes["pod"] = json!({"name": pod});
        }
        let claims = json!({
            "iss": ISSUER,
            "sub": format!("{SUBJECT}{}:{}", wish.namespace, wish.service_account),
            "aud": wish.audiences,
            "iat": now,
            "nbf": now,
            "exp": now + wish.ttl.as_secs(),
            "kubernetes.io": kubernetes
        });
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&head), encode(&claims));
        let signature =
            self.key.sign(&self.random, signed.as_bytes()).map_err(|_| "token could not be signed")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
