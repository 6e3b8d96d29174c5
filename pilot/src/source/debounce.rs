//! When a change goes out. After a quiet time the first change goes out at once; only a burst waits: until it has
//! been quiet for `quiet`, at the latest `max` after the first change that waits. Pure: times in, times out.

use std::time::Duration;

use tokio::time::Instant;

/// State of the lane.
#[derive(Debug)]
pub struct Debounce {
    quiet: Duration,
    max: Duration,
    /// When something went out last.
    fired: Option<Instant>,
    /// First and last change that wait.
    waiting: Option<(Instant, Instant)>,
}

impl Debounce {
    /// A lane; Istio's defaults are 100 ms (`PILOT_DEBOUNCE_AFTER`) and, at most, 10 s (`PILOT_DEBOUNCE_MAX`; we: 1 s).
    pub fn new(quiet: Duration, max: Duration) -> Self {
        Self { quiet, max, fired: None, waiting: None }
    }

    /// Something changed at `now`.
    pub fn changed(&mut self, now: Instant) {
        let first = self.waiting.map_or(now, |(first, _)| first);
        self.waiting = Some((first, now));
    }

    /// When it goes out: `None` while nothing waits; a time that is not after now means now.
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = self.waiting?;
        let quiet_before =
            self.fired.is_none_or(|fired| first.saturating_duration_since(fired) >= self.quiet);
        if quiet_before && first == last {
            return Some(first);
        }
        Some((last + self.quiet).min(first + self.max))
    }

    /// When the first change came that waits.
    pub fn waits_since(&self) -> Option<Instant> {
        self.waiting.map(|(first, _)| first)
    }

    /// It went out at `now`.
    pub fn fired(&mut self, now: Instant) {
        self.fired = Some(now);
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> (Debounce, Instant) {
        (Debounce::new(Duration::from_millis(100), Duration::from_secs(1)), Instant::now())
    }

    #[test]
    fn the_first_change_goes_out_at_once() {
        let (mut lane, start) = lane();
        assert_eq!(lane.due(), None);
        lane.changed(start);
        assert_eq!(lane.due(), Some(start));
        lane.fired(start);
        let later = start + Duration::from_millis(150);
        lane.changed(later);
        assert_eq!(lane.due(), Some(later), "quiet before: at once again");
    }

    #[test]
    fn a_burst_waits_until_it_is_quiet_but_not_for_ever() {
        let (mut lane, start) = lane();
        lane.changed(start);
        lane.fired(start);
        let first = start + Duration::from_millis(10);
        lane.changed(first);
        assert_eq!(lane.due(), Some(first + Duration::from_millis(100)));
        let mut now = first;
        for _ in 0..30 {
            now += Duration::from_millis(50);
            lane.changed(now);
        }
        assert_eq!(lane.due(), Some(first + Duration::from_secs(1)));
    }
}
