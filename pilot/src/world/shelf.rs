//! A table of things by namespace and name, which is shared as far as it is the same.
//!
//! In: changes, one at a time. Out: look-ups; a copy costs nothing, and a change after that copies the namespace it is
//! in. Each namespace counts its changes, so that who reads it knows what to look at again. Used by `store`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::text::Text;

/// Things by namespace, then name.
#[derive(Debug)]
pub struct Shelf<T: ?Sized> {
    namespaces: Arc<BTreeMap<Text, Arc<Board<T>>>>,
}

/// Those of one namespace.
#[derive(Debug)]
struct Board<T: ?Sized> {
    /// Number of the last change: another one, another content.
    stamp: u64,
    things: BTreeMap<Text, Arc<T>>,
}

impl<T: ?Sized> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Shelf { namespaces: self.namespaces.clone() }
    }
}

impl<T: ?Sized> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { namespaces: Arc::default() }
    }
}

impl<T: ?Sized> Clone for Board<T> {
    fn clone(&self) -> Self {
        Board { stamp: self.stamp, things: self.things.clone() }
    }
}

impl<T: ?Sized> Shelf<T> {
    /// Puts a thing there, as change number `stamp`.
    pub(super) fn insert(&mut self, namespace: &Text, name: Text, thing: Arc<T>, stamp: u64) {
        let empty = || Arc::new(Board { stamp, things: BTreeMap::new() });
        let boards = Arc::make_mut(&mut self.namespaces);
        let board = Arc::make_mut(boards.entry(namespace.clone()).or_insert_with(empty));
        board.stamp = stamp;
        board.things.insert(name, thing);
    }

    /// Takes a thing away, as change number `stamp`.
    pub(super) fn remove(&mut self, namespace: &str, name: &str, stamp: u64) {
        if self.get(namespace, name).is_none() {
            return;
        }
        let boards = Arc::make_mut(&mut self.namespaces);
        let Some(board) = boards.get_mut(namespace).map(Arc::make_mut) else { return };
        board.stamp = stamp;
        board.things.remove(name);
        if board.things.is_empty() {
            boards.remove(namespace);
        }
    }

    /// One thing.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.namespaces.get(namespace)?.things.get(name)
    }

    /// Number of the last change in a namespace; 0 where nothing is.
    pub fn stamp(&self, namespace: &str) -> u64 {
        self.namespaces.get(namespace).map_or(0, |board| board.stamp)
    }

    /// Namespaces in which something is.
    pub fn namespaces(&self) -> impl Iterator<Item = &Text> {
        self.namespaces.keys()
    }

    /// Everything of a namespace, by name.
    pub fn within<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
        self.namespaces.get(namespace).into_iter().flat_map(|board| board.things.values())
    }

    /// Everything, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.namespaces.values().flat_map(|board| board.things.values())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.namespaces.values().map(|board| board.things.len()).sum()
    }

    /// Only namespaces that may stay.
    pub(super) fn only(&self, stays: impl Fn(&str) -> bool) -> Self {
        let all = self.namespaces.iter().filter(|(namespace, _)| stays(namespace));
        Shelf { namespaces: Arc::new(all.map(|(name, board)| (name.clone(), board.clone())).collect()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::text;
    use super::*;

    #[test]
    fn a_change_copies_its_namespace_only() {
        let mut shelf = Shelf::default();
        shelf.insert(&text("a"), text("x"), Arc::new(1), 1);
        shelf.insert(&text("b"), text("y"), Arc::new(2), 2);
        let before = shelf.clone();
        shelf.insert(&text("a"), text("x"), Arc::new(3), 3);
        assert!(Arc::ptr_eq(&before.namespaces["b"], &shelf.namespaces["b"]));
        assert_eq!((**before.get("a", "x").unwrap(), **shelf.get("a", "x").unwrap()), (1, 3));
        assert_eq!((before.stamp("a"), shelf.stamp("a"), shelf.stamp("b")), (1, 3, 2));
        shelf.remove("b", "y", 4);
        assert_eq!((shelf.len(), shelf.stamp("b"), before.len()), (1, 0, 2));
    }
}
