//! Ending a program in two steps: gracefully, then at once.
//!
//! In: the holder of the [`Trigger`] starts the drain. Out: every [`Watch`] hears `graceful` (finish what you
//! have, take nothing new, be done before the deadline), later `immediate`. Watches are counted: the drain is
//! complete when all of them are dropped. Used by every listener and long task of every program.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Graceful(Instant),
    Immediate,
}

/// Starts the drain and waits for its end.
pub struct Trigger {
    phase: watch::Sender<Phase>,
}

/// Held by whoever must finish before the program ends. Clone one per connection or task.
#[derive(Clone)]
pub struct Watch {
    phase: watch::Receiver<Phase>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every watcher was gone before the deadline.
    Complete,
    /// Some watchers only went after `immediate`.
    Forced,
    /// This many watchers ignored `immediate` for a second.
    Stuck(usize),
}

/// A connected trigger and watch.
pub fn pair() -> (Trigger, Watch) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (Trigger { phase: sender }, Watch { phase: receiver })
}

impl Trigger {
    /// Another watch of the same drain.
    pub fn watch(&self) -> Watch {
        Watch { phase: self.phase.subscribe() }
    }

    /// Watchers that are alive now.
    pub fn watchers(&self) -> usize {
        self.phase.receiver_count()
    }

    /// Announces the drain and returns at once; [`Trigger::drain`] finishes it.
    pub fn start(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.phase.send_if_modified(|phase| {
            let fresh = *phase == Phase::Running;
            if fresh {
                *phase = Phase::Graceful(deadline);
            }
            fresh
        });
    }

    /// Ends all watchers now.
    pub fn immediate(&self) {
        self.phase.send_replace(Phase::Immediate);
    }

    /// Announces the drain, waits up to `grace`, then ends what is left.
    pub async fn drain(self, grace: Duration) -> Outcome {
        self.start(grace);
        if tokio::time::timeout(grace, self.phase.closed()).await.is_ok() {
            return Outcome::Complete;
        }
        self.immediate();
        match tokio::time::timeout(Duration::from_secs(1), self.phase.closed()).await {
            Ok(()) => Outcome::Forced,
            Err(_) => Outcome::Stuck(self.phase.receiver_count()),
        }
    }
}

impl Watch {
    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    /// Whether anything was announced since this watch was made: one atomic read, for paths that ask often.
    /// Waiting on this watch resets it, so keep one for asking and another for waiting.
    pub fn is_announced(&self) -> bool {
        self.phase.has_changed().unwrap_or(true)
    }

    /// The moment by which a graceful end must be done; `None` while running, now when immediate.
    pub fn deadline(&self) -> Option<Instant> {
        match *self.phase.borrow() {
            Phase::Running => None,
            Phase::Graceful(at) => Some(at),
            Phase::Immediate => Some(Instant::now()),
        }
    }

    /// Resolves when the drain begins (also if it is immediate, or the trigger is gone).
    pub async fn graceful(&mut self) {
        // An error means that the trigger was dropped: nobody can drain us any more, so end.
        drop(self.phase.wait_for(|phase| *phase != Phase::Running).await);
    }

    /// Resolves when work must end now.
    pub async fn immediate(&mut self) {
        drop(self.phase.wait_for(|phase| *phase == Phase::Immediate).await);
    }

    /// Runs `work` until it ends or must end now; `None` if it was cut off.
    pub async fn run<F: Future>(mut self, work: F) -> Option<F::Output> {
        tokio::select! {
            out = work => Some(out),
            () = self.immediate() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn completes_when_all_watchers_are_gone() {
        let (trigger, mut watch) = pair();
        let mut second = trigger.watch();
        let asks = watch.clone();
        assert!(!watch.is_draining() && !asks.is_announced());
        trigger.start(Duration::from_secs(60));
        assert!(asks.is_announced());
        drop(asks);
        assert_eq!(trigger.watchers(), 2);
        tokio::spawn(async move {
            watch.graceful().await;
            assert!(watch.deadline().is_some());
        });
        tokio::spawn(async move { second.graceful().await });
        assert_eq!(trigger.drain(Duration::from_secs(60)).await, Outcome::Complete);
    }

    #[tokio::test]
    async fn the_deadline_forces_and_reports() {
        let (trigger, watch) = pair();
        let work = tokio::spawn(watch.run(std::future::pending::<()>()));
        assert_eq!(trigger.drain(Duration::from_millis(5)).await, Outcome::Forced);
        assert_eq!(work.await.unwrap(), None);

        let (trigger, watch) = pair();
        assert_eq!(trigger.drain(Duration::from_millis(5)).await, Outcome::Stuck(1));
        drop(watch);
    }

    #[tokio::test]
    async fn a_lost_trigger_ends_the_watchers() {
        let (trigger, mut watch) = pair();
        drop(trigger);
        watch.graceful().await;
        watch.immediate().await;
    }
}
