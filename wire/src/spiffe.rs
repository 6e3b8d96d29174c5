//! Workload identities: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
//!
//! In: the URI of a certificate, or the parts. Out: a [`SpiffeId`] that is valid by construction. Used by citadel
//! (what to sign), pilot (who may speak to whom) and the proxy (who is this peer). [`SpiffeId::pattern_matches`]
//! has the rules of Istio's principal patterns: exact, `prefix*`, `*suffix`, `*`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Scheme of every identity.
pub const SCHEME: &str = "spiffe://";

/// Why a text is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no workload identity: {reason}")]
pub struct NoIdentity {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A trust domain, for example `cluster.local`. An `@` becomes `.`, as in Istio.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Istio's default, `cluster.local`.
    pub fn cluster_local() -> Self {
        TrustDomain("cluster.local".into())
    }

    /// Checks and takes a trust domain.
    pub fn new(text: &str) -> Result<Self, NoIdentity> {
        let text = text.replace('@', ".");
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > 255 || !text.chars().all(valid) {
            let reason = "a trust domain is 1 to 255 letters, digits, dots, dashes or underscores";
            return Err(NoIdentity { text, reason });
        }
        Ok(TrustDomain(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identity of a service account in this trust domain.
    pub fn workload(&self, namespace: &str, service_account: &str) -> Result<SpiffeId, NoIdentity> {
        SpiffeId::new(self.clone(), namespace, service_account)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// Who vouches for it.
    pub trust_domain: TrustDomain,
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The Kubernetes service account.
    pub service_account: Arc<str>,
}

impl SpiffeId {
    /// Checks and takes the parts.
    pub fn new(
        trust_domain: TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, NoIdentity> {
        for part in [namespace, service_account] {
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
            if part.is_empty() || part.len() > 253 || !part.chars().all(valid) {
                let reason = "a namespace or service account is 1 to 253 letters, digits, dots or dashes";
                return Err(NoIdentity { text: part.into(), reason });
            }
        }
        Ok(SpiffeId { trust_domain, namespace: namespace.into(), service_account: service_account.into() })
    }

    /// As AuthorizationPolicy writes it: without the scheme.
    pub fn principal(&self) -> String {
        format!("{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }

    /// Whether an Istio principal pattern (`cluster.local/ns/default/sa/*`, `*`, ...) covers this identity.
    pub fn pattern_matches(&self, pattern: &str) -> bool {
        let principal = self.principal();
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(""), _) => true,
            (Some(suffix), _) => principal.ends_with(suffix),
            (None, Some(prefix)) => principal.starts_with(prefix),
            (None, None) => principal == pattern,
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.principal())
    }
}

impl FromStr for SpiffeId {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let wrong = |reason| NoIdentity { text: text.into(), reason };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with spiffe://"))?;
        let mut parts = rest.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(domain), Some("ns"), Some(namespace), Some("sa"), Some(account), None) => {
                // Not `TrustDomain::new`: what a certificate says is taken literally.
                if domain.contains('@') {
                    return Err(wrong("a trust domain has no @"));
                }
                SpiffeId::new(TrustDomain::new(domain)?, namespace, account)
            }
            _ => Err(wrong("expected spiffe://<trust domain>/ns/<namespace>/sa/<service account>")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let text = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews";
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(&*id.namespace, "default");
        assert_eq!(id, TrustDomain::cluster_local().workload("default", "bookinfo-reviews").unwrap());
    }

    #[test]
    fn refuses_what_is_no_identity() {
        for bad in [
            "",
            "https://cluster.local/ns/a/sa/b",
            "spiffe://cluster.local/ns/a/sa",
            "spiffe://cluster.local/ns/a/sa/b/c",
            "spiffe:///ns/a/sa/b",
            "spiffe://cluster.local/ns//sa/b",
            "spiffe://cluster.local/ns/a b/sa/b",
            "spiffe://x@y/ns/a/sa/b",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        let id: SpiffeId = "spiffe://td/ns/a/sa/b".parse().unwrap();
        for (pattern, matches) in [
            ("*", true),
            ("td/ns/a/sa/b", true),
            ("td/ns/a/*", true),
            ("*/sa/b", true),
            ("td/ns/ab/*", false),
            ("other/ns/a/sa/b", false),
        ] {
            assert_eq!(id.pattern_matches(pattern), matches, "{pattern}");
        }
    }

    #[test]
    fn an_at_sign_becomes_a_dot() {
        assert_eq!(TrustDomain::new("me@example.com").unwrap().as_str(), "me.example.com");
    }
}
