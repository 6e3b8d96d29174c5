//! Circuit breakers: how many connections, waiting requests, requests and retries a cluster may have at once.
//!
//! The limits hold for the process. They are touched only where one is set, so an unlimited cluster costs one
//! relaxed read. A permit gives its place back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Limits;

/// What is limited (`CircuitBreakers.Thresholds`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    Connections,
    Pending,
    Requests,
    Retries,
}

/// One place under a limit.
#[derive(Debug)]
pub struct Permit {
    /// `None`: the limit was not set, nothing was counted.
    held: Option<(Arc<Limits>, Limit)>,
}

impl Default for Limits {
    /// Without any limit.
    fn default() -> Self {
        let none = || AtomicU32::new(u32::MAX);
        Limits {
            max_connections: none(),
            max_pending: none(),
            max_requests: none(),
            max_retries: none(),
            budget: none(),
            budget_min: AtomicU32::default(),
            connections: AtomicU32::default(),
            pending: AtomicU32::default(),
            requests: AtomicU32::default(),
            retries: AtomicU32::default(),
            overflow_connections: Default::default(),
            overflow_pending: Default::default(),
            overflow_retries: Default::default(),
        }
    }
}

impl Limits {
    /// A place, or `None` where the limit is reached; a refusal is counted.
    pub fn acquire(self: &Arc<Self>, limit: Limit) -> Option<Permit> {
        let (max, now) = self.gauge(limit);
        let mut max = max.load(Ordering::Relaxed);
        let budget = self.budget.load(Ordering::Relaxed);
        if budget != u32::MAX && limit == Limit::Retries {
            // A budget takes the place of the fixed limit.
            let active = u64::from(self.requests.load(Ordering::Relaxed))
                + u64::from(self.pending.load(Ordering::Relaxed));
            let share = u32::try_from(active * u64::from(budget) / 10_000).unwrap_or(u32::MAX - 1);
            max = share.max(self.budget_min.load(Ordering::Relaxed)).min(u32::MAX - 1);
        }
        // Under a budget active requests are counted even where they are not limited.
        if max == u32::MAX && (budget == u32::MAX || limit != Limit::Requests) {
            return Some(Permit { held: None });
        }
        let taken =
            now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < max).then_some(now + 1));
        if taken.is_err() {
            match limit {
                Limit::Connections => &self.overflow_connections,
                Limit::Pending | Limit::Requests => &self.overflow_pending,
                Limit::Retries => &self.overflow_retries,
            }
            .fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { held: Some((self.clone(), limit)) })
    }

    /// A place for a connection. A worker that holds none to this cluster always gets one, so that a low limit
    /// starves no worker; the connection counts all the same.
    pub fn acquire_connection(self: &Arc<Self>, held_by_worker: usize) -> Option<Permit> {
        if held_by_worker > 0 {
            return self.acquire(Limit::Connections);
        }
        if self.max_connections.load(Ordering::Relaxed) == u32::MAX {
            return Some(Permit { held: None });
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        Some(Permit { held: Some((self.clone(), Limit::Connections)) })
    }

    /// Takes the maxima of a new version; what is held stays held. `budget`: parts of 10 000, and the least number.
    pub fn adopt(&self, max: [u32; 4], budget: Option<(u32, u32)>) {
        let (parts, least) = budget.unwrap_or((u32::MAX, 0));
        self.budget.store(parts, Ordering::Relaxed);
        self.budget_min.store(least, Ordering::Relaxed);
        let limits = [Limit::Connections, Limit::Pending, Limit::Requests, Limit::Retries];
        for (limit, max) in limits.into_iter().zip(max) {
            self.gauge(limit).0.store(max, Ordering::Relaxed);
        }
    }

    fn gauge(&self, limit: Limit) -> (&AtomicU32, &AtomicU32) {
        match limit {
            Limit::Connections => (&self.max_connections, &self.connections),
            Limit::Pending => (&self.max_pending, &self.pending),
            Limit::Requests => (&self.max_requests, &self.requests),
            Limit::Retries => (&self.max_retries, &self.retries),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((limits, limit)) = self.held.take() {
            limits.gauge(limit).1.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let limits = Arc::new(Limits::default());
        assert!(limits.acquire(Limit::Requests).is_some());
        assert_eq!(limits.requests.load(Ordering::Relaxed), 0, "unlimited is not counted");
        limits.adopt([1, 1, 2, 3], None);
        let one = limits.acquire(Limit::Requests).expect("of two");
        let _two = limits.acquire(Limit::Requests).expect("of two");
        assert!(limits.acquire(Limit::Requests).is_none());
        assert_eq!(limits.overflow_pending.load(Ordering::Relaxed), 1);
        drop(one);
        assert!(limits.acquire(Limit::Requests).is_some());
    }

    #[test]
    fn a_budget_follows_the_active_requests() {
        let limits = Arc::new(Limits::default());
        limits.adopt([u32::MAX, u32::MAX, u32::MAX, 1], Some((2_000, 3)));
        let few: Vec<_> = (0..5).filter_map(|_| limits.acquire(Limit::Retries)).collect();
        assert_eq!(few.len(), 3, "the least number, not the fixed limit");
        let _active: Vec<_> = (0..20).map(|_| limits.acquire(Limit::Requests)).collect();
        assert!(limits.acquire(Limit::Retries).is_some(), "a fifth of twenty is four");
    }

    #[test]
    fn each_worker_may_hold_one_connection() {
        let limits = Arc::new(Limits::default());
        limits.adopt([1, u32::MAX, u32::MAX, u32::MAX], None);
        let first = limits.acquire_connection(0).expect("the first worker's");
        assert!(limits.acquire_connection(1).is_none());
        let second = limits.acquire_connection(0).expect("the second worker's");
        assert_eq!(limits.connections.load(Ordering::Relaxed), 2);
        drop((first, second));
        assert_eq!(limits.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_limit_set_while_places_are_out_counts_no_place_twice() {
        let limits = Arc::new(Limits::default());
        let before = limits.acquire(Limit::Pending);
        limits.adopt([9, 9, 9, 9], None);
        drop(before);
        assert_eq!(limits.pending.load(Ordering::Relaxed), 0);
    }
}
