//! Service-account tokens, checked against known keys.
//!
//! In: a JWT as Kubernetes projects it into pods. Out: the identity of its subject,
//! `system:serviceaccount:NAMESPACE:NAME`. The audience must be ours (Istio's `TOKEN_AUDIENCES`, `istio-ca`) and the
//! token must be in its time.

use std::sync::Arc;

use base::Live;
use base::clock::Clock;

use super::attestor::{Answer, Attestor, Caller, Trust};
use crate::jwt::{Keys, verify};

/// Prefix of a service account's subject.
pub(crate) const SUBJECT: &str = "system:serviceaccount:";

/// Attests by signed token.
pub struct TokenAttestor {
    /// The keys in force; may be replaced while running.
    pub keys: Live<Keys>,
    /// Accepted audiences; one of them must be in the token.
    pub audiences: Vec<String>,
    /// Its own domain is that of the identities.
    pub trust: Live<Trust>,
    /// Decides about `exp` and `nbf`.
    pub clock: Arc<dyn Clock>,
}

impl Attestor for TokenAttestor {
    fn name(&self) -> &'static str {
        "token"
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> Answer<'a> {
        Box::pin(async move {
            let Some(token) = &caller.bearer else { return Ok(None) };
            let claims = verify(token, &self.keys.load(), &self.audiences, self.clock.now())?;
            let (namespace, name) = account(&claims.sub)
                .ok_or_else(|| format!("subject {:?} is no service account", claims.sub))?;
            let identity = self.trust.load().own.workload(namespace, name).map_err(|e| e.to_string())?;
            Ok(Some(identity.into()))
        })
    }
}

/// Namespace and name of a service account in Kubernetes' word for its user.
pub fn account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(SUBJECT).and_then(|rest| rest.split_once(':'))
}
