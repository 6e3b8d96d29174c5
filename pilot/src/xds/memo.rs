//! What was said before: resources by their Input, layers by their key.
//!
//! Comes in: a digest of everything that a builder may read. Goes out: the resource that equal input made, or a new
//! one. Bounded by two generations: what is not asked for during a whole generation is forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use wire::{Kind, Resource};

use crate::model::narrow::Narrow;
use crate::model::scope::Scope;
use crate::model::{Digest, Hashed};

/// Entries of one generation.
const RESOURCES: usize = 60_000;
const LAYERS: usize = 4_000;
const SCOPES: usize = 1_000;

/// Sorted resources of one layer.
pub type Resources = Arc<[Arc<Resource>]>;

/// Shared by all views.
pub struct Memo {
    resources: Mutex<Generations<Arc<Resource>>>,
    layers: Mutex<Generations<Resources>>,
    scopes: Mutex<Generations<Hashed<Scope>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for Memo {
    fn default() -> Self {
        Memo {
            resources: Mutex::new(Generations::new(RESOURCES)),
            layers: Mutex::new(Generations::new(LAYERS)),
            scopes: Mutex::new(Generations::new(SCOPES)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }
}

impl Memo {
    /// The resource that this input makes.
    pub fn say<I: Hash, M: prost::Message>(
        &self,
        kind: Kind,
        name: &str,
        input: &I,
        build: impl FnOnce(&I) -> M,
    ) -> Arc<Resource> {
        self.say_bytes(kind, name, input, |input| build(input).encode_to_vec().into())
    }

    /// As `say`, for builders that write bytes.
    pub fn say_bytes<I: Hash>(
        &self,
        kind: Kind,
        name: &str,
        input: &I,
        build: impl FnOnce(&I) -> Bytes,
    ) -> Arc<Resource> {
        let key = Digest::of(&(kind, name, std::any::type_name::<I>(), input));
        if let Some(found) = self.resources.lock().get(&key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return found;
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let made = Arc::new(Resource::encoded(kind, name, build(input), key.0));
        self.resources.lock().insert(key, made.clone());
        made
    }

    /// The scope that is left of another one.
    pub fn scope(&self, narrow: &Narrow<'_>) -> Hashed<Scope> {
        if !narrow.changes() {
            return narrow.scope.clone();
        }
        let key = Digest::of(narrow);
        if let Some(found) = self.scopes.lock().get(&key) {
            return found;
        }
        let made = Hashed::new(narrow.apply());
        self.scopes.lock().insert(key, made.clone());
        made
    }

    /// The layer with this key.
    pub fn layer(&self, key: Digest, build: impl FnOnce() -> Vec<Arc<Resource>>) -> Resources {
        if let Some(found) = self.layers.lock().get(&key) {
            return found;
        }
        let mut made = build();
        made.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        debug_assert!(
            made.windows(2).all(|w| (w[0].kind, &w[0].name) != (w[1].kind, &w[1].name)),
            "names are unique within a layer"
        );
        let made: Resources = made.into();
        self.layers.lock().insert(key, made.clone());
        made
    }

    /// Resources found and resources built since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

struct Generations<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
    limit: usize,
}

impl<V: Clone> Generations<V> {
    fn new(limit: usize) -> Self {
        Generations { young: HashMap::new(), old: HashMap::new(), limit }
    }

    fn get(&mut self, key: &Digest) -> Option<V> {
        if let Some(found) = self.young.get(key) {
            return Some(found.clone());
        }
        let found = self.old.remove(key)?;
        self.insert(*key, found.clone());
        Some(found)
    }

    fn insert(&mut self, key: Digest, value: V) {
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_input_is_said_once() {
        let memo = Memo::default();
        let bytes = |_: &u32| Bytes::from_static(b"x");
        let first = memo.say_bytes(Kind::Cluster, "a", &1u32, bytes);
        let again = memo.say_bytes(Kind::Cluster, "a", &1u32, bytes);
        let other = memo.say_bytes(Kind::Cluster, "a", &2u32, bytes);
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first.version, other.version);
        assert_eq!(memo.counts(), (1, 2));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut all = Generations::new(2);
        for n in 0..2u128 {
            all.insert(Digest(n), n);
        }
        all.insert(Digest(2), 2);
        assert_eq!(all.get(&Digest(0)), Some(0));
        all.insert(Digest(3), 3);
        assert_eq!(all.get(&Digest(1)), None);
        assert_eq!(all.get(&Digest(0)), Some(0));
    }
}
