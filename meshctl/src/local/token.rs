//! Service-account tokens, as a cluster would project them.
//!
//! In: namespace and account of a pod. Out: an ES256 JWT for one audience and one hour. The key is made once per
//! mesh and kept in its state; the CA checks tokens against its public half, the JWKS file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// How long a token is good.
pub const LIFETIME: Duration = Duration::from_secs(3600);
/// Audience of the token that a proxy shows to the CA.
pub const CA_AUDIENCE: &str = "istio-ca";
/// Who says so.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The key of a mesh.
pub struct Signer {
    key: EcdsaKeyPair,
    key_id: String,
    jwks: PathBuf,
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Namespace of the account.
    pub namespace: &'a str,
    /// The service account.
    pub account: &'a str,
    /// Name of the pod it is bound to.
    pub pod: &'a str,
    /// Uid of the pod.
    pub pod_uid: &'a str,
}

impl Signer {
    /// Loads the key from a folder, or makes it there.
    pub fn open(dir: &Path) -> Result<Self> {
        let file = dir.join("service-account-key.der");
        let document = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(_) => {
                let made =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                        .map_err(|_| anyhow!("make a key for service-account tokens"))?;
                super::paths::write_whole(&file, made.as_ref())
                    .with_context(|| format!("write {}", file.display()))?;
                made.as_ref().to_vec()
            }
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document)
            .map_err(|_| anyhow!("{} holds no ES256 key; remove it and start again", file.display()))?;
        let point = key.public_key().as_ref().to_vec();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &point);
        let key_id = URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]);
        let jwks = dir.join("jwks.json");
        // An uncompressed point: 0x04, then both coordinates.
        let (x, y) = point.get(1..65).context("the public key is not a P-256 point")?.split_at(32);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key_id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]});
        super::paths::write_whole(&jwks, keys.to_string().as_bytes())?;
        Ok(Self { key, key_id, jwks })
    }

    /// File with the public key, for `pilot --jwks`.
    #[must_use]
    pub fn jwks(&self) -> &Path {
        &self.jwks
    }

    /// A token for one pod.
    pub fn mint(&self, subject: Subject<'_>, audience: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        let Subject { namespace, account, pod, pod_uid } = subject;
        let header = json!({"alg": "ES256", "kid": self.key_id, "typ": "JWT"});
        let claims = json!({
            "aud": [audience],
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME.as_secs(),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account},
                "pod": {"name": pod, "uid": pod_uid},
            },
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| anyhow!("sign a token"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn a_token_checks_against_the_published_key() {
        let dir = std::env::temp_dir().join(format!("token-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let subject = Subject { namespace: "default", account: "bookinfo", pod: "p", pod_uid: "u" };
        let token = Signer::open(&dir).unwrap().mint(subject, CA_AUDIENCE).unwrap();
        // A second start uses the same key.
        let again = Signer::open(&dir).unwrap();
        let jwks: serde_json::Value = serde_json::from_slice(&fs::read(again.jwks()).unwrap()).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let key = &jwks["keys"][0];
        let mut point = vec![4];
        point.extend(decode(key["x"].as_str().unwrap()));
        point.extend(decode(key["y"].as_str().unwrap()));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decode(signature))
            .unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&decode(signed.split_once('.').unwrap().1)).unwrap();
        assert_eq!(claims["sub"], "system:serviceaccount:default:bookinfo");
        assert_eq!(claims["aud"][0], "istio-ca");
    }
}
