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
        let max = max.load(Ordering::Relaxed);
        if max == u32::MAX {
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

    /// Takes the maxima of a new version; what is held stays held.
    pub fn adopt(&self, max: [u32; 4]) {
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
        limits.adopt([1, 1, 2, 3]);
        let one = limits.acquire(Limit::Requests).expect("of two");
        let _two = limits.acquire(Limit::Requests).expect("of two");
        assert!(limits.acquire(Limit::Requests).is_none());
        assert_eq!(limits.overflow_pending.load(Ordering::Relaxed), 1);
        drop(one);
        assert!(limits.acquire(Limit::Requests).is_some());
    }

    #[test]
    fn each_worker_may_hold_one_connection() {
        let limits = Arc::new(Limits::default());
        limits.adopt([1, u32::MAX, u32::MAX, u32::MAX]);
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
        limits.adopt([9, 9, 9, 9]);
        drop(before);
        assert_eq!(limits.pending.load(Ordering::Relaxed), 0);
    }
}
