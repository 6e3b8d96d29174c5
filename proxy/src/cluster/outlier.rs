//! Outlier detection: endpoints that fail several times in a row are left out for a while.
//!
//! In: the outcome of each attempt, from the worker that made it, with the process clock. Out: `ejected_until` of
//! the endpoint, which the balancer honours. No timer: an endpoint returns when its time has passed. Counters are
//! written on a failure, and on a success only to reset one that is not zero.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{EndpointState, Outliers};

/// How one attempt at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered with this status.
    Status(u16),
    /// Connect failed, timed out, or the connection broke before an answer: counted as locally originated where
    /// these are split, else as 503 (or 504 for a timeout).
    LocalFailure { timeout: bool },
    /// A TCP connection was made.
    Connected,
}

/// Settings (`OutlierDetection`); enforcing percentages of 0 switch a kind off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierSettings {
    /// 0 off. Default 5.
    pub consecutive_5xx: u32,
    /// 0 off. Default 5, enforced 0 %.
    pub consecutive_gateway: u32,
    /// 0 off. Default 5; only with `split`.
    pub consecutive_local: u32,
    /// Parts of 100 of detected endpoints that are really ejected, in the order above.
    pub enforcing: [u32; 3],
    /// How long until an ejected endpoint's past is forgotten a step. Default 10 s.
    pub interval: Duration,
    /// Times the number of ejections. Default 30 s.
    pub base_ejection: Duration,
    /// Longest ejection. Default 300 s, at least `base_ejection`.
    pub max_ejection: Duration,
    /// Most endpoints ejected at once. Default 10.
    pub max_ejection_percent: u32,
    /// One endpoint may be ejected whatever the percentage.
    pub always_one: bool,
    /// `split_external_local_origin_errors`
    pub split: bool,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        OutlierSettings {
            consecutive_5xx: 5,
            consecutive_gateway: 5,
            consecutive_local: 5,
            enforcing: [100, 0, 100],
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejection_percent: 10,
            always_one: false,
            split: false,
        }
    }
}

impl Outliers {
    /// Takes the settings of a new version of the cluster; counters and ejections stay. `None` switches it off and
    /// lets every endpoint back.
    pub fn adopt(&self, settings: Option<OutlierSettings>) {
        self.on.store(settings.is_some(), Ordering::Relaxed);
        if let Some(settings) = settings {
            *self.settings.write() = settings;
        }
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Tells the outcome of one attempt. `now`: milliseconds of the process clock. `dice`: 0..100.
    /// Returns true when the endpoint was ejected by this.
    pub fn report(&self, state: &EndpointState, outcome: Outcome, now: u64, dice: u32) -> bool {
        if !self.on.load(Ordering::Relaxed) {
            return false;
        }
        let status = match outcome {
            Outcome::Status(status) if status < 500 => return reset(state),
            Outcome::Status(status) => status,
            Outcome::Connected => {
                zero(&state.consecutive_local);
                if !self.settings.read().split {
                    reset(state);
                }
                return false;
            }
            Outcome::LocalFailure { timeout } => {
                if self.settings.read().split {
                    return self.count(state, &[(2, &state.consecutive_local)], now, dice);
                }
                if timeout { 504 } else { 503 }
            }
        };
        let external = [(0, &state.consecutive_5xx), (1, &state.consecutive_gateway)];
        match (502..=504).contains(&status) {
            true => self.count(state, &external, now, dice),
            false => {
                zero(&state.consecutive_gateway);
                self.count(state, &external[..1], now, dice)
            }
        }
    }

    fn count(&self, state: &EndpointState, counters: &[(usize, &AtomicU32)], now: u64, dice: u32) -> bool {
        let settings = self.settings.read();
        let limits = [settings.consecutive_5xx, settings.consecutive_gateway, settings.consecutive_local];
        let mut due = false;
        for (kind, counter) in counters {
            let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
            if limits[*kind] > 0 && count >= limits[*kind] {
                zero(counter);
                due |= dice < settings.enforcing[*kind];
            }
        }
        due && self.eject(state, &settings, now)
    }

    fn eject(&self, state: &EndpointState, settings: &OutlierSettings, now: u64) -> bool {
        if state.ejected_until.load(Ordering::Relaxed) > now {
            return false;
        }
        let ejected = self.ejected.load(Ordering::Relaxed);
        let members = self.members.load(Ordering::Relaxed).max(1);
        let share = (u64::from(ejected) + 1) * 100;
        let allowed = share <= u64::from(settings.max_ejection_percent) * u64::from(members);
        if !(allowed || (settings.always_one && ejected == 0)) {
            return false;
        }
        let interval = u64::try_from(settings.interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let healthy = now.saturating_sub(state.returned.load(Ordering::Relaxed)) / interval;
        let before = u64::from(state.ejections.load(Ordering::Relaxed)).saturating_sub(healthy);
        let times = u32::try_from(before + 1).unwrap_or(u32::MAX);
        let longest = settings.max_ejection.max(settings.base_ejection);
        let length = settings.base_ejection.saturating_mul(times).min(longest);
        let until = now.saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)).max(1);
        state.ejections.store(times, Ordering::Relaxed);
        state.ejected_until.store(until, Ordering::Relaxed);
        self.ejected.fetch_add(1, Ordering::Relaxed);
        self.ejections_total.fetch_add(1, Ordering::Relaxed);
        let earlier = |next: u64| (next == 0 || until < next).then_some(until);
        // The result only says whether another endpoint returns before this one.
        self.next_return.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier).ok();
        self.epoch.fetch_add(1, Ordering::Release);
        true
    }

    /// Lets back whose time has passed. Called with all endpoints' states by whoever sees `next_return` pass.
    pub fn let_back<'a>(&self, states: impl Iterator<Item = &'a EndpointState>, now: u64) {
        let (mut next, mut ejected) = (0, 0);
        for state in states {
            let until = state.ejected_until.load(Ordering::Relaxed);
            if until == 0 {
                continue;
            }
            if until > now {
                ejected += 1;
                next = if next == 0 { until } else { until.min(next) };
            } else if state
                .ejected_until
                .compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                state.returned.store(now, Ordering::Relaxed);
                reset(state);
            }
        }
        self.ejected.store(ejected, Ordering::Relaxed);
        self.next_return.store(next, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

impl EndpointState {
    /// True while it is left out.
    pub fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > now
    }
}

fn reset(state: &EndpointState) -> bool {
    zero(&state.consecutive_5xx);
    zero(&state.consecutive_gateway);
    zero(&state.consecutive_local);
    false
}

/// Writes only where there is something to write: successes must not share a cache line for nothing.
fn zero(counter: &AtomicU32) {
    if counter.load(Ordering::Relaxed) != 0 {
        counter.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outliers(settings: OutlierSettings, members: u32) -> Outliers {
        let outliers = Outliers::default();
        outliers.adopt(Some(settings));
        outliers.members.store(members, Ordering::Relaxed);
        outliers
    }

    fn fail(outliers: &Outliers, state: &EndpointState, status: u16, times: u32, now: u64) -> bool {
        (0..times).any(|_| outliers.report(state, Outcome::Status(status), now, 0))
    }

    #[test]
    fn five_in_a_row() {
        let outliers = outliers(OutlierSettings { max_ejection_percent: 100, ..Default::default() }, 3);
        let state = EndpointState::default();
        assert!(!fail(&outliers, &state, 500, 4, 1000));
        outliers.report(&state, Outcome::Status(200), 1000, 0);
        assert!(!fail(&outliers, &state, 500, 4, 1000));
        assert!(fail(&outliers, &state, 500, 1, 1000));
        assert_eq!(state.ejected_until.load(Ordering::Relaxed), 31_000);
        outliers.let_back([&state].into_iter(), 31_000);
        assert!(!state.is_ejected(31_000));
        assert!(fail(&outliers, &state, 503, 5, 31_500), "again, for twice as long");
        assert_eq!(state.ejected_until.load(Ordering::Relaxed), 91_500);
        outliers.let_back([&state].into_iter(), 92_000);
        assert!(fail(&outliers, &state, 503, 5, 192_000), "after ten good intervals it is as new");
        assert_eq!(state.ejected_until.load(Ordering::Relaxed), 222_000);
    }

    #[test]
    fn percentage() {
        let outliers = outliers(OutlierSettings { max_ejection_percent: 50, ..Default::default() }, 3);
        let states: [EndpointState; 3] = Default::default();
        assert!(fail(&outliers, &states[0], 500, 5, 1));
        assert!(!fail(&outliers, &states[1], 500, 50, 1));
        let few = super::tests::outliers(OutlierSettings::default(), 2);
        assert!(!fail(&few, &states[1], 500, 5, 1), "10 % of two is none");
        few.adopt(Some(OutlierSettings { always_one: true, ..Default::default() }));
        assert!(fail(&few, &states[2], 500, 5, 1));
    }

    #[test]
    fn gateway_and_local_failures() {
        let settings = OutlierSettings {
            consecutive_5xx: 0,
            consecutive_gateway: 2,
            enforcing: [100; 3],
            max_ejection_percent: 100,
            ..Default::default()
        };
        let both = outliers(settings.clone(), 2);
        let state = EndpointState::default();
        both.report(&state, Outcome::Status(503), 1, 0);
        both.report(&state, Outcome::Status(500), 1, 0);
        assert!(!both.report(&state, Outcome::Status(502), 1, 0), "500 broke the row");
        assert!(both.report(&state, Outcome::LocalFailure { timeout: true }, 1, 0));
        let split = outliers(OutlierSettings { split: true, consecutive_local: 3, ..settings }, 2);
        let state = EndpointState::default();
        let local = || split.report(&state, Outcome::LocalFailure { timeout: false }, 1, 0);
        assert!(!local() && !local());
        split.report(&state, Outcome::Connected, 1, 0);
        assert!(!local() && !local());
        assert!(local());
    }
}
