//! The retry policy of a route.
//!
//! In: the model's retries, or none. Out: Envoy's policy with Istio's defaults (two attempts on what is safe to
//! repeat). Called by `action` and `config`.

use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

use crate::model::routes::route::Retries;
use crate::xds::proto::{any, duration, uint32};

/// Conditions where nothing is said.
const DEFAULT_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
/// Conditions towards the application behind a sidecar.
const INBOUND_ON: &str = "reset-before-request";

/// The mesh's default where a rule says nothing.
pub(super) fn default_retries() -> Retries {
    Retries {
        attempts: 2,
        per_try_timeout: None,
        on: DEFAULT_ON.to_owned(),
        codes: Vec::new(),
        backoff: None,
        remote_localities: false,
        ignore_previous_hosts: true,
    }
}

/// None where retries are off. With consistent hashing the same host is meant, so it is not avoided.
pub(super) fn policy(retries: &Retries, hashed: bool) -> Option<RetryPolicy> {
    if retries.attempts == 0 {
        return None;
    }
    let mut policy = RetryPolicy {
        retry_on: if retries.on.is_empty() { DEFAULT_ON.to_owned() } else { retries.on.clone() },
        num_retries: Some(uint32(retries.attempts)),
        per_try_timeout: retries.per_try_timeout.map(duration),
        retriable_status_codes: retries.codes.clone(),
        retry_back_off: retries.backoff.map(|base| RetryBackOff {
            base_interval: Some(duration(base)),
            max_interval: Some(duration(base * 10)),
        }),
        ..Default::default()
    };
    if retries.ignore_previous_hosts && !hashed {
        policy.retry_host_predicate.push(RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(&PreviousHostsPredicate {}))),
        });
        policy.host_selection_retry_max_attempts = 5;
    }
    if retries.remote_localities {
        policy.retry_priority = Some(RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".to_owned(),
            config_type: Some(retry_priority::ConfigType::TypedConfig(any(&PreviousPrioritiesConfig {
                update_frequency: 2,
            }))),
        });
    }
    Some(policy)
}

/// Retries towards the application: only where nothing of the request has been sent.
pub(super) fn inbound() -> RetryPolicy {
    RetryPolicy { retry_on: INBOUND_ON.to_owned(), num_retries: Some(uint32(2)), ..Default::default() }
}
