//! Sidecars against pods and services: two on one pod, one on none, a way out that leads nowhere.

use api::meta::labels_match;
use api::networking::Sidecar;
use api::{Code, Findings};

use super::across::destination;
use crate::model::note::note;
use crate::model::sidecar::Outside;
use crate::model::snapshot::Snapshot;
use crate::world::World;

/// All Sidecars.
pub(super) fn sidecars(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    let known = snapshot.workloads.iter().next().is_some();
    for (namespace, all) in &snapshot.sidecars.chosen {
        for (at, sidecar) in all.iter().enumerate() {
            let Some(object) = world.get::<Sidecar>(namespace, &sidecar.name) else { continue };
            let mut pods =
                snapshot.workloads.within(namespace).filter(|w| labels_match(&sidecar.labels, &w.labels));
            let older = |labels| all[..at].iter().find(|s| labels_match(&s.labels, labels));
            let Some(first) = pods.next() else {
                if known {
                    let text = "no pod of the namespace has the labels of the selector";
                    note(out, object, "spec.workloadSelector", Code::NoMatchingWorkloadsFound, text);
                }
                continue;
            };
            let both = std::iter::once(first).chain(pods).find_map(|w| Some((w, older(&w.labels)?)));
            if let Some((pod, older)) = both {
                let text = format!("the older Sidecar {} chooses pod {} too, and wins", older.name, pod.name);
                let code = Code::ConflictingSidecarWorkloadSelectors;
                note(out, object, "spec.workloadSelector", code, text);
            }
        }
    }
    let sets = &snapshot.sidecars;
    for sidecar in sets.chosen.values().flatten().chain(sets.defaults.values()) {
        let Some(Outside::Through(to)) = &sidecar.outside else { continue };
        if let Some(object) = world.get::<Sidecar>(&sidecar.namespace, &sidecar.name) {
            destination(snapshot, object, "spec.outboundTrafficPolicy.egressProxy", to, out);
        }
    }
}
