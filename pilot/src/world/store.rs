//! The tables.
//!
//! Each kind counts its changes, so that `model::resolve` knows which sections must be looked at again without
//! being told. An object that is applied again unchanged counts as no change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::core::ConfigMap;
use api::{AnyObject, Key, Kind, Object, Spec};

use super::Dirty;
use crate::source::Change;

/// Everything that was written.
#[derive(Clone, Debug, Default)]
pub struct World {
    objects: BTreeMap<Key, Arc<AnyObject>>,
    /// Number of changes per kind.
    changes: BTreeMap<Kind, u64>,
    home: Arc<Home>,
}

/// What this control plane was told about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Home {
    /// Namespace of the ConfigMap with the mesh settings.
    pub namespace: String,
    /// Its name.
    pub config_map: String,
    /// Percentage of requests that are traced where nothing else says it; Istio's `PILOT_TRACE_SAMPLING`, 1.
    pub trace_sampling: f64,
}

impl Default for Home {
    fn default() -> Self {
        Home { namespace: "istio-system".to_owned(), config_map: "istio".to_owned(), trace_sampling: 1.0 }
    }
}

impl World {
    /// A world of these objects.
    pub fn of(objects: impl IntoIterator<Item = AnyObject>) -> Self {
        let mut world = World::default();
        world.apply(objects.into_iter().map(|object| Change::Apply(Arc::new(object))));
        world
    }

    /// An empty world of a control plane that is not at home in `istio-system`.
    pub fn at(home: Home) -> Self {
        World { home: Arc::new(home), ..World::default() }
    }

    /// What this control plane was told about itself.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The ConfigMap with the mesh settings, if there is one.
    pub fn settings(&self) -> Option<&Object<ConfigMap>> {
        self.get(&self.home.namespace, &self.home.config_map)
    }

    /// Takes one batch.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Dirty {
        let mut dirty = Dirty::default();
        for change in changes {
            let kind = match change {
                Change::Apply(object) => {
                    let key = object.key();
                    let kind = key.kind;
                    match self.objects.insert(key, object.clone()) {
                        Some(old) if *old == *object => continue,
                        _ => kind,
                    }
                }
                Change::Delete(key) => match self.objects.remove(&key) {
                    Some(_) => key.kind,
                    None => continue,
                },
            };
            dirty.insert(kind);
            *self.changes.entry(kind).or_default() += 1;
        }
        dirty
    }

    /// The same world without objects of other namespaces. What has no namespace stays.
    pub fn only(&self, namespaces: &BTreeSet<String>) -> World {
        let stays = |key: &Key| key.namespace.is_empty() || namespaces.contains(&key.namespace);
        let objects = self.objects.iter().filter(|(key, _)| stays(key));
        World {
            objects: objects.map(|(key, object)| (key.clone(), object.clone())).collect(),
            changes: self.changes.clone(),
            home: self.home.clone(),
        }
    }

    /// How often each of these kinds has changed: equal answers mean that nothing did.
    pub fn stamp(&self, kinds: &[Kind]) -> Vec<u64> {
        kinds.iter().map(|kind| self.changes.get(kind).copied().unwrap_or_default()).collect()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// One object.
    pub fn object(&self, key: &Key) -> Option<&Arc<AnyObject>> {
        self.objects.get(key)
    }

    /// Every object, by key.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<AnyObject>> {
        self.objects.values()
    }

    /// Every object of a kind, by namespace and name.
    pub fn all<T: Spec>(&self) -> impl Iterator<Item = &Object<T>> {
        let from = Key::new(T::KIND, "", "");
        self.objects
            .range(from..)
            .take_while(|(key, _)| key.kind == T::KIND)
            .filter_map(|(_, object)| object.get())
    }

    /// Every object of a kind, oldest first.
    pub fn by_age<T: Spec>(&self) -> Vec<&Object<T>> {
        let mut all: Vec<_> = self.all::<T>().collect();
        all.sort_by(|a, b| a.meta.age(&b.meta));
        all
    }

    /// Every object of a kind in a namespace, by name.
    pub fn within<'a, T: Spec>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Object<T>> + 'a {
        let from = Key::new(T::KIND, namespace, "");
        self.objects
            .range(from..)
            .take_while(move |(key, _)| key.kind == T::KIND && key.namespace == namespace)
            .filter_map(|(_, object)| object.get())
    }

    /// One object of a kind.
    pub fn get<T: Spec>(&self, namespace: &str, name: &str) -> Option<&Object<T>> {
        self.objects.get(&Key::new(T::KIND, namespace, name)).and_then(|object| object.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::core::Service;

    fn service(name: &str) -> AnyObject {
        Object::new("a", name, Service::default()).into()
    }

    #[test]
    fn only_real_changes_count() {
        let mut world = World::of([service("x")]);
        let before = world.stamp(&[Kind::Service, Kind::Pod]);
        assert!(world.apply([Change::Apply(Arc::new(service("x")))]).is_empty());
        assert!(world.apply([Change::Delete(Key::new(Kind::Service, "a", "none"))]).is_empty());
        assert_eq!(world.stamp(&[Kind::Service, Kind::Pod]), before);
        let dirty = world.apply([Change::Delete(Key::new(Kind::Service, "a", "x"))]);
        assert!(dirty.contains(Kind::Service) && world.is_empty());
        assert_ne!(world.stamp(&[Kind::Service]), before[..1]);
    }

    #[test]
    fn namespaces_are_apart() {
        let other = Object::new("b", "y", Service::default()).into();
        let world = World::of([service("x"), other]);
        assert_eq!(world.all::<Service>().count(), 2);
        assert_eq!(world.within::<Service>("b").count(), 1);
        assert!(world.get::<Service>("a", "x").is_some());
    }
}
