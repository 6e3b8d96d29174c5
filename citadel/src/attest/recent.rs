//! Remembers for a short time who showed a token.
//!
//! In: an attestor whose question is dear (a call to an API server). Out: its answers; a good one is given again for
//! the same token while it is fresh, so that a pod which asks for a certificate, then for configuration, then again,
//! costs one question. Refusals are never remembered: a new pod may be unknown for a moment. Tokens are kept as hashes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base::clock::Clock;
use parking_lot::Mutex;

use super::attestor::{Answer, Attested, Attestor, Caller};

/// Tokens that are remembered at once.
const AT_ONCE: usize = 10_000;

/// An attestor with a short memory.
pub struct Recent {
    inner: Box<dyn Attestor>,
    clock: Arc<dyn Clock>,
    /// How long an answer holds: so long a withdrawn token may still be good.
    fresh: Duration,
    known: Mutex<HashMap<[u8; 32], (Attested, Duration)>>,
}

impl Recent {
    /// Asks `inner` when it does not know.
    pub fn new(inner: Box<dyn Attestor>, fresh: Duration, clock: Arc<dyn Clock>) -> Self {
        Recent { inner, clock, fresh, known: Mutex::default() }
    }

    fn remember(&self, key: [u8; 32], attested: Attested) {
        let now = self.clock.since_start();
        let mut known = self.known.lock();
        if known.len() >= AT_ONCE {
            known.retain(|_, (_, until)| *until > now);
        }
        // More callers than it can remember: they are asked for again.
        if known.len() < AT_ONCE {
            known.insert(key, (attested, now + self.fresh));
        }
    }
}

impl Attestor for Recent {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn attest<'a>(&'a self, caller: &'a Caller) -> Answer<'a> {
        Box::pin(async move {
            let Some(token) = &caller.bearer else { return Ok(None) };
            // The same token may be good for one cluster and unknown in another.
            let key = hash(&[&caller.cluster, token]);
            let now = self.clock.since_start();
            let known = self.known.lock().get(&key).filter(|(_, until)| *until > now).cloned();
            if let Some((attested, _)) = known {
                return Ok(Some(attested));
            }
            let answer = self.inner.attest(caller).await?;
            if let Some(attested) = &answer {
                self.remember(key, attested.clone());
            }
            Ok(answer)
        })
    }
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let hashed = digest(&SHA256, parts.join("\n").as_bytes());
    hashed.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use base::clock::Manual;
    use wire::TrustDomain;

    use super::*;

    /// Knows one token and counts questions.
    struct Counting(Arc<AtomicUsize>);

    impl Attestor for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn attest<'a>(&'a self, caller: &'a Caller) -> Answer<'a> {
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::Relaxed);
                if caller.bearer.as_deref() == Some("good") {
                    Ok(Some(TrustDomain::cluster_local().workload("n", "s").unwrap().into()))
                } else {
                    Err("no".into())
                }
            })
        }
    }

    #[tokio::test]
    async fn good_answers_are_remembered_for_a_while_and_bad_ones_never() {
        let (asked, clock) = (Arc::new(AtomicUsize::new(0)), Manual::at(SystemTime::now()));
        let inner = Box::new(Counting(asked.clone()));
        let recent = Recent::new(inner, Duration::from_secs(10), Arc::new(clock.clone()));
        let with = |token: &str, cluster: &str| Caller {
            bearer: Some(token.to_owned()),
            cluster: cluster.to_owned(),
            ..Caller::default()
        };
        for (caller, questions) in [
            (with("good", ""), 1),
            (with("good", ""), 1),
            (with("good", "elsewhere"), 2),
            (with("bad", ""), 3),
            (with("bad", ""), 4),
        ] {
            drop(recent.attest(&caller).await);
            assert_eq!(asked.load(Ordering::Relaxed), questions, "{caller:?}");
        }
        clock.advance(Duration::from_secs(11));
        assert!(recent.attest(&with("good", "")).await.unwrap().is_some());
        assert_eq!(asked.load(Ordering::Relaxed), 5, "an old answer is asked for again");
        assert_eq!(recent.attest(&Caller::default()).await, Ok(None));
    }
}
