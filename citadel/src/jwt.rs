//! Signed tokens: keys, check, claims.
//!
//! In: a JWKS document and a token. Out: the claims of a token that one of the keys has signed and that is in its time.
//! The algorithm follows from the key, never from the token alone: ES256 for P-256 keys, RS256 for RSA keys. Called by
//! the token attestor.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// Longer tokens are refused unread.
const MAX_TOKEN: usize = 64 << 10;

/// The keys of an issuer.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    public: Public,
}

#[derive(Clone, Debug)]
enum Public {
    /// Uncompressed point.
    P256(Vec<u8>),
    /// Modulus and exponent, big-endian.
    Rsa(Vec<u8>, Vec<u8>),
}

/// What a token says, as far as we care.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    /// Who it is about.
    pub sub: String,
    /// Who issued it.
    #[serde(default)]
    pub iss: String,
    /// Expiry in seconds since 1970; must be a number.
    pub exp: u64,
    /// Not before.
    #[serde(default)]
    pub nbf: u64,
    #[serde(default)]
    aud: Value,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
}

impl Keys {
    /// Reads a JWKS document. Keys of other types or uses are left out; none left is an error.
    pub fn from_jwks(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|e| format!("JWKS is not JSON: {e}"))?;
        let keys = document["keys"].as_array().ok_or("JWKS has no list `keys`")?;
        let keys: Vec<Key> = keys.iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("JWKS has no P-256 or RSA signing key".into());
        }
        Ok(Keys(keys))
    }
}

impl Key {
    fn read(jwk: &Value) -> Option<Self> {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
        if jwk["use"].as_str().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let public = match (jwk["kty"].as_str()?, jwk["crv"].as_str()) {
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Public::P256([&[4][..], &x, &y].concat())
            }
            ("RSA", _) => Public::Rsa(bytes("n")?, bytes("e")?),
            _ => return None,
        };
        Some(Key { id: jwk["kid"].as_str().map(str::to_owned), public })
    }

    fn algorithm(&self) -> &'static str {
        match self.public {
            Public::P256(_) => "ES256",
            Public::Rsa(..) => "RS256",
        }
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.public {
            Public::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Public::Rsa(n, e) => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }
}

/// Checks a token: signature, time, audience.
pub fn verify(token: &str, keys: &Keys, audiences: &[String], now: SystemTime) -> Result<Claims, String> {
    if token.len() > MAX_TOKEN {
        return Err("token is too long".into());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("not a signed token")?;
    let (head, body) = signed.split_once('.').ok_or("not a signed token")?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "token is not base64url".to_owned());
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|e| format!("token head: {e}"))?;
    let signature = decode(signature)?;
    let fits = |key: &&Key| {
        key.algorithm() == head.alg && (head.kid.is_none() || key.id.is_none() || key.id == head.kid)
    };
    let mut candidates = keys.0.iter().filter(fits).peekable();
    if candidates.peek().is_none() {
        let kid = head.kid.as_deref().unwrap_or("none");
        return Err(format!("no key for algorithm {} and key id {kid}", head.alg));
    }
    if !candidates.any(|key| key.signed(signed.as_bytes(), &signature)) {
        return Err("signature is not valid".into());
    }
    let claims: Claims = serde_json::from_slice(&decode(body)?).map_err(|e| format!("claims: {e}"))?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if claims.exp <= now {
        return Err(format!("token expired {} s ago", now - claims.exp));
    }
    if claims.nbf > now {
        return Err(format!("token is not valid before {} s from now", claims.nbf - now));
    }
    let given: Vec<&str> = match &claims.aud {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !given.iter().any(|audience| audiences.iter().any(|accepted| accepted == audience)) {
        return Err(format!("audience {given:?} is none of {audiences:?}"));
    }
    Ok(claims)
}
