//! Secrets -> credentials of gateways.
//!
//! Comes in: the world, and which names gateways and rules mention. Goes out: certificates, keys and trust anchors
//! by namespace and name. A Secret that nothing mentions is not even read. Nothing of it is ever printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::core::Secret;
use api::{Code, Findings};

use super::hashed::Hashed;
use super::note::note;
use crate::world::World;

/// All credentials that are mentioned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Secrets {
    by_name: BTreeMap<(String, String), Hashed<Credential>>,
}

/// One Secret.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credential {
    /// PEM.
    pub chain: Vec<u8>,
    /// PEM.
    pub key: Vec<u8>,
    /// PEM; empty where there is none.
    pub ca: Vec<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Secrets {
    /// The credential of a namespace.
    pub fn named(&self, namespace: &str, name: &str) -> Option<&Hashed<Credential>> {
        self.by_name.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All of a namespace.
    pub fn within<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Hashed<Credential>)> + 'a {
        self.by_name
            .iter()
            .filter(move |((ns, _), _)| ns == namespace)
            .map(|((_, name), c)| (name.as_str(), c))
    }
}

/// Reads the Secrets with one of these names (or `NAME-cacert`).
pub fn resolve(world: &World, mentioned: &BTreeSet<String>, findings: &mut Findings) -> Secrets {
    let mut out = Secrets::default();
    for object in world.all::<Secret>() {
        let name = object.meta.name.as_str();
        let base = name.strip_suffix("-cacert").unwrap_or(name);
        if !mentioned.contains(name) && !mentioned.contains(base) {
            continue;
        }
        let get = |keys: [&str; 2]| keys.iter().find_map(|key| object.spec.get(key)).map(<[u8]>::to_vec);
        let credential = Credential {
            chain: get(["tls.crt", "cert"]).unwrap_or_default(),
            key: get(["tls.key", "key"]).unwrap_or_default(),
            ca: get(["ca.crt", "cacert"]).unwrap_or_default(),
        };
        let pair = !credential.chain.is_empty() && !credential.key.is_empty();
        if !pair && credential.ca.is_empty() {
            let text = "the Secret has none of tls.crt and tls.key, cert and key, ca.crt, cacert";
            note(findings, object, "data", Code::InvalidGatewayCredential, text);
            continue;
        }
        let broken = [("certificate", &credential.chain), ("key", &credential.key), ("CA", &credential.ca)];
        if let Some((what, _)) = broken.iter().find(|(_, pem)| !pem.is_empty() && !looks_like_pem(pem)) {
            let text = format!("the {what} is not PEM");
            note(findings, object, "data", Code::InvalidGatewayCredential, text);
            continue;
        }
        out.by_name.insert((object.meta.namespace.clone(), name.to_owned()), Hashed::new(credential));
    }
    out
}

fn looks_like_pem(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("-----BEGIN ") && text.contains("-----END "))
}
