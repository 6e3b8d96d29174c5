//! From events of many watches to batches.
//!
//! In: what the watches say, in the order in which it came. Out: batches that must be seen whole: the first one when
//! every watch has listed everything, later ones when `batch` is called. A watch that lists anew (its connection was
//! lost) says only the difference to what it had said before. An object that cannot be read leaves its last good
//! version in force. Pure; `watch` does the waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Findings, Key, Kind, Parsed};

use crate::source::{Batch, Change};

/// What a watch says.
#[derive(Debug)]
pub(super) enum Notice {
    /// A list of everything begins.
    Begin(Kind),
    /// An object of the list.
    Item(Key, Parsed),
    /// The list is complete.
    Done(Kind),
    /// New, or changed.
    Apply(Key, Parsed),
    Gone(Key),
}

/// A list in progress. It may take long (an API server that is away): other kinds do not wait for it.
#[derive(Debug, Default)]
struct List {
    keys: BTreeSet<Key>,
    changes: Vec<Change>,
}

/// The state of all watches.
#[derive(Debug)]
pub(super) struct Collector {
    /// Kinds that have not listed everything once.
    waiting: BTreeSet<Kind>,
    /// What was said and holds.
    known: BTreeSet<Key>,
    /// Lists in progress: what they have named, and what will have changed once they are complete.
    lists: BTreeMap<Kind, List>,
    findings: BTreeMap<Key, Findings>,
    changes: Vec<Change>,
    /// Something to say, if only a finding.
    dirty: bool,
    /// The complete first batch was said.
    begun: bool,
}

impl Collector {
    /// A collector that waits for these kinds.
    pub(super) fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self {
            waiting: kinds.into_iter().collect(),
            known: BTreeSet::new(),
            lists: BTreeMap::new(),
            findings: BTreeMap::new(),
            changes: Vec::new(),
            dirty: false,
            begun: false,
        }
    }

    /// Kinds that have not listed everything once.
    pub(super) fn waiting(&self) -> &BTreeSet<Kind> {
        &self.waiting
    }

    /// Takes what a watch says.
    pub(super) fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Begin(kind) => {
                self.lists.insert(kind, List::default());
            }
            Notice::Item(key, parsed) => {
                if let Some(list) = self.lists.get_mut(&key.kind) {
                    list.keys.insert(key.clone());
                }
                self.apply(key, parsed);
            }
            Notice::Apply(key, parsed) => self.apply(key, parsed),
            Notice::Gone(key) => self.gone(&key),
            Notice::Done(kind) => {
                self.waiting.remove(&kind);
                let list = self.lists.remove(&kind).unwrap_or_default();
                self.changes.extend(list.changes);
                let from = Key::new(kind, "", "");
                let known = self.known.range(from.clone()..).take_while(|key| key.kind == kind);
                let named =
                    self.findings.range(from..).map(|(key, _)| key).take_while(|key| key.kind == kind);
                let mut ended: Vec<Key> =
                    known.chain(named).filter(|key| !list.keys.contains(key)).cloned().collect();
                ended.dedup();
                ended.iter().for_each(|key| self.gone(key));
            }
        }
    }

    fn apply(&mut self, key: Key, parsed: Parsed) {
        let before = self.findings.remove(&key);
        if before.as_ref().is_some_and(|before| *before != parsed.findings)
            || before.is_none() && !parsed.findings.is_empty()
        {
            self.dirty = true;
        }
        if !parsed.findings.is_empty() {
            self.findings.insert(key.clone(), parsed.findings);
        }
        // None when it has an error: the last good version stays.
        if let Some(object) = parsed.objects.into_iter().next() {
            let changes = self.lists.get_mut(&key.kind).map_or(&mut self.changes, |list| &mut list.changes);
            changes.push(Change::Apply(Arc::new(object)));
            self.known.insert(key);
        }
    }

    fn gone(&mut self, key: &Key) {
        self.dirty |= self.findings.remove(key).is_some();
        if self.known.remove(key) {
            self.changes.push(Change::Delete(key.clone()));
        }
    }

    /// What has changed since the last call; none while a watch has yet to list everything for the first time.
    /// Lists in progress are left out until they are complete.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        let anything = self.dirty || !self.changes.is_empty() || !self.begun;
        if !self.waiting.is_empty() || !anything {
            return None;
        }
        self.begun = true;
        self.dirty = false;
        let mut findings = Findings::new();
        self.findings.values().flat_map(Findings::iter).for_each(|finding| findings.push(finding.clone()));
        Some(Batch { changes: std::mem::take(&mut self.changes), findings })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, port: serde_json::Value) -> (Key, Parsed) {
        let value = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "n"},
            "spec": {"ports": [{"port": port}]}});
        (Key::new(Kind::Service, "n", name), api::parse::from_value(value))
    }

    fn item(name: &str) -> Notice {
        let (key, parsed) = service(name, 80.into());
        Notice::Item(key, parsed)
    }

    fn words(batch: Option<Batch>) -> Vec<String> {
        let word = |change: &Change| match change {
            Change::Apply(object) => format!("+{}", object.meta().name),
            Change::Delete(key) => format!("-{}", key.name),
        };
        batch
            .map(|batch| batch.changes.iter().map(word).collect())
            .unwrap_or_else(|| vec!["nothing".to_owned()])
    }

    #[test]
    fn the_first_batch_is_complete() {
        let mut collector = Collector::new([Kind::Service, Kind::Pod]);
        collector.take(Notice::Begin(Kind::Service));
        collector.take(item("a"));
        assert_eq!(words(collector.batch()), ["nothing"]);
        collector.take(Notice::Done(Kind::Service));
        assert_eq!(words(collector.batch()), ["nothing"], "pods are missing");
        collector.take(Notice::Begin(Kind::Pod));
        collector.take(Notice::Done(Kind::Pod));
        assert_eq!(words(collector.batch()), ["+a"]);
        assert_eq!(words(collector.batch()), ["nothing"]);
    }

    #[test]
    fn an_empty_cluster_is_complete_too() {
        let mut collector = Collector::new([Kind::Service]);
        collector.take(Notice::Begin(Kind::Service));
        collector.take(Notice::Done(Kind::Service));
        assert_eq!(words(collector.batch()), Vec::<String>::new());
        assert_eq!(words(collector.batch()), ["nothing"]);
    }

    #[test]
    fn a_new_list_says_what_went_while_nobody_looked() {
        let mut collector = Collector::new([Kind::Service]);
        for notice in [Notice::Begin(Kind::Service), item("a"), item("b"), Notice::Done(Kind::Service)] {
            collector.take(notice);
        }
        collector.batch();
        collector.take(Notice::Begin(Kind::Service));
        collector.take(item("b"));
        assert_eq!(words(collector.batch()), ["nothing"], "half a list is not said");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}});
        collector.take(Notice::Apply(Key::new(Kind::Pod, "n", "p"), api::parse::from_value(pod)));
        assert_eq!(words(collector.batch()), ["+p"], "other kinds do not wait for it");
        collector.take(item("c"));
        collector.take(Notice::Done(Kind::Service));
        assert_eq!(words(collector.batch()), ["+b", "+c", "-a"]);
    }

    #[test]
    fn a_broken_object_leaves_its_last_good_version_and_is_named_until_it_is_gone() {
        let mut collector = Collector::new([Kind::Service]);
        for notice in [Notice::Begin(Kind::Service), item("a"), Notice::Done(Kind::Service)] {
            collector.take(notice);
        }
        collector.batch();
        let (key, broken) = service("a", "eighty".into());
        collector.take(Notice::Apply(key.clone(), broken));
        let batch = collector.batch().unwrap();
        assert!(batch.changes.is_empty() && batch.findings.has_errors(), "{batch:?}");
        collector.take(Notice::Gone(key));
        let batch = collector.batch().unwrap();
        assert!(batch.findings.is_empty());
        assert_eq!(words(Some(batch)), ["-a"]);
    }
}
