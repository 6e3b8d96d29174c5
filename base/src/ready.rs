//! What a program still waits for before it is ready.
//!
//! In: each part that must come up takes a named [`Blocker`] and clears it. Out: [`Ready::pending`] names the
//! parts that hold readiness back (the body of a failing `/ready`), [`Ready::wait`] resolves when none does.
//! A blocker that is dropped uncleared keeps blocking: a part that died must not make the program ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::name::Name;

/// The set of blockers of one program. Clones are the same set.
#[derive(Clone)]
pub struct Ready {
    pending: Arc<watch::Sender<BTreeSet<Name>>>,
}

impl Default for Ready {
    fn default() -> Self {
        Ready::new()
    }
}

impl Ready {
    /// Nothing blocks.
    pub fn new() -> Self {
        Ready { pending: Arc::new(watch::Sender::new(BTreeSet::new())) }
    }

    /// Adds a blocker; two of the same name are one.
    pub fn block(&self, name: impl Into<Name>) -> Blocker {
        let blocker = Blocker { name: name.into(), ready: self.clone() };
        blocker.block();
        blocker
    }

    /// Names that still block, sorted.
    pub fn pending(&self) -> Vec<Name> {
        self.pending.borrow().iter().cloned().collect()
    }

    /// Whether nothing blocks.
    pub fn is_ready(&self) -> bool {
        self.pending.borrow().is_empty()
    }

    /// Resolves as soon as nothing blocks.
    pub async fn wait(&self) {
        let mut receiver = self.pending.subscribe();
        // The sender lives in `self`, so the channel cannot close while we wait.
        drop(receiver.wait_for(BTreeSet::is_empty).await);
    }
}

/// One reason not to be ready.
pub struct Blocker {
    name: Name,
    ready: Ready,
}

impl Blocker {
    /// This part is ready.
    pub fn clear(&self) {
        self.ready.pending.send_if_modified(|pending| pending.remove(&self.name));
    }

    /// This part is not ready (again).
    pub fn block(&self) {
        self.ready.pending.send_if_modified(|pending| pending.insert(self.name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_what_blocks_until_cleared() {
        let ready = Ready::new();
        assert!(ready.is_ready());
        let config = ready.block("config");
        let lost = ready.block("certificate");
        drop(lost);
        assert_eq!(ready.pending(), [Name::from("certificate"), Name::from("config")]);
        config.clear();
        ready.block("certificate").clear();
        ready.wait().await;
        config.block();
        assert!(!ready.is_ready());
    }
}
