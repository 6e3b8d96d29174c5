//! Which kinds a batch has changed.
//!
//! Made by `World::apply`, for callers that want to know whether a batch changed anything; sections ask
//! `World::stamp`.

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

    pub fn contains(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }

    /// Whether only endpoints changed, which have a shorter quiet time.
    pub fn only_endpoints(&self) -> bool {
        !self.is_empty()
            && self.0.iter().all(|k| matches!(k, Kind::EndpointSlice | Kind::Endpoints | Kind::Pod))
    }

    /// Everything of both.
    pub fn merge(&mut self, other: &Dirty) {
        self.0.extend(other.0.iter().copied());
    }
}
