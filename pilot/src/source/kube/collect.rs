//! From events of many watches to batches.
//!
//! In: what the watches say, in the order in which it came. Out: batches that must be seen whole: the first one when
//! every watch has listed everything, later ones when `batch` is called. A watch that lists anew (its connection was
//! lost) says only the difference to what it had said before. An object that cannot be read leaves its last good
//! version in force. Pure; `watch` does the waiting.

use std::collections::{BTreeMap, BTreeSet};

use api::{Findings, Key, Kind};

use super::seen::Read;
use crate::source::{Batch, Change};
use crate::world::{Text, text};

/// What a watch says.
#[derive(Debug)]
pub(super) enum Notice {
    /// A list of everything begins.
    Begin(Kind),
    /// An object of the list.
    Item(Read),
    /// The list is complete.
    Done(Kind),
    /// New, or changed.
    Apply(Read),
    Gone(Key),
}

/// Names by namespace, with something of each.
type Names<T> = BTreeMap<Text, BTreeMap<Text, T>>;

/// Puts it there; what was there.
fn put<T>(names: &mut Names<T>, key: &Key, value: T) -> Option<T> {
    names.entry(text(&key.namespace)).or_default().insert(text(&key.name), value)
}

fn has<T>(names: &Names<T>, namespace: &str, name: &str) -> bool {
    names.get(namespace).is_some_and(|names| names.contains_key(name))
}

/// A list in progress. It may take long (an API server that is away): other kinds do not wait for it.
#[derive(Debug, Default)]
struct List {
    names: Names<()>,
    changes: Vec<Change>,
}

/// The state of all watches.
#[derive(Debug)]
pub(super) struct Collector {
    /// Kinds that have not listed everything once.
    waiting: BTreeSet<Kind>,
    /// What was said and holds, with the print of what it was where it has one.
    known: BTreeMap<Kind, Names<u64>>,
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
            known: BTreeMap::new(),
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
            Notice::Item(read) => {
                if let Some(list) = self.lists.get_mut(&read.key.kind) {
                    put(&mut list.names, &read.key, ());
                }
                self.apply(read);
            }
            Notice::Apply(read) => self.apply(read),
            Notice::Gone(key) => self.gone(&key),
            Notice::Done(kind) => self.done(kind),
        }
    }

    /// A list is complete: what it has not named is gone.
    fn done(&mut self, kind: Kind) {
        self.waiting.remove(&kind);
        let list = self.lists.remove(&kind).unwrap_or_default();
        self.changes.extend(list.changes);
        let mut ended = BTreeSet::new();
        for (namespace, names) in self.known.get(&kind).into_iter().flatten() {
            let unnamed = names.keys().filter(|name| !has(&list.names, namespace, name));
            ended.extend(unnamed.map(|name| Key::new(kind, namespace, name)));
        }
        let broken = self.findings.range(Key::new(kind, "", "")..).map(|(key, _)| key);
        let broken = broken.take_while(|key| key.kind == kind);
        let broken = broken.filter(|key| !has(&list.names, &key.namespace, &key.name));
        ended.extend(broken.cloned());
        ended.iter().for_each(|key| self.gone(key));
    }

    fn apply(&mut self, read: Read) {
        let Read { key, change, print, findings } = read;
        let before = self.findings.remove(&key);
        if before.as_ref().is_some_and(|before| *before != findings)
            || before.is_none() && !findings.is_empty()
        {
            self.dirty = true;
        }
        if !findings.is_empty() {
            self.findings.insert(key.clone(), findings);
        }
        // None when it has an error: the last good version stays.
        let Some(change) = change else { return };
        let known = self.known.entry(key.kind).or_default();
        // Listed anew after a lost connection, most are what they were.
        let same = put(known, &key, print).is_some_and(|before| before == print && print != 0);
        if !same {
            let changes = self.lists.get_mut(&key.kind).map_or(&mut self.changes, |list| &mut list.changes);
            changes.push(change);
        }
    }

    fn gone(&mut self, key: &Key) {
        self.dirty |= self.findings.remove(key).is_some();
        let names = self.known.get_mut(&key.kind).and_then(|known| known.get_mut(&*key.namespace));
        if names.is_some_and(|names| names.remove(&*key.name).is_some()) {
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

    fn read(key: Key, value: serde_json::Value) -> Read {
        Read::of(key, api::parse::from_value(value))
    }

    fn service(name: &str, port: serde_json::Value) -> Read {
        let value = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "n"},
            "spec": {"ports": [{"port": port}]}});
        read(Key::new(Kind::Service, "n", name), value)
    }

    fn item(name: &str) -> Notice {
        Notice::Item(service(name, 80.into()))
    }

    fn words(batch: Option<Batch>) -> Vec<String> {
        let word = |change: &Change| match change {
            Change::Apply(object) => format!("+{}", object.meta().name),
            Change::Pod(pod) => format!("+{}", pod.name),
            Change::Slice(slice) => format!("+{}", slice.name),
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
        collector.take(Notice::Apply(read(Key::new(Kind::Pod, "n", "p"), pod)));
        assert_eq!(words(collector.batch()), ["+p"], "other kinds do not wait for it");
        collector.take(item("c"));
        collector.take(Notice::Done(Kind::Service));
        assert_eq!(words(collector.batch()), ["+b", "+c", "-a"]);
    }

    #[test]
    fn a_pod_that_is_listed_again_unchanged_is_no_change() {
        let pod = |node: &str| {
            let pod = api::core::Pod { node_name: node.to_owned(), ..Default::default() };
            Notice::Item(Read::pod(crate::world::Pod::of(&api::Object::new("n", "p", pod))))
        };
        let mut collector = Collector::new([Kind::Pod]);
        for (node, said) in [("x", "+p"), ("x", "nothing"), ("y", "+p")] {
            for notice in [Notice::Begin(Kind::Pod), pod(node), Notice::Done(Kind::Pod)] {
                collector.take(notice);
            }
            assert_eq!(words(collector.batch()), [said], "{node}");
        }
    }

    #[test]
    fn a_broken_object_leaves_its_last_good_version_and_is_named_until_it_is_gone() {
        let mut collector = Collector::new([Kind::Service]);
        for notice in [Notice::Begin(Kind::Service), item("a"), Notice::Done(Kind::Service)] {
            collector.take(notice);
        }
        collector.batch();
        let broken = service("a", "eighty".into());
        let key = broken.key.clone();
        collector.take(Notice::Apply(broken));
        let batch = collector.batch().unwrap();
        assert!(batch.changes.is_empty() && batch.findings.has_errors(), "{batch:?}");
        collector.take(Notice::Gone(key));
        let batch = collector.batch().unwrap();
        assert!(batch.findings.is_empty());
        assert_eq!(words(Some(batch)), ["-a"]);
    }
}
