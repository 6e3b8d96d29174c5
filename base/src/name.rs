//! A cheap string for names that repeat: clusters, hosts, namespaces, labels.
//!
//! In: any string. Out: a [`Name`], shared by everybody who has the same text: a clone is a reference count,
//! equality is a pointer comparison first. The table forgets names that nobody holds. Order and hash are those
//! of the text, so a `Name` can be looked up by `&str`.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

/// An interned string.
#[derive(Clone)]
pub struct Name(Arc<str>);

struct Table {
    names: HashSet<Arc<str>>,
    /// Size at which unused names are swept.
    sweep_at: usize,
}

static TABLE: LazyLock<Mutex<Table>> =
    LazyLock::new(|| Mutex::new(Table { names: HashSet::new(), sweep_at: 1024 }));

impl Name {
    /// The one `Name` with this text.
    pub fn new(text: &str) -> Name {
        let mut table = TABLE.lock();
        if let Some(known) = table.names.get(text) {
            return Name(known.clone());
        }
        if table.names.len() >= table.sweep_at {
            table.names.retain(|name| Arc::strong_count(name) > 1);
            table.sweep_at = (table.names.len() * 2).max(1024);
        }
        let fresh: Arc<str> = text.into();
        table.names.insert(fresh.clone());
        Name(fresh)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shared text itself.
    pub fn as_arc(&self) -> &Arc<str> {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Self {
        Name::new("")
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::new(text)
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Name::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name::new(&text)
    }
}

impl From<Name> for Arc<str> {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_text_is_the_same_name() {
        let a = Name::from("reviews");
        let b = Name::from(String::from("reviews"));
        assert!(Arc::ptr_eq(a.as_arc(), b.as_arc()));
        assert_eq!(a, "reviews");
        assert!(HashSet::from([a]).contains("reviews"));
    }

    #[test]
    fn unused_names_are_forgotten() {
        let kept = Name::from("kept-through-the-sweep");
        for n in 0..5000 {
            drop(Name::from(format!("sweep-{n}")));
        }
        assert!(TABLE.lock().names.len() < 5000);
        assert!(Arc::ptr_eq(kept.as_arc(), Name::from("kept-through-the-sweep").as_arc()));
    }
}
