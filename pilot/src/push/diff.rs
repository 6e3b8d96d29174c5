//! What changed between two sets of layers. Layers that are the same `Arc` cost nothing; a layer that changed is
//! compared by name and version.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wire::{Kind, Resource};

use crate::xds::{Layer, Layers};

/// Change of one kind.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) updated: Vec<Arc<Resource>>,
    pub(crate) removed: Vec<Arc<str>>,
}

/// Changes by kind; kinds without one are not in it.
pub(crate) type Diff = BTreeMap<Kind, Change>;

/// From `old` to `new`.
pub(crate) fn diff(old: &Layers, new: &Layers) -> Diff {
    let unchanged =
        |layer: &Layer, other: &Layers| other.0.iter().any(|o| Arc::ptr_eq(&o.resources, &layer.resources));
    let mut before: HashMap<(Kind, &str), &Arc<Resource>> = HashMap::new();
    for layer in old.0.iter().filter(|layer| !unchanged(layer, new)) {
        before.extend(layer.resources.iter().map(|r| ((r.kind, &*r.name), r)));
    }
    let mut out = Diff::new();
    for layer in new.0.iter().filter(|layer| !unchanged(layer, old)) {
        for resource in layer.resources.iter() {
            match before.remove(&(resource.kind, &*resource.name)) {
                Some(known) if known.version == resource.version => {}
                _ => out.entry(resource.kind).or_default().updated.push(resource.clone()),
            }
        }
    }
    for ((kind, _), resource) in before {
        out.entry(kind).or_default().removed.push(resource.name.clone());
    }
    for change in out.values_mut() {
        change.removed.sort();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn layer(resources: &[(&str, u128)]) -> Layer {
        let make = |(name, hash): &(&str, u128)| {
            Arc::new(Resource::encoded(Kind::Cluster, *name, Vec::new(), *hash))
        };
        Layer { name: "test", key: Digest(0), resources: resources.iter().map(make).collect() }
    }

    #[test]
    fn only_what_changed_is_told() {
        let shared = layer(&[("kept", 1)]);
        let old = Layers(vec![shared.clone(), layer(&[("a", 1), ("b", 1), ("gone", 1)])]);
        let new = Layers(vec![shared, layer(&[("a", 1), ("b", 2), ("new", 1)])]);
        let diff = diff(&old, &new);
        let change = &diff[&Kind::Cluster];
        let updated: Vec<&str> = change.updated.iter().map(|r| &*r.name).collect();
        assert_eq!(updated, ["b", "new"]);
        assert_eq!(change.removed, [Arc::from("gone")]);
        assert!(super::diff(&new, &new).is_empty());
    }
}
