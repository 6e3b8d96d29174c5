//! What a server should have given one client of one kind, and what it has.
//!
//! In: the offered set, the client's subscription, the versions that it holds. Out: [`Lane::take`], the resources to
//! send and the names to remove, each exactly once. Shared by the delta and the state-of-the-world server; knows
//! nothing of nonces and streams.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::Resource;

/// Name that stands for everything.
pub(crate) const WILDCARD: &str = "*";

/// One kind of one client.
#[derive(Debug)]
pub(crate) struct Lane {
    kind: Kind,
    /// The current set; `None` until the first offer, and until then nothing is answered.
    offered: Option<HashMap<Arc<str>, Arc<Resource>>>,
    /// Version that the client has been given; `None` if it was told that there is no such resource.
    sent: HashMap<Arc<str>, Option<Arc<str>>>,
    /// Names whose state may differ between `offered` and `sent`.
    dirty: BTreeSet<Arc<str>>,
    /// The client has asked for this kind.
    pub(crate) subscribed: bool,
    pub(crate) wildcard: bool,
    pub(crate) names: HashSet<Arc<str>>,
    /// For a kind with a parent: the parents that the client has. Their children come unasked.
    parents: HashSet<Arc<str>>,
}

/// What to send.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) resources: Vec<Arc<Resource>>,
    pub(crate) removed: Vec<Arc<str>>,
    /// Names among `resources` that the client did not have before.
    pub(crate) fresh: Vec<Arc<str>>,
}

/// Which half of a change to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Both,
    Resources,
}

enum Due {
    Nothing,
    Send(Arc<Resource>),
    Remove,
}

impl Lane {
    pub(crate) fn new(kind: Kind) -> Self {
        Lane {
            kind,
            offered: None,
            sent: HashMap::new(),
            dirty: BTreeSet::new(),
            subscribed: false,
            wildcard: false,
            names: HashSet::new(),
            parents: HashSet::new(),
        }
    }

    /// Replaces the whole set.
    pub(crate) fn offer(&mut self, set: &[Arc<Resource>]) {
        let new: HashMap<Arc<str>, Arc<Resource>> =
            set.iter().map(|resource| (resource.name.clone(), resource.clone())).collect();
        let first = self.offered.is_none();
        let old = self.offered.replace(new).unwrap_or_default();
        let new = self.offered.as_ref().into_iter().flatten();
        let changed =
            new.filter(|(name, resource)| old.get(*name).is_none_or(|old| old.version != resource.version));
        self.dirty.extend(changed.map(|(name, _)| name.clone()));
        let kept = |name: &Arc<str>| self.offered.as_ref().is_some_and(|new| new.contains_key(name));
        self.dirty.extend(old.into_keys().filter(|name| !kept(name)));
        if first {
            // What the client holds or waits for by name, and may not exist.
            self.dirty.extend(self.sent.keys().chain(&self.names).cloned());
        }
    }

    /// Applies a change that somebody has computed already.
    pub(crate) fn change(&mut self, updated: &[Arc<Resource>], removed: &[Arc<str>]) {
        let Some(offered) = self.offered.as_mut() else { return self.offer(updated) };
        for name in removed {
            offered.remove(name);
            self.dirty.insert(name.clone());
        }
        for resource in updated {
            offered.insert(resource.name.clone(), resource.clone());
            self.dirty.insert(resource.name.clone());
        }
    }

    pub(crate) fn offered(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.offered.iter().flat_map(HashMap::values)
    }

    /// The client asks for these names (again): it gets them even if it should have them.
    pub(crate) fn subscribe(&mut self, names: &[Arc<str>]) {
        for name in names {
            if &**name == WILDCARD {
                self.subscribe_all();
                continue;
            }
            self.names.insert(name.clone());
            self.sent.remove(name);
            self.dirty.insert(name.clone());
        }
    }

    pub(crate) fn subscribe_all(&mut self) {
        self.wildcard = true;
        self.dirty.extend(self.offered.iter().flat_map(HashMap::keys).cloned());
    }

    pub(crate) fn unsubscribe(&mut self, names: &[Arc<str>]) {
        for name in names {
            if &**name == WILDCARD {
                self.wildcard = false;
                let named = &self.names;
                self.sent.retain(|name, _| named.contains(name));
                continue;
            }
            self.names.remove(name);
            self.sent.remove(name);
            // Still covered by the wildcard: the client is owed an answer.
            self.dirty.insert(name.clone());
        }
    }

    /// The client came back and holds this.
    pub(crate) fn holds(&mut self, versions: &[(Arc<str>, Arc<str>)]) {
        for (name, version) in versions {
            self.sent.insert(name.clone(), Some(version.clone()));
            self.dirty.insert(name.clone());
        }
    }

    /// The client needs what it holds of these once more.
    pub(crate) fn again<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) {
        for name in names {
            if let Some(Some(version)) = self.sent.get_mut(name) {
                *version = "".into();
                self.dirty.insert(name.clone());
            }
        }
    }

    /// Names that the client has.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sent.iter().filter(|(_, version)| version.is_some()).map(|(name, _)| name)
    }

    /// The client has these parents now. If they are `fresh`, what it has of their children is unknown: it dropped
    /// them with the parent, unless one was still on its way. So all are sent again, and the vanished ones removed.
    pub(crate) fn add_parents(&mut self, parents: &[Arc<str>], fresh: bool) {
        if parents.is_empty() {
            return;
        }
        let added: HashSet<&str> = parents.iter().map(|parent| &**parent).collect();
        self.parents.extend(parents.iter().cloned());
        let kind = self.kind;
        let child = |name: &str| kind.parent_of(name).is_some_and(|parent| added.contains(parent));
        let children = self.offered.iter().flat_map(HashMap::keys).chain(self.sent.keys());
        self.dirty.extend(children.filter(|name| child(name)).cloned());
        if fresh {
            let unknown: Arc<str> = "".into();
            for (_, version) in self.sent.iter_mut().filter(|(name, _)| child(name)) {
                *version = Some(unknown.clone());
            }
        }
    }

    /// The client has dropped these parents, and their children with them.
    pub(crate) fn drop_parents(&mut self, parents: &[Arc<str>]) {
        for parent in parents {
            self.parents.remove(parent);
        }
    }

    /// Whether [`Lane::take`] would send a resource.
    pub(crate) fn has_resources(&self) -> bool {
        self.is_ready() && self.dirty.iter().any(|name| matches!(self.due(name), Due::Send(_)))
    }

    /// Whether [`Lane::take`] would send anything.
    pub(crate) fn is_due(&self) -> bool {
        self.is_ready() && self.dirty.iter().any(|name| !matches!(self.due(name), Due::Nothing))
    }

    /// Whether the client has asked and there is an answer.
    pub(crate) fn is_ready(&self) -> bool {
        self.subscribed && self.offered.is_some()
    }

    /// Takes what is due and notes it as sent.
    pub(crate) fn take(&mut self, half: Half) -> Batch {
        let mut batch = Batch::default();
        if !self.is_ready() {
            return batch;
        }
        for name in std::mem::take(&mut self.dirty) {
            match self.due(&name) {
                Due::Nothing => {}
                Due::Send(resource) => {
                    let before = self.sent.insert(name.clone(), Some(resource.version.clone()));
                    if before.flatten().is_none() {
                        batch.fresh.push(name);
                    }
                    batch.resources.push(resource);
                }
                // "There is no such thing" is an answer that somebody waits for, not a removal.
                Due::Remove if half == Half::Resources && self.sent.contains_key(&name) => {
                    self.dirty.insert(name);
                }
                Due::Remove => {
                    if self.names.contains(&name) {
                        self.sent.insert(name.clone(), None);
                    } else {
                        self.sent.remove(&name);
                    }
                    batch.removed.push(name);
                }
            }
        }
        batch
    }

    fn due(&self, name: &Arc<str>) -> Due {
        if !self.wants(name) {
            return Due::Nothing;
        }
        let offered = self.offered.as_ref().and_then(|set| set.get(name));
        match (offered, self.sent.get(name)) {
            (Some(resource), Some(Some(sent))) if resource.version == *sent => Due::Nothing,
            (Some(resource), _) => Due::Send(resource.clone()),
            (None, Some(Some(_))) => Due::Remove,
            (None, Some(None)) => Due::Nothing,
            // A parent's name stands for its children.
            (None, None) if self.names.contains(name) && !self.parents.contains(name) => Due::Remove,
            (None, None) => Due::Nothing,
        }
    }

    fn wants(&self, name: &str) -> bool {
        if self.names.contains(name) {
            return true;
        }
        match self.kind.parent_of(name) {
            Some(parent) => self.parents.contains(parent),
            None => self.wildcard,
        }
    }
}
