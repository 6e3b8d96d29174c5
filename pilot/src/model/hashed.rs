//! A value with its digest: what sections, items and builder inputs are made of.
//!
//! Comes in: any `Hash` value. Goes out: a cheap clone that hashes and compares by a 128-bit digest, so that an
//! input which uses a thousand items costs a thousand times sixteen bytes. Digests are the same in every run of
//! the same build (no random seed, no pointer), which is what makes a restart of pilot free of pushes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use wire::resource::hash128;

/// 128-bit digest of a value through its `Hash` implementation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u128);

impl Digest {
    /// Digest of a value. The type must hash in a defined order (no `HashMap`).
    pub fn of<T: Hash + ?Sized>(value: &T) -> Self {
        Digest(hash128(value))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A shared value and its digest. Equality and hash are those of the digest.
pub struct Hashed<T: ?Sized> {
    digest: Digest,
    value: Arc<T>,
}

impl<T: Hash> Hashed<T> {
    /// Takes a value and computes its digest once.
    pub fn new(value: T) -> Self {
        Hashed { digest: Digest::of(&value), value: Arc::new(value) }
    }

    /// The previous one if it is equal, so that survivors keep their identity.
    pub fn reuse(self, previous: Option<&Hashed<T>>) -> Self {
        match previous {
            Some(old) if old.digest == self.digest => old.clone(),
            _ => self,
        }
    }
}

impl<T: ?Sized> Hashed<T> {
    /// The digest of the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether both share one allocation (survivor check of tests).
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl<T: ?Sized> Clone for Hashed<T> {
    fn clone(&self) -> Self {
        Hashed { digest: self.digest, value: self.value.clone() }
    }
}

impl<T: ?Sized> Deref for Hashed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl<T: ?Sized> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<T: ?Sized> Eq for Hashed<T> {}

impl<T: fmt::Debug + ?Sized> fmt::Debug for Hashed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Hash + Default> Default for Hashed<T> {
    fn default() -> Self {
        Hashed::new(T::default())
    }
}

/// Something that is kept beside a value and is no part of it: it neither counts for its digest nor for its equality.
#[derive(Clone, Debug, Default)]
pub struct Aside<T>(T);

impl<T> Deref for Aside<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aside<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Hash for Aside<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Aside<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_digests_and_keep_the_old_allocation() {
        let first = Hashed::new(vec!["a".to_owned(), "b".to_owned()]);
        let second = Hashed::new(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(first, second);
        assert!(!first.same(&second));
        assert!(second.reuse(Some(&first)).same(&first));
    }

    #[test]
    fn boundaries_count() {
        assert_ne!(Digest::of(&["ab", "c"]), Digest::of(&["a", "bc"]));
    }
}
