//! How long to wait before the next attempt.
//!
//! In: the number of failures so far and a random number. Out: a duration that doubles up to a limit, with
//! jitter, so that clients of a restarted server do not come back in step. [`Backoff::delay`] is pure;
//! [`Attempts`] counts for a loop.

use std::time::Duration;

/// The shape of the waiting times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub base: Duration,
    /// No delay is longer (before jitter).
    pub max: Duration,
    /// Part of the delay that is random, 0 to 1: 0.5 means between half and all of it.
    pub jitter: f64,
}

impl Default for Backoff {
    /// 100 ms, doubling up to 10 s, half of it random.
    fn default() -> Self {
        Backoff { base: Duration::from_millis(100), max: Duration::from_secs(10), jitter: 0.5 }
    }
}

impl Backoff {
    /// Delay before the attempt that follows `failures` failures (at least one); `random` is in 0..1.
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0))
    }
}

/// Counts the failures of one loop.
#[derive(Clone, Debug)]
pub struct Attempts {
    backoff: Backoff,
    failures: u32,
}

impl Attempts {
    /// No failure yet.
    pub fn new(backoff: Backoff) -> Self {
        Attempts { backoff, failures: 0 }
    }

    /// One more failure: how long to wait.
    pub fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.delay(self.failures, rand::random::<f64>())
    }

    /// It worked: the next failure waits the base again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit() {
        let b = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(55), jitter: 0.0 };
        let ms: Vec<u128> = (1..6).map(|n| b.delay(n, 0.3).as_millis()).collect();
        assert_eq!(ms, [10, 20, 40, 55, 55]);
        assert_eq!(b.delay(u32::MAX, 0.0), b.max);
    }

    #[test]
    fn jitter_shortens_only() {
        let b = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1), jitter: 0.5 };
        assert_eq!(b.delay(1, 0.0), Duration::from_millis(100));
        assert_eq!(b.delay(1, 1.0), Duration::from_millis(50));
    }

    #[test]
    fn success_starts_over() {
        let mut attempts = Attempts::new(Backoff { jitter: 0.0, ..Backoff::default() });
        attempts.failed();
        assert_eq!(attempts.failed(), Duration::from_millis(200));
        attempts.succeeded();
        assert_eq!(attempts.failed(), Duration::from_millis(100));
        assert_eq!(attempts.failures(), 1);
    }
}
