//! The limits of the process and what is in force of them.
//!
//! In: a [`Plan`], made at the start, and how much of each resource is used, from `watch`. Out: answers for those who
//! take on work, and counters. Shared by all threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::io::Flood;

/// What is done under pressure (`envoy.overload_actions.*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// New requests are answered 503.
    StopRequests,
    /// Connections end after their current request.
    DisableKeepalive,
    /// Nothing is taken off the listening sockets.
    StopConnections,
    /// New connections are closed at once.
    RejectConnections,
}

impl Action {
    /// All of them, as they are counted.
    pub const ALL: [Action; 4] =
        [Action::StopRequests, Action::DisableKeepalive, Action::StopConnections, Action::RejectConnections];

    /// Envoy's name.
    pub fn name(self) -> &'static str {
        match self {
            Action::StopRequests => "envoy.overload_actions.stop_accepting_requests",
            Action::DisableKeepalive => "envoy.overload_actions.disable_http_keepalive",
            Action::StopConnections => "envoy.overload_actions.stop_accepting_connections",
            Action::RejectConnections => "envoy.overload_actions.reject_incoming_connections",
        }
    }
}

/// What can run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `envoy.resource_monitors.fixed_heap`: resident memory, since that is what a container is killed by.
    Memory,
    /// `envoy.resource_monitors.global_downstream_max_connections`
    Connections,
}

impl Resource {
    /// Envoy's name.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "envoy.resource_monitors.fixed_heap",
            Resource::Connections => "envoy.resource_monitors.global_downstream_max_connections",
        }
    }
}

/// An action is in force while a resource is used to at least this share of its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trigger {
    pub action: Action,
    pub resource: Resource,
    /// 0 to 1.
    pub threshold: f64,
}

/// The limits as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Connections from clients, all listeners together; none by default.
    pub connections: Option<u64>,
    /// The same for single listeners, by name (`envoy.resource_limits.listener.NAME.connection_limit`).
    pub of_listeners: BTreeMap<String, u64>,
    /// Bytes of memory that count as all.
    pub memory: Option<u64>,
    pub triggers: Vec<Trigger>,
    /// How often memory is looked at; default 1 s (`refresh_interval`).
    pub refresh: Duration,
    /// From this many streams on, a client that takes half of them back early is sent away; default 500
    /// (`overload.premature_reset_total_stream_count`).
    pub premature_streams: u32,
    /// What is early; default 1 s (`overload.premature_reset_min_stream_lifetime_seconds`).
    pub premature: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            connections: None,
            of_listeners: BTreeMap::new(),
            memory: None,
            triggers: Vec::new(),
            refresh: Duration::from_secs(1),
            premature_streams: 500,
            premature: Duration::from_secs(1),
        }
    }
}

/// The limits in force. The default has none.
#[derive(Debug, Default)]
pub struct Overload {
    plan: Plan,
    active: [AtomicBool; Action::ALL.len()],
    connections: AtomicU64,
    /// Share of the memory that is used, in percent.
    memory: AtomicU32,
    floods: [AtomicU64; Flood::ALL.len()],
    /// Requests that were refused (`downstream_rq_overload_close`).
    pub requests: AtomicU64,
    /// Connections that were ended early (`downstream_cx_overload_disable_keepalive`).
    pub keepalives: AtomicU64,
    /// Heads that took too long (`downstream_rq_header_timeout`).
    pub slow_heads: AtomicU64,
}

/// One connection's place.
#[derive(Debug)]
pub struct Seat(Option<Arc<Overload>>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(overload) = &self.0 {
            overload.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Overload {
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Overload { plan, ..Overload::default() })
    }

    /// The limits as configured.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether an action is in force.
    #[inline]
    pub fn is(&self, action: Action) -> bool {
        self.active[action as usize].load(Ordering::Relaxed)
    }

    /// A place for a connection, or `None` where the process has as many as it may. Counts only under a limit.
    pub fn enter(self: &Arc<Self>) -> Option<Seat> {
        let Some(max) = self.plan.connections else { return Some(Seat(None)) };
        let taken = self
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < max).then_some(now + 1));
        taken.is_ok().then(|| Seat(Some(self.clone())))
    }

    /// Whether a listener has more connections than it may; `now` counts the one that asks.
    pub fn crowded(&self, listener: &str, now: u64) -> bool {
        !self.plan.of_listeners.is_empty()
            && self.plan.of_listeners.get(listener).is_some_and(|limit| now > *limit)
    }

    /// One more connection that was closed for a flood.
    pub fn note_flood(&self, flood: Flood) {
        self.floods[flood.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that were closed for floods, by kind.
    pub fn floods(&self) -> impl Iterator<Item = (Flood, u64)> {
        Flood::ALL.into_iter().map(|flood| (flood, self.floods[flood.index()].load(Ordering::Relaxed)))
    }

    /// Takes stock: which actions are in force from now on.
    pub fn judge(&self, resident: u64) {
        if let Some(all) = self.plan.memory {
            let percent = u32::try_from(resident.saturating_mul(100) / all.max(1)).unwrap_or(u32::MAX);
            self.memory.store(percent, Ordering::Relaxed);
        }
        for action in Action::ALL {
            let mut triggers = self.plan.triggers.iter().filter(|trigger| trigger.action == action);
            let now = triggers.any(|trigger| self.share(trigger.resource, resident) >= trigger.threshold);
            if self.active[action as usize].swap(now, Ordering::Relaxed) != now {
                tracing::warn!(action = action.name(), active = now, resident, "overload");
            }
        }
    }

    /// Used parts of a resource, 1: all.
    fn share(&self, resource: Resource, resident: u64) -> f64 {
        let (used, all) = match resource {
            Resource::Memory => (resident, self.plan.memory),
            Resource::Connections => (self.connections.load(Ordering::Relaxed), self.plan.connections),
        };
        // Both are far below what a float cannot count.
        all.map_or(0.0, |all| used as f64 / all.max(1) as f64)
    }

    /// Resources with a limit, and the percentage of it that is used.
    pub fn pressures(&self) -> Vec<(Resource, u64)> {
        let mut all = Vec::new();
        if self.plan.memory.is_some() {
            all.push((Resource::Memory, u64::from(self.memory.load(Ordering::Relaxed))));
        }
        if let Some(max) = self.plan.connections {
            let used = self.connections.load(Ordering::Relaxed);
            all.push((Resource::Connections, used.saturating_mul(100) / max.max(1)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_exactly() {
        let overload = Overload::new(Plan { connections: Some(2), ..Plan::default() });
        let first = overload.enter().expect("the first");
        let _second = overload.enter().expect("the second");
        assert!(overload.enter().is_none());
        assert_eq!(overload.pressures(), [(Resource::Connections, 100)]);
        drop(first);
        assert!(overload.enter().is_some());
    }

    #[test]
    fn actions_follow_their_triggers() {
        let trigger = |action, threshold| Trigger { action, resource: Resource::Memory, threshold };
        let overload = Overload::new(Plan {
            memory: Some(1000),
            triggers: vec![trigger(Action::DisableKeepalive, 0.8), trigger(Action::StopRequests, 0.95)],
            ..Plan::default()
        });
        for (resident, keepalive, requests) in
            [(0, false, false), (800, true, false), (950, true, true), (799, false, false)]
        {
            overload.judge(resident);
            let found = (overload.is(Action::DisableKeepalive), overload.is(Action::StopRequests));
            assert_eq!(found, (keepalive, requests), "{resident}");
            assert_eq!(overload.pressures(), [(Resource::Memory, resident / 10)]);
        }
        assert!(!overload.is(Action::StopConnections));
    }

    #[test]
    fn single_listeners_have_limits() {
        let of_listeners = BTreeMap::from([("in".to_owned(), 1)]);
        let overload = Overload::new(Plan { of_listeners, ..Plan::default() });
        assert!(!overload.crowded("in", 1) && overload.crowded("in", 2) && !overload.crowded("out", 9));
    }
}
