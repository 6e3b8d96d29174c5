//! Tokens of pods, checked by the API server that has issued them (TokenReview).
//!
//! In: a bearer token. Out: the identity of its service account and the pod that it is bound to. The API server says no
//! to a token of a pod that is gone, of another audience, or past its time; so does this. Called by citadel, for the CA
//! and for xDS.

use base::Live;
use citadel::attest::{Answer, Attested, Attestor, Caller, Trust, account};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::Semaphore;

use super::Cluster;

/// Questions to the API server at once; others wait.
const AT_ONCE: usize = 32;
/// Group of every service account.
const GROUP: &str = "system:serviceaccounts";
/// Name of the pod that a token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";

/// Attests by asking the API server.
pub(crate) struct TokenReviewer {
    reviews: Api<TokenReview>,
    /// Name of this cluster, which callers may name, too.
    cluster: String,
    /// Accepted audiences; the token must be for one of them.
    audiences: Vec<String>,
    /// Its own domain is that of the identities.
    trust: Live<Trust>,
    slots: Semaphore,
}

impl TokenReviewer {
    /// An attestor for tokens of this cluster, whose name is `name`.
    pub(crate) fn new(cluster: &Cluster, name: &str, audiences: Vec<String>, trust: Live<Trust>) -> Self {
        let (reviews, cluster) = (Api::all(cluster.client.clone()), name.to_owned());
        Self { reviews, cluster, audiences, trust, slots: Semaphore::new(AT_ONCE) }
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(self.audiences.clone()) };
        let review = TokenReview { metadata: ObjectMeta::default(), spec, status: None };
        let _slot = self.slots.acquire().await.map_err(|error| error.to_string())?;
        let answer = self.reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| format!("the API server could not be asked: {error}"))?;
        answer.status.ok_or_else(|| "the API server has not answered".to_owned())
    }
}

impl Attestor for TokenReviewer {
    fn name(&self) -> &'static str {
        "token review"
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> Answer<'a> {
        Box::pin(async move {
            let Some(token) = &caller.bearer else { return Ok(None) };
            if !caller.cluster.is_empty() && caller.cluster != self.cluster {
                return Err(format!(
                    "cluster {:?} is unknown here, this is {:?}",
                    caller.cluster, self.cluster
                ));
            }
            let status = self.review(token).await?;
            let Found { namespace, name, pod } = read(&status, &self.audiences)?;
            let identity = self.trust.load().own.workload(namespace, name).map_err(|e| e.to_string())?;
            Ok(Some(Attested { identity, pod }))
        })
    }
}

/// What a review has found.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    namespace: &'a str,
    name: &'a str,
    pod: Option<String>,
}

/// Whether the answer is a yes, and about whom. Pure.
fn read<'a>(status: &'a TokenReviewStatus, audiences: &[String]) -> Result<Found<'a>, String> {
    if let Some(error) = status.error.as_deref().filter(|error| !error.is_empty()) {
        return Err(error.to_owned());
    }
    if status.authenticated != Some(true) {
        return Err("token is not valid".to_owned());
    }
    // An authenticator that knows nothing of audiences names none of them.
    let given = status.audiences.as_deref().unwrap_or_default();
    if !given.iter().any(|audience| audiences.contains(audience)) {
        return Err(format!("audience {given:?} is none of {audiences:?}"));
    }
    let user = status.user.as_ref().ok_or("token names no user")?;
    let word = user.username.as_deref().unwrap_or_default();
    let in_group = user.groups.iter().flatten().any(|group| group == GROUP);
    let (namespace, name) =
        account(word).filter(|_| in_group).ok_or_else(|| format!("user {word:?} is no service account"))?;
    let pod = user.extra.as_ref().and_then(|extra| extra.get(POD)).and_then(|names| names.first()).cloned();
    Ok(Found { namespace, name, pod })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Result<(String, String, Option<String>), String> {
        let mut status = json!({
            "authenticated": true, "audiences": ["istio-ca"],
            "user": {"username": "system:serviceaccount:shop:cart",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
                "extra": {POD: ["cart-1"]}},
        });
        change(&mut status);
        let status: TokenReviewStatus = serde_json::from_value(status).unwrap();
        read(&status, &["istio-ca".to_owned()])
            .map(|found| (found.namespace.to_owned(), found.name.to_owned(), found.pod))
    }

    #[test]
    fn only_a_service_account_with_our_audience_is_somebody() {
        let good = answer(|_| {}).unwrap();
        assert_eq!(good, ("shop".to_owned(), "cart".to_owned(), Some("cart-1".to_owned())));
        let no = |change: fn(&mut serde_json::Value)| answer(change).unwrap_err();
        assert!(no(|status| status["authenticated"] = false.into()).contains("not valid"));
        assert!(no(|status| status["error"] = "token has expired".into()).contains("expired"));
        assert!(no(|status| status["audiences"] = json!(["api"])).contains("istio-ca"));
        assert!(no(|status| status["audiences"] = json!(null)).contains("istio-ca"));
        assert!(no(|status| status["user"]["username"] = "admin".into()).contains("admin"));
        assert!(no(|status| status["user"]["groups"] = json!(["admins"])).contains("no service account"));
        assert!(no(|status| status["user"] = json!(null)).contains("no user"));
    }
}
