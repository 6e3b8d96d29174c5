//! Pods behind several Services: the same port must mean the same thing.

use std::collections::BTreeMap;

use api::core::Service;
use api::meta::labels_match;
use api::{Code, Findings};

use crate::model::note::note;
use crate::model::service::{Port, Protocol, Service as Meant};
use crate::model::snapshot::Snapshot;
use crate::model::target_number;
use crate::world::World;

/// Services that say of one port of a pod that it speaks different protocols.
pub(super) fn ports(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    let mut told = std::collections::BTreeSet::new();
    let mut selecting: BTreeMap<&str, Vec<&Meant>> = BTreeMap::new();
    for service in snapshot.services.all.iter().filter(|s| !s.selector.is_empty()) {
        selecting.entry(&service.namespace).or_default().push(service);
    }
    for pod in snapshot.workloads.sorts() {
        let all = selecting.get(&*pod.namespace).into_iter().flatten();
        let mine = all.copied().filter(|s| labels_match(&s.selector, &pod.labels));
        let mut seen: BTreeMap<u16, (&Meant, &Port)> = BTreeMap::new();
        for service in mine {
            for port in service.ports.iter().filter(|p| p.protocol != Protocol::Udp) {
                let Some(number) = target_number(port, Some(pod)) else { continue };
                let (first, said) = *seen.entry(number).or_insert((service, port));
                if said.protocol == port.protocol || !told.insert((service.host.clone(), port.number)) {
                    continue;
                }
                let Some(object) = world.get::<Service>(&service.namespace, &service.name) else { continue };
                let text = format!(
                    "port {number} of pod {} speaks another protocol by Service {}, which holds",
                    pod.name, first.name
                );
                let at = object.spec.ports.iter().position(|p| p.port == i32::from(port.number));
                let path = format!("spec.ports[{}]", at.unwrap_or_default());
                note(out, object, &path, Code::DeploymentAssociatedToMultipleServices, text);
            }
        }
    }
}
