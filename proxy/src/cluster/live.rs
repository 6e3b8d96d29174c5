//! State that outlives a version of a cluster. Shared by all workers; atomics only.
//!
//! In: what workers count and what the store adopts. Out: the same numbers, for every version of the cluster. Held by
//! `config::Cluster` behind `Arc`s that the store hands on.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use super::OutlierSettings;

/// Limits of one cluster for the whole process (circuit breakers, default priority).
#[derive(Debug)]
pub struct Limits {
    /// Maximum, `u32::MAX` for none; changed in place by a new version of the cluster.
    pub max_connections: AtomicU32,
    pub max_pending: AtomicU32,
    pub max_requests: AtomicU32,
    pub max_retries: AtomicU32,
    /// `retry_budget`: parts of 10 000 of the active requests that may be retries; `u32::MAX` for no budget.
    pub budget: AtomicU32,
    /// Retries that are always allowed under a budget.
    pub budget_min: AtomicU32,
    pub connections: AtomicU32,
    pub pending: AtomicU32,
    pub requests: AtomicU32,
    pub retries: AtomicU32,
    /// Counts of refusals, for `upstream_cx_overflow`, `upstream_rq_pending_overflow`, `upstream_rq_retry_overflow`.
    pub overflow_connections: AtomicU64,
    pub overflow_pending: AtomicU64,
    pub overflow_retries: AtomicU64,
}

/// Outlier detection of one cluster: settings and counters of ejected endpoints.
#[derive(Debug, Default)]
pub struct Outliers {
    /// False: nothing is counted. Read per response; the settings only after a failure.
    pub on: AtomicBool,
    pub settings: parking_lot::RwLock<OutlierSettings>,
    /// Endpoints in the cluster now, for `max_ejection_percent`.
    pub members: AtomicU32,
    pub ejected: AtomicU32,
    pub ejections_total: AtomicU64,
    /// Grows with each ejection and return, so that workers notice.
    pub epoch: AtomicU64,
    /// Process clock, milliseconds, at which the next ejected endpoint returns; 0: none is ejected.
    pub next_return: AtomicU64,
}

/// State of one endpoint address, for the process.
#[derive(Debug, Default)]
pub struct EndpointState {
    /// Milliseconds of the process clock at which a worker first saw it; 0: not yet. For slow start.
    pub since: AtomicU64,
    /// Requests in flight, for least request.
    pub active: AtomicU32,
    /// Open connections.
    pub connections: AtomicU32,
    /// Milliseconds of the process clock until which it is ejected; 0: not ejected.
    pub ejected_until: AtomicU64,
    /// How often it was ejected, less one for each healthy interval since: multiplies the ejection time.
    pub ejections: AtomicU32,
    /// Milliseconds of the process clock at which it last returned.
    pub returned: AtomicU64,
    pub consecutive_5xx: AtomicU32,
    pub consecutive_gateway: AtomicU32,
    pub consecutive_local: AtomicU32,
    pub requests_total: AtomicU64,
    pub errors_total: AtomicU64,
    pub connections_total: AtomicU64,
    pub connect_failures: AtomicU64,
}
