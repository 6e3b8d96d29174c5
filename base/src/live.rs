//! One value, swapped whole, read everywhere.
//!
//! In: a writer calls [`Live::set`]. Out: readers see the new `Arc` at their next read. Each thread (or
//! connection) keeps its own [`Reader`]; a read costs one atomic load and touches no shared reference count
//! unless the value changed. This is the only place that picks the primitive: readers never wait for a
//! writer for longer than the copy of one pointer, and a swap is one pointer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

struct Shared<T> {
    /// Grows by one with each `set`, after the slot holds the new value.
    version: AtomicU64,
    slot: Mutex<Arc<T>>,
    wake: Notify,
}

/// The writing end, and the source of readers. Clones are the same cell.
pub struct Live<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Live { shared: self.shared.clone() }
    }
}

impl<T> std::fmt::Debug for Live<T> {
    /// Shows the version only: the value may be large or secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Live(version {})", self.shared.version.load(Ordering::Relaxed))
    }
}

impl<T> Live<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Live::from_arc(Arc::new(value))
    }

    /// A cell that holds `value` without a copy.
    pub fn from_arc(value: Arc<T>) -> Self {
        let shared = Shared { version: AtomicU64::new(1), slot: Mutex::new(value), wake: Notify::new() };
        Live { shared: Arc::new(shared) }
    }

    /// Publishes `value` and wakes who waits for a change. Returns the value that was in force.
    pub fn set(&self, value: impl Into<Arc<T>>) -> Arc<T> {
        let value = value.into();
        let old = {
            let mut slot = self.shared.slot.lock();
            let old = std::mem::replace(&mut *slot, value);
            // Inside the lock, so that version N always means the N-th value.
            self.shared.version.fetch_add(1, Ordering::Release);
            old
        };
        self.shared.wake.notify_waiters();
        old
    }

    /// The current value. Takes the lock: for control code, not for a request path.
    pub fn load(&self) -> Arc<T> {
        self.shared.slot.lock().clone()
    }

    /// How often a value was set, counting the first.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// A reader of its own for one thread or task.
    pub fn reader(&self) -> Reader<T> {
        let slot = self.shared.slot.lock();
        let seen = self.shared.version.load(Ordering::Acquire);
        Reader { shared: self.shared.clone(), seen: Cell::new(seen), held: RefCell::new(slot.clone()) }
    }
}

/// The reading end of one thread. `Send`, not `Sync`: clone it (or ask the [`Live`]) for another thread.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    seen: Cell<u64>,
    held: RefCell<Arc<T>>,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Reader {
            shared: self.shared.clone(),
            seen: self.seen.clone(),
            held: RefCell::new(self.held.borrow().clone()),
        }
    }
}

impl<T> std::fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader(version {})", self.seen.get())
    }
}

impl<T> Reader<T> {
    /// The current value, borrowed: one atomic load when nothing changed.
    pub fn get(&mut self) -> &Arc<T> {
        self.refresh();
        self.held.get_mut()
    }

    /// As [`Reader::get`] for readers that several tasks of one thread share. `f` must not read the same reader.
    pub fn with<R>(&self, f: impl FnOnce(&Arc<T>) -> R) -> R {
        self.refresh();
        f(&self.held.borrow())
    }

    /// The current value with a reference of its own.
    pub fn load(&self) -> Arc<T> {
        self.with(Arc::clone)
    }

    /// Waits until a value is in force that this reader has not yet returned, and returns it.
    /// Values that were replaced meanwhile are skipped.
    pub async fn changed(&mut self) -> Arc<T> {
        loop {
            let shared = self.shared.clone();
            let wake = shared.wake.notified();
            tokio::pin!(wake);
            // Registered before the check, so a `set` between check and await is not lost.
            wake.as_mut().enable();
            if shared.version.load(Ordering::Acquire) != self.seen.get() {
                return self.get().clone();
            }
            wake.await;
        }
    }

    fn refresh(&self) {
        if self.shared.version.load(Ordering::Acquire) != self.seen.get() {
            self.take_new();
        }
    }

    #[cold]
    fn take_new(&self) {
        let (new, version) = {
            let slot = self.shared.slot.lock();
            (slot.clone(), self.shared.version.load(Ordering::Acquire))
        };
        self.seen.set(version);
        // The old value is dropped here, at a moment when no lock is held.
        drop(self.held.replace(new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_last_value_and_keeps_identity() {
        let live = Live::new(1);
        let mut reader = live.reader();
        let first = reader.get().clone();
        assert!(Arc::ptr_eq(&first, reader.get()));
        live.set(2);
        live.set(3);
        assert_eq!(**reader.get(), 3);
        assert_eq!(*live.load(), 3);
        assert_eq!(live.version(), 3);
    }

    #[tokio::test]
    async fn changed_waits_and_skips() {
        let live = Live::new(0);
        let mut reader = live.reader();
        live.set(1);
        assert_eq!(*reader.changed().await, 1);
        let writer = live.clone();
        let task = tokio::spawn(async move {
            tokio::task::yield_now().await;
            writer.set(2);
        });
        assert_eq!(*reader.changed().await, 2);
        task.await.unwrap();
    }

    #[test]
    fn threads_never_see_an_older_value_again() {
        let live = Live::new(0u64);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut reader = live.reader();
                scope.spawn(move || {
                    let mut last = 0;
                    while last < 1000 {
                        let now = **reader.get();
                        assert!(now >= last);
                        last = now;
                    }
                });
            }
            for value in 1..=1000 {
                live.set(value);
            }
        });
    }
}
