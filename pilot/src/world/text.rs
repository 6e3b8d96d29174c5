//! Words that many objects share: names of namespaces and nodes, and what the pods of one Deployment have in common.
//!
//! In: words as they were read. Out: the same word, held once for all who have it. A pool forgets what nobody holds any
//! more, when it has grown to twice of what was left the last time. Used by what `world` keeps of pods and endpoints;
//! nothing depends on whether two words are held once or twice.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::pod::Sort;

/// A shared word.
pub type Text = Arc<str>;
/// Shared labels.
pub type Labels = Arc<BTreeMap<String, String>>;
/// Shared numbers of named ports.
pub type Ports = Arc<BTreeMap<String, u16>>;

/// Fewer are never looked through.
const FEW: usize = 1024;

/// What is shared of one type.
struct Pool<T: ?Sized> {
    held: HashSet<Arc<T>>,
    /// Size at which it is looked through.
    full: usize,
}

impl<T: ?Sized + Hash + Eq> Pool<T> {
    fn new() -> Mutex<Self> {
        Mutex::new(Pool { held: HashSet::new(), full: FEW })
    }

    fn keep(&mut self, new: Arc<T>) -> Arc<T> {
        if self.held.len() >= self.full {
            self.held.retain(|held| Arc::strong_count(held) > 1);
            self.held.shrink_to(self.held.len() * 2);
            self.full = FEW.max(self.held.len() * 2);
        }
        self.held.insert(new.clone());
        new
    }
}

/// The word, held once.
pub fn text(word: &str) -> Text {
    static POOL: LazyLock<Mutex<Pool<str>>> = LazyLock::new(Pool::new);
    let mut pool = POOL.lock();
    match pool.held.get(word) {
        Some(held) => held.clone(),
        None => pool.keep(Arc::from(word)),
    }
}

/// What pods have in common, held once.
pub(super) fn shared(sort: Sort) -> Arc<Sort> {
    static POOL: LazyLock<Mutex<Pool<Sort>>> = LazyLock::new(Pool::new);
    let mut pool = POOL.lock();
    match pool.held.get(&sort) {
        Some(held) => held.clone(),
        None => pool.keep(Arc::new(sort)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_held_once_and_forgotten_when_nobody_has_it() {
        let mut pool = Pool::<str> { held: HashSet::new(), full: 2 };
        let first: Text = pool.keep("a".into());
        assert!(Arc::ptr_eq(&first, pool.held.get("a").unwrap()) && Arc::ptr_eq(&text("x"), &text("x")));
        drop(pool.keep("b".into()));
        drop(pool.keep("c".into()));
        let held: Vec<&str> = {
            let mut held: Vec<&str> = pool.held.iter().map(|word| &**word).collect();
            held.sort_unstable();
            held
        };
        assert_eq!(held, ["a", "c"], "b was forgotten to make room");
    }
}
