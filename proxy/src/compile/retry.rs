//! Retry policies.
//!
//! In: a RetryPolicy message, or the words of a `retry_on`. Out: `config::RetryPolicy`. A condition that is unknown is
//! refused by name.

use std::time::Duration;

use wire::pb::envoy::config::route::v3 as route;

use super::read::{At, Lower, done, duration, duration_or, number, refuse, type_name};
use crate::config::{RetryOn, RetryPolicy};

const PREVIOUS_HOSTS: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const PREVIOUS_PRIORITIES: &str =
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";

/// The names of `retry_on`.
const CONDITIONS: [(&str, RetryOn); 16] = [
    ("5xx", RetryOn::FIVE_XX),
    ("gateway-error", RetryOn::GATEWAY_ERROR),
    ("reset", RetryOn::RESET),
    ("reset-before-request", RetryOn::RESET_BEFORE_REQUEST),
    ("connect-failure", RetryOn::CONNECT_FAILURE),
    ("envoy-ratelimited", RetryOn::ENVOY_RATE_LIMITED),
    ("retriable-4xx", RetryOn::RETRIABLE_4XX),
    ("refused-stream", RetryOn::REFUSED_STREAM),
    ("retriable-status-codes", RetryOn::RETRIABLE_STATUS),
    ("retriable-headers", RetryOn::RETRIABLE_HEADERS),
    ("http3-post-connect-failure", RetryOn::HTTP3_POST_CONNECT),
    ("cancelled", RetryOn::GRPC_CANCELLED),
    ("deadline-exceeded", RetryOn::GRPC_DEADLINE),
    ("internal", RetryOn::GRPC_INTERNAL),
    ("resource-exhausted", RetryOn::GRPC_EXHAUSTED),
    ("unavailable", RetryOn::GRPC_UNAVAILABLE),
];

/// `retry_on` as bits; an unknown name is an error.
pub(super) fn conditions(text: &str) -> Lower<RetryOn> {
    let mut bits = 0;
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match CONDITIONS.iter().find(|(known, _)| *known == name) {
            Some((_, condition)) => bits |= condition.0,
            None => return refuse("retry_on", format!("{name} is not a condition that this proxy knows")),
        }
    }
    Ok(RetryOn(bits))
}

pub(super) fn retry_policy(mut policy: route::RetryPolicy) -> Lower<RetryPolicy> {
    let on = conditions(&std::mem::take(&mut policy.retry_on))?;
    let (base, most) = match policy.retry_back_off.take() {
        None => (Duration::from_millis(25), None),
        Some(back_off) => (
            duration_or(back_off.base_interval, Duration::from_millis(25))
                .at("retry_back_off.base_interval")?,
            back_off
                .max_interval
                .map(|value| duration(&value))
                .transpose()
                .at("retry_back_off.max_interval")?,
        ),
    };
    let mut other_host = false;
    for (index, predicate) in std::mem::take(&mut policy.retry_host_predicate).into_iter().enumerate() {
        let typed = predicate
            .config_type
            .map(|route::retry_policy::retry_host_predicate::ConfigType::TypedConfig(any)| any);
        let known =
            typed.as_ref().map_or(predicate.name == "envoy.retry_host_predicates.previous_hosts", |any| {
                type_name(&any.type_url) == PREVIOUS_HOSTS
            });
        if !known {
            return refuse(
                format!("retry_host_predicate[{index}]"),
                format!("{} is not supported", predicate.name),
            );
        }
        other_host = true;
    }
    let mut retry_other_priorities = false;
    if let Some(priority) = policy.retry_priority.take() {
        let typed =
            priority.config_type.map(|route::retry_policy::retry_priority::ConfigType::TypedConfig(any)| any);
        if typed.is_none_or(|any| type_name(&any.type_url) != PREVIOUS_PRIORITIES) {
            return refuse("retry_priority", format!("{} is not supported", priority.name));
        }
        retry_other_priorities = true;
    }
    let statuses = std::mem::take(&mut policy.retriable_status_codes);
    let lowered = RetryPolicy {
        on,
        statuses: statuses.into_iter().filter_map(|code| u16::try_from(code).ok()).collect(),
        retries: number(policy.num_retries.take(), 1),
        per_try_timeout: duration_or(policy.per_try_timeout.take(), Duration::ZERO).at("per_try_timeout")?,
        per_try_idle_timeout: duration_or(policy.per_try_idle_timeout.take(), Duration::ZERO)
            .at("per_try_idle_timeout")?,
        backoff_base: base,
        backoff_max: most.unwrap_or(base * 10),
        other_host,
        host_attempts: u32::try_from(std::mem::take(&mut policy.host_selection_retry_max_attempts))
            .unwrap_or(0)
            .max(1),
        retry_other_priorities,
    };
    done(&policy)?;
    Ok(lowered)
}
