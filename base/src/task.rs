//! Tasks with names.
//!
//! In: a name and a future. Out: a handle; the task is counted while it lives, so a test can end by asserting
//! that nothing is left ([`live`], [`names`]), and a panic is logged under the task's name instead of vanishing.
//! A [`Group`] ties tasks together: the first one that fails (or panics) ends the others.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};

static LIVE: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());

/// Counts as one live task until dropped. For code that spawns by other means.
pub struct Live(&'static str);

impl Live {
    /// Counts one more task of this name.
    pub fn new(name: &'static str) -> Self {
        *LIVE.lock().entry(name).or_default() += 1;
        Live(name)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut live = LIVE.lock();
        if let Some(count) = live.get_mut(self.0) {
            *count -= 1;
            if *count == 0 {
                live.remove(self.0);
            }
        }
    }
}

/// Number of named tasks that are alive in this process.
pub fn live() -> usize {
    LIVE.lock().values().sum()
}

/// The live tasks by name.
pub fn names() -> BTreeMap<&'static str, usize> {
    LIVE.lock().clone()
}

/// Waits until no task of one of these names is alive; the names that remain after `limit` are the error.
pub async fn settled(names: &[&str], limit: std::time::Duration) -> Result<(), Vec<String>> {
    let end = tokio::time::Instant::now() + limit;
    loop {
        let left: Vec<String> = self::names()
            .into_iter()
            .filter(|(name, _)| names.contains(name))
            .map(|(name, count)| format!("{name} x{count}"))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= end {
            return Err(left);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Handle of a spawned task. Dropping it detaches the task.
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<T>,
}

impl<T> Task<T> {
    /// The task's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Ends the task at its next await point.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// A handle that ends the task when dropped.
    pub fn bound(self) -> Bound {
        Bound(self.handle.abort_handle())
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx)
    }
}

/// Ends its task when dropped.
pub struct Bound(AbortHandle);

impl Drop for Bound {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Spawns `future` on the current runtime under `name`.
#[track_caller]
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Task { name, handle: tokio::spawn(Named::new(name, future)) }
}

/// As [`spawn`] for futures that stay on their thread (needs a `LocalSet` or local runtime).
#[track_caller]
pub fn spawn_local<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Task { name, handle: tokio::task::spawn_local(Named::new(name, future)) }
}

/// Counts a future and reports its panic.
struct Named<F> {
    live: Live,
    /// Boxed so that a task costs one allocation whatever its size, and needs no unsafe projection.
    future: Pin<Box<F>>,
    done: bool,
}

impl<F> Named<F> {
    fn new(name: &'static str, future: F) -> Self {
        Named { live: Live::new(name), future: Box::pin(future), done: false }
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.future.as_mut().poll(cx);
        self.done = polled.is_ready();
        polled
    }
}

impl<F> Drop for Named<F> {
    fn drop(&mut self) {
        if !self.done && std::thread::panicking() {
            tracing::error!(task = self.live.0, "task panicked");
        }
    }
}

/// Tasks that live and die together.
#[derive(Default)]
pub struct Group {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Group::default()
    }

    /// Adds a task; its error ends the group.
    pub fn spawn<F>(&mut self, name: &'static str, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.set.spawn(Named::new(name, async move { (name, future.await) }));
    }

    /// Waits until all tasks ended well, or ends the rest at the first failure and returns it.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        while let Some(joined) = self.set.join_next().await {
            match joined {
                Ok((_, Ok(()))) => {}
                Ok((name, Err(error))) => {
                    self.set.shutdown().await;
                    return Err(error.context(format!("task {name} failed")));
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => {
                    self.set.shutdown().await;
                    return Err(anyhow::Error::new(error).context("a task panicked"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn counts_by_name() {
        let task = spawn("count-me", std::future::pending::<()>());
        assert_eq!(names().get("count-me"), Some(&1));
        assert!(settled(&["count-me"], Duration::ZERO).await.is_err());
        drop(task.bound());
        settled(&["count-me"], Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_group() {
        let mut group = Group::new();
        group.spawn("forever", std::future::pending());
        group.spawn("fails", async { anyhow::bail!("no disk") });
        let error = group.wait().await.unwrap_err();
        assert_eq!(format!("{error:#}"), "task fails failed: no disk");
        settled(&["forever", "fails"], Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_group() {
        let mut group = Group::new();
        group.spawn("forever-2", std::future::pending());
        group.spawn("panics", async { panic!("on purpose") });
        assert!(group.wait().await.is_err());
        settled(&["forever-2", "panics"], Duration::from_secs(10)).await.unwrap();
    }
}
