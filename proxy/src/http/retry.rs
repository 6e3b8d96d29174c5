//! Whether to try again, and after how long. Pure but for the dice; the attempt loop asks after each attempt.
//!
//! In: the route's policy with what the request's headers add; an answer or a failure. Out: a [`Verdict`], with the
//! pause before another try and its place among the cluster's retries.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::cluster::{Limit, Permit};
use crate::config::{Cluster, RetryOn, RetryPolicy};
use crate::dice::Dice;
use crate::fail::Failure;

const RETRY_ON: HeaderName = HeaderName::from_static("x-envoy-retry-on");
const RETRY_GRPC_ON: HeaderName = HeaderName::from_static("x-envoy-retry-grpc-on");
const STATUSES: HeaderName = HeaderName::from_static("x-envoy-retriable-status-codes");
const MAX_RETRIES: HeaderName = HeaderName::from_static("x-envoy-max-retries");
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// The retries of one request.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: Option<Arc<RetryPolicy>>,
    on: RetryOn,
    /// Statuses that the request itself asks to retry.
    statuses: Vec<u16>,
    left: u32,
    made: u32,
}

/// What to do after an attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Not a case for a retry.
    Final,
    /// It would be, but there are no more.
    Exhausted,
    /// It would be, but the cluster has too many under way.
    Overflow,
    /// After this long; the permit is the retry's place under the limit.
    Again(Duration, Permit),
}

impl Retries {
    /// From the route's policy.
    pub(crate) fn new(policy: Option<&Arc<RetryPolicy>>) -> Self {
        let on = policy.map_or(RetryOn::default(), |policy| policy.on);
        let left = policy.map_or(1, |policy| policy.retries);
        let left = if on.0 == 0 { 0 } else { left };
        Retries { policy: policy.cloned(), on, statuses: Vec::new(), left, made: 0 }
    }

    /// As the headers of the request ask, beside the policy. They are taken away.
    pub(crate) fn asked(policy: Option<&Arc<RetryPolicy>>, headers: &mut HeaderMap) -> Self {
        let mut on = policy.map_or(RetryOn::default(), |policy| policy.on);
        for name in [&RETRY_ON, &RETRY_GRPC_ON] {
            if let Some(asked) = headers.remove(name) {
                on = RetryOn(on.0 | conditions(asked.to_str().unwrap_or_default()).0);
            }
        }
        let asked = headers.remove(&MAX_RETRIES).and_then(|text| text.to_str().ok()?.parse().ok());
        let left = asked.or(policy.map(|policy| policy.retries)).unwrap_or(1);
        let statuses = headers.remove(&STATUSES).map_or(Vec::new(), |list| numbers(&list));
        Retries { policy: policy.cloned(), on, statuses, left: if on.0 == 0 { 0 } else { left }, made: 0 }
    }

    /// Any retry is possible, so the request's body must be kept.
    pub(crate) fn may_retry(&self) -> bool {
        self.left > 0
    }

    /// The policy, for per-try limits and host selection.
    pub(crate) fn policy(&self) -> Option<&RetryPolicy> {
        self.policy.as_deref()
    }

    /// After an attempt that got a response's head.
    pub(crate) fn after_answer(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        cluster: &Cluster,
        dice: &mut Dice,
    ) -> Verdict {
        self.verdict(self.wants_status(status, headers), cluster, dice)
    }

    /// After an attempt that failed before that. `sent`: part of the request went out.
    pub(crate) fn after_failure(
        &mut self,
        failure: Failure,
        sent: bool,
        cluster: &Cluster,
        dice: &mut Dice,
    ) -> Verdict {
        self.verdict(self.wants_failure(failure, sent), cluster, dice)
    }

    fn wants_status(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if self.on.0 == 0 {
            return false;
        }
        let code = status.as_u16();
        let grpc = headers.get("grpc-status").and_then(|text| text.to_str().ok()?.parse::<u16>().ok());
        let grpc_bit = match grpc {
            Some(1) => RetryOn::GRPC_CANCELLED,
            Some(4) => RetryOn::GRPC_DEADLINE,
            Some(8) => RetryOn::GRPC_EXHAUSTED,
            Some(13) => RetryOn::GRPC_INTERNAL,
            Some(14) => RetryOn::GRPC_UNAVAILABLE,
            _ => RetryOn::default(),
        };
        self.on.has(grpc_bit)
            || (code >= 500 && self.on.has(RetryOn::FIVE_XX))
            || ((502..=504).contains(&code) && self.on.has(RetryOn::GATEWAY_ERROR))
            || (code == 409 && self.on.has(RetryOn::RETRIABLE_4XX))
            || (self.on.has(RetryOn::RETRIABLE_STATUS) && self.names_status(code))
            || (self.on.has(RetryOn::ENVOY_RATE_LIMITED) && headers.contains_key(&RATE_LIMITED))
    }

    fn names_status(&self, code: u16) -> bool {
        let named = self.policy.as_ref().is_some_and(|policy| policy.statuses.contains(&code));
        named || self.statuses.contains(&code)
    }

    fn wants_failure(&self, failure: Failure, sent: bool) -> bool {
        let any_reset = RetryOn(RetryOn::RESET.0 | RetryOn::FIVE_XX.0 | RetryOn::GATEWAY_ERROR.0);
        match failure {
            Failure::Overflow | Failure::NoHealthyUpstream | Failure::NoCluster => false,
            _ if self.on.has(any_reset) => true,
            _ if !sent && self.on.has(RetryOn::RESET_BEFORE_REQUEST) => true,
            Failure::ConnectFailure | Failure::ConnectTimeout => self.on.has(RetryOn::CONNECT_FAILURE),
            Failure::UpstreamRefused => self.on.has(RetryOn::REFUSED_STREAM),
            _ => false,
        }
    }

    fn verdict(&mut self, wanted: bool, cluster: &Cluster, dice: &mut Dice) -> Verdict {
        if !wanted {
            return Verdict::Final;
        }
        if self.left == 0 {
            // Where nothing was ever allowed nothing is used up.
            return if self.made > 0 { Verdict::Exhausted } else { Verdict::Final };
        }
        let Some(permit) = cluster.limits.acquire(Limit::Retries) else { return Verdict::Overflow };
        self.left -= 1;
        self.made += 1;
        Verdict::Again(self.backoff(dice), permit)
    }

    /// Random between nothing and the base times `2^n - 1`, never above the maximum.
    fn backoff(&self, dice: &mut Dice) -> Duration {
        let base = self.policy.as_ref().map_or(Duration::from_millis(25), |policy| policy.backoff_base);
        let max = self.policy.as_ref().map_or(base * 10, |policy| policy.backoff_max);
        let longest = base.saturating_mul((1u32 << self.made.min(20)) - 1).min(max);
        Duration::from_micros(dice.below(longest.as_micros() as u64 + 1))
    }
}

/// The numbers of a list; what is none is passed over.
fn numbers(list: &HeaderValue) -> Vec<u16> {
    let words = list.to_str().unwrap_or_default().split(',');
    words.filter_map(|word| word.trim().parse().ok()).collect()
}

/// `x-envoy-retry-on` and `x-envoy-retry-grpc-on`.
fn conditions(text: &str) -> RetryOn {
    let bit = |word: &str| match word.trim() {
        "5xx" => RetryOn::FIVE_XX,
        "gateway-error" => RetryOn::GATEWAY_ERROR,
        "reset" => RetryOn::RESET,
        "reset-before-request" => RetryOn::RESET_BEFORE_REQUEST,
        "connect-failure" => RetryOn::CONNECT_FAILURE,
        "refused-stream" => RetryOn::REFUSED_STREAM,
        "retriable-4xx" => RetryOn::RETRIABLE_4XX,
        "retriable-status-codes" => RetryOn::RETRIABLE_STATUS,
        "envoy-ratelimited" => RetryOn::ENVOY_RATE_LIMITED,
        "cancelled" => RetryOn::GRPC_CANCELLED,
        "deadline-exceeded" => RetryOn::GRPC_DEADLINE,
        "internal" => RetryOn::GRPC_INTERNAL,
        "resource-exhausted" => RetryOn::GRPC_EXHAUSTED,
        "unavailable" => RetryOn::GRPC_UNAVAILABLE,
        _ => RetryOn::default(),
    };
    text.split(',').fold(RetryOn::default(), |all, word| RetryOn(all.0 | bit(word).0))
}
