//! The tables.
//!
//! Each kind counts its changes, so that `model::resolve` knows which sections must be looked at again without
//! being told. An object that is applied again unchanged counts as no change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::core::ConfigMap;
use api::{AnyObject, Key, Kind, Object, Spec};

use super::shelf::Shelf;
use super::text::text;
use super::{Dirty, Pod, Slice};
use crate::source::Change;

/// Everything that was written. A copy shares everything with what it was copied from until one of them changes.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Objects as they were written. Of a cluster no pods and EndpointSlices, which are many.
    objects: BTreeMap<Kind, Shelf<AnyObject>>,
    pods: Shelf<Pod>,
    slices: Shelf<Slice>,
    /// Number of changes per kind.
    changes: BTreeMap<Kind, u64>,
    /// Number of all changes.
    count: u64,
    /// What this control plane was told about itself.
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
            let stamp = self.count + 1;
            let kind = match &change {
                Change::Apply(object) => object.kind(),
                Change::Pod(_) => Kind::Pod,
                Change::Slice(_) => Kind::EndpointSlice,
                Change::Delete(key) => key.kind,
            };
            let changed = match change {
                Change::Apply(object) => self.put(object, stamp),
                Change::Pod(pod) => put_pod(&mut self.pods, pod, stamp),
                Change::Slice(slice) => put_slice(&mut self.slices, slice, stamp),
                Change::Delete(key) => self.delete(&key, stamp),
            };
            if changed {
                self.count = stamp;
                dirty.insert(kind);
                *self.changes.entry(kind).or_default() += 1;
            }
        }
        dirty
    }

    /// Whether it was anything new.
    fn put(&mut self, object: Arc<AnyObject>, stamp: u64) -> bool {
        let meta = object.meta();
        let shelf = self.objects.entry(object.kind()).or_default();
        if shelf.get(&meta.namespace, &meta.name).is_some_and(|old| *old == object) {
            return false;
        }
        match &*object {
            AnyObject::Pod(pod) => put_pod(&mut self.pods, Arc::new(Pod::of(pod)), stamp),
            AnyObject::EndpointSlice(slice) => put_slice(&mut self.slices, Arc::new(Slice::of(slice)), stamp),
            _ => false,
        };
        shelf.insert(&text(&meta.namespace), text(&meta.name), object.clone(), stamp);
        true
    }

    /// Whether it was there.
    fn delete(&mut self, key: &Key, stamp: u64) -> bool {
        let Key { kind, namespace, name } = key;
        let mut was = false;
        match kind {
            Kind::Pod => {
                was |= self.pods.get(namespace, name).is_some();
                self.pods.remove(namespace, name, stamp);
            }
            Kind::EndpointSlice => {
                was |= self.slices.get(namespace, name).is_some();
                self.slices.remove(namespace, name, stamp);
            }
            _ => {}
        }
        if let Some(shelf) = self.objects.get_mut(kind) {
            was |= shelf.get(namespace, name).is_some();
            shelf.remove(namespace, name, stamp);
        }
        was
    }

    /// The same world without objects of other namespaces. What has no namespace stays.
    pub fn only(&self, namespaces: &BTreeSet<String>) -> World {
        let stays = |namespace: &str| namespace.is_empty() || namespaces.contains(namespace);
        World {
            objects: self.objects.iter().map(|(kind, shelf)| (*kind, shelf.only(stays))).collect(),
            pods: self.pods.only(stays),
            slices: self.slices.only(stays),
            ..self.clone()
        }
    }

    /// How often each of these kinds has changed: equal answers mean that nothing did.
    pub fn stamp(&self, kinds: &[Kind]) -> Vec<u64> {
        kinds.iter().map(|kind| self.changes.get(kind).copied().unwrap_or_default()).collect()
    }

    /// The last change of each of these kinds in one namespace: equal answers mean that nothing changed there.
    pub fn stamp_within(&self, kinds: &[Kind], namespace: &str) -> Vec<u64> {
        let of = |kind: &Kind| match kind {
            Kind::Pod => self.pods.stamp(namespace),
            Kind::EndpointSlice => self.slices.stamp(namespace),
            kind => self.objects.get(kind).map_or(0, |shelf| shelf.stamp(namespace)),
        };
        kinds.iter().map(of).collect()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        let written = |kind: Kind| self.objects.get(&kind).map_or(0, Shelf::len);
        let all: usize = self.objects.values().map(Shelf::len).sum();
        let records = self.pods.len() + self.slices.len();
        all + records - written(Kind::Pod) - written(Kind::EndpointSlice)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pods.
    pub fn pods(&self) -> &Shelf<Pod> {
        &self.pods
    }

    /// EndpointSlices.
    pub fn slices(&self) -> &Shelf<Slice> {
        &self.slices
    }

    /// One object.
    pub fn object(&self, key: &Key) -> Option<&Arc<AnyObject>> {
        self.objects.get(&key.kind)?.get(&key.namespace, &key.name)
    }

    /// Every object, by key.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<AnyObject>> {
        self.objects.values().flat_map(Shelf::iter)
    }

    /// Every object of a kind, by namespace and name.
    pub fn all<T: Spec>(&self) -> impl Iterator<Item = &Object<T>> {
        self.objects.get(&T::KIND).into_iter().flat_map(Shelf::iter).filter_map(|object| object.get())
    }

    /// Every object of a kind, oldest first.
    pub fn by_age<T: Spec>(&self) -> Vec<&Object<T>> {
        let mut all: Vec<_> = self.all::<T>().collect();
        all.sort_by(|a, b| a.meta.age(&b.meta));
        all
    }

    /// Every object of a kind in a namespace, by name.
    pub fn within<'a, T: Spec>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Object<T>> + use<'a, T> {
        let shelf = self.objects.get(&T::KIND).map(|shelf| shelf.within(namespace));
        shelf.into_iter().flatten().filter_map(|object| object.get())
    }

    /// One object of a kind.
    pub fn get<T: Spec>(&self, namespace: &str, name: &str) -> Option<&Object<T>> {
        self.objects.get(&T::KIND)?.get(namespace, name).and_then(|object| object.get())
    }
}

fn put_pod(shelf: &mut Shelf<Pod>, pod: Arc<Pod>, stamp: u64) -> bool {
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    let new = shelf.get(&namespace, &name).is_none_or(|old| *old != pod);
    if new {
        shelf.insert(&namespace, name, pod, stamp);
    }
    new
}

fn put_slice(shelf: &mut Shelf<Slice>, slice: Arc<Slice>, stamp: u64) -> bool {
    let (namespace, name) = (slice.namespace.clone(), slice.name.clone());
    let new = shelf.get(&namespace, &name).is_none_or(|old| *old != slice);
    if new {
        shelf.insert(&namespace, name, slice, stamp);
    }
    new
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
    fn records_of_pods_are_those_of_their_objects() {
        let object = Object::new("a", "p", api::core::Pod { node_name: "n1".into(), ..Default::default() });
        let mut world = World::of([object.clone().into()]);
        assert_eq!((&*world.pods().get("a", "p").unwrap().node, world.len()), ("n1", 1));
        let stamp = world.stamp_within(&[Kind::Pod], "a");
        world.apply([Change::Pod(Arc::new(Pod::of(&object)))]);
        assert_eq!(world.stamp_within(&[Kind::Pod], "a"), stamp, "the same again");
        world.apply([Change::Delete(object.key())]);
        assert!(world.is_empty() && world.pods().get("a", "p").is_none());
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
