//! What a cluster takes over: endpoints from its assignment, transports and sets from the cluster before it.
//!
//! In: clusters, old and new. Out: sets in force, settings that share what is alike. Called by the store, on the
//! control thread; promises that workers see a whole set or the one before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::compile::{Assignment, Resolved, endpoint_set};
use crate::config::{Cluster, ClusterSettings, EndpointSet};

/// Gives a cluster the set of its assignment. Without one it keeps what it has.
pub(super) fn refresh(cluster: &Cluster, assignment: Option<&Arc<Assignment>>) {
    let Some(assignment) = assignment else { return };
    let previous = cluster.endpoints.load();
    publish(cluster, endpoint_set(assignment, &cluster.settings, &previous, &Resolved::new()));
}

/// Puts a set in force.
pub(crate) fn publish(cluster: &Cluster, set: EndpointSet) {
    let members = u32::try_from(set.all().count()).unwrap_or(u32::MAX);
    cluster.outliers.members.store(members, Ordering::Relaxed);
    cluster.endpoints.set(set);
}

/// True when the sets of one serve the other: same transport matches and same tables.
pub(super) fn same_sets(old: &ClusterSettings, new: &ClusterSettings) -> bool {
    let labels = |settings: &ClusterSettings| {
        settings.tls_matches.iter().map(|one| one.labels.clone()).collect::<Vec<_>>()
    };
    old.balance == new.balance && old.locality_weighted == new.locality_weighted && labels(old) == labels(new)
}

/// Pools compare transports by pointer: alike means the very same.
pub(super) fn keep_tls(settings: &mut ClusterSettings, old: &ClusterSettings) {
    settings.tls = old.tls.clone();
    for (new, old) in settings.tls_matches.iter_mut().zip(&old.tls_matches) {
        new.tls = old.tls.clone();
    }
}
