//! Which kinds a batch has changed.
//!
//! Made by `World::apply`, for the writer, which publishes nothing where nothing changed; sections ask `World::stamp`.

use std::collections::BTreeSet;

use api::Kind;

/// Kinds with at least one new, changed or deleted object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty(BTreeSet<Kind>);

impl Dirty {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn insert(&mut self, kind: Kind) {
        self.0.insert(kind);
    }

    /// All of them.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.0.iter().copied()
    }

    pub fn contains(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}
