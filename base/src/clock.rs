//! What time it is, so that a test may say so.
//!
//! In: nothing. Out: wall time (for certificates and logs), monotonic time, sleep. [`Real`] asks the system,
//! [`Manual`] stands still until it is advanced. Taken by everything whose decisions depend on the date.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

/// A boxed sleep.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Source of time.
pub trait Clock: Send + Sync {
    /// Wall time.
    fn now(&self) -> SystemTime;
    /// Time since some fixed moment; never goes back.
    fn since_start(&self) -> Duration;
    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The system's time.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    start: tokio::time::Instant,
}

impl Real {
    /// The system's clock, counting from now.
    pub fn new() -> Self {
        Real { start: tokio::time::Instant::now() }
    }

    /// As a shared trait object.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Real::new())
    }
}

impl Default for Real {
    fn default() -> Self {
        Real::new()
    }
}

impl Clock for Real {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn since_start(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that a test moves. Clones are the same clock.
#[derive(Clone)]
pub struct Manual {
    origin: SystemTime,
    elapsed: watch::Sender<Duration>,
}

impl Manual {
    /// A clock that stands at `origin`.
    pub fn at(origin: SystemTime) -> Self {
        Manual { origin, elapsed: watch::Sender::new(Duration::ZERO) }
    }

    /// Moves time forward and wakes the sleepers that are due.
    pub fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += by);
    }
}

impl Clock for Manual {
    fn now(&self) -> SystemTime {
        self.origin + *self.elapsed.borrow()
    }

    fn since_start(&self) -> Duration {
        *self.elapsed.borrow()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let due = *self.elapsed.borrow() + duration;
        let mut elapsed = self.elapsed.subscribe();
        Box::pin(async move {
            if elapsed.wait_for(|elapsed| *elapsed >= due).await.is_err() {
                // The clock is gone, so its time will never come.
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn manual_time_moves_only_when_told() {
        let clock = Manual::at(SystemTime::UNIX_EPOCH);
        let sleep = clock.sleep(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(9));
        let other = clock.clone();
        let task = tokio::spawn(async move { other.advance(Duration::from_secs(1)) });
        sleep.await;
        task.await.unwrap();
        assert_eq!(clock.since_start(), Duration::from_secs(10));
    }
}
