//! Wakes who waits for a moment, to within some 50 microseconds: the timers of the runtime count milliseconds, which is
//! more than a request takes.
//!
//! In: moments, in the order in which they come. Out: a wake-up at each. One thread that sleeps by the kernel's clock.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// See above. The thread ends with it.
pub(super) struct Pacer {
    queue: mpsc::Sender<(std::time::Instant, oneshot::Sender<()>)>,
}

impl Pacer {
    pub(super) fn start() -> std::io::Result<Self> {
        let (queue, moments) = mpsc::channel::<(std::time::Instant, oneshot::Sender<()>)>();
        thread::Builder::new().name("pacer".into()).spawn(move || {
            for (due, waiter) in moments {
                thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
                // Who gave up does not mind.
                waiter.send(()).ok();
            }
        })?;
        Ok(Pacer { queue })
    }

    /// Waits until `due`. Calls must come in the order of their moments.
    pub(super) async fn wait(&self, due: Instant) {
        if due <= Instant::now() {
            return;
        }
        let (waiter, woken) = oneshot::channel();
        let queued = self.queue.send((due.into_std(), waiter));
        if queued.is_err() || woken.await.is_err() {
            tokio::time::sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn nobody_is_woken_early() {
        let pacer = Pacer::start().unwrap();
        let start = Instant::now();
        for n in 1..=5 {
            let due = start + Duration::from_micros(700 * n);
            pacer.wait(due).await;
            assert!(Instant::now() >= due);
        }
        pacer.wait(start).await;
    }
}
