//! A cache that follows what is in use: a mesh that changes brings new keys for ever, and the old ones must not stay.
//!
//! In: keys and how to make their values. Out: the values. Every so many look-ups those go that nobody asked for since the
//! last time, so a worker keeps what its traffic needs. Used by `handle` and `peer`.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Look-ups between two sweeps, at least and for each entry: what traffic goes round comes by in that time.
const LEAST: usize = 4096;
const EACH: usize = 16;

/// Values by key.
#[derive(Debug)]
pub(super) struct Recent<K, V, S = std::hash::RandomState> {
    table: HashMap<K, Kept<V>, S>,
    /// Look-ups until the next sweep.
    left: usize,
    /// With so many entries it starts anew.
    most: usize,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    /// Since the last sweep.
    used: bool,
}

impl<K: Eq + Hash, V, S: BuildHasher + Default> Recent<K, V, S> {
    pub(super) fn new(most: usize) -> Self {
        Recent { table: HashMap::default(), left: LEAST, most }
    }

    /// The value of a key, if it is there.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.count();
        let kept = self.table.get_mut(key)?;
        kept.used = true;
        Some(&kept.value)
    }

    /// The value of a key, made at its first use.
    pub(super) fn get_or(&mut self, key: K, make: impl FnOnce() -> V) -> &V {
        self.count();
        let kept = self.table.entry(key).or_insert_with(|| Kept { value: make(), used: true });
        kept.used = true;
        &kept.value
    }

    /// Remembers a value in the place of an older one.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.count();
        self.table.insert(key, Kept { value, used: true });
    }

    fn count(&mut self) {
        if self.table.len() >= self.most {
            self.table.clear();
        }
        self.left -= 1;
        if self.left == 0 {
            self.table.retain(|_, kept| std::mem::take(&mut kept.used));
            self.left = LEAST.max(EACH * self.table.len());
            self.table.shrink_to(2 * self.table.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_any_more_goes() {
        let mut recent: Recent<u32, u32> = Recent::new(8192);
        // A thousand keys again and again, and another one each time.
        for round in 0..200 {
            for key in (0..1000).chain([10_000 + round]) {
                assert_eq!(*recent.get_or(key, || key), key);
            }
        }
        assert!(recent.table.len() < 1100, "{}", recent.table.len());
        assert!((0..1000).all(|key| recent.get(&key) == Some(&key)), "what is used stays");
        // One key only.
        (0..50_000).for_each(|_| assert!(recent.get(&1).is_some()));
        assert!(recent.table.len() == 1 && recent.table.capacity() < 100);
    }

    #[test]
    fn there_is_a_limit() {
        let mut recent: Recent<u32, ()> = Recent::new(500);
        (0..10_000).for_each(|key| recent.put(key, ()));
        assert!(recent.table.len() <= 500);
    }
}
