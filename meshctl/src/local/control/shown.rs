//! Objects as an API server would show them: with status, and those that it would make itself.
//!
//! In: the world. Out: values for `get`, in the order of their names, and the words for one that is not there.

use api::core::Service;
use api::{AnyObject, Kind, Object};
use serde_json::{Value, json};

use crate::local::reconcile;
use crate::local::services::{self, PodFacts};
use crate::local::workloads::{template_of, version_of};
use crate::local::world::{PodRecord, World};

/// That there is no object of this name; where there is one, if anywhere.
pub(super) fn not_found(world: &World, kind: Kind, namespace: Option<&str>, name: &str) -> String {
    let namespace = namespace.filter(|_| kind.is_namespaced());
    let own = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let all = values(world, kind, None);
    let away = all.iter().filter(|object| object["metadata"]["name"] == name);
    let away: Vec<&str> = away.filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    let hint = match away.first() {
        Some(other) => format!("; there is one in {}: say -n {other}", away.join(", ")),
        None => String::new(),
    };
    format!("{} {name:?} not found{own}{hint}", plural(kind))
}

pub(super) fn plural(kind: Kind) -> String {
    let row = kind.row();
    if row.group.is_empty() { row.plural.to_owned() } else { format!("{}.{}", row.plural, row.group) }
}

/// All objects of a kind as shown, in the order of their names.
pub(super) fn values(world: &World, kind: Kind, namespace: Option<&str>) -> Vec<Value> {
    let here = |own: &str| own.is_empty() || namespace.is_none_or(|namespace| namespace == own);
    if kind == Kind::Pod {
        return world
            .pods
            .values()
            .filter(|pod| here(&pod.plan.namespace))
            .map(|pod| pod.value(true))
            .collect();
    }
    let facts: Vec<PodFacts> = world.pods.values().map(PodRecord::facts).collect();
    let mut found = Vec::new();
    for service in world.all::<Service>().filter(|service| here(&service.meta.namespace)) {
        if !matches!(kind, Kind::Service | Kind::EndpointSlice | Kind::Endpoints) {
            break;
        }
        let Some(addresses) = world.addresses.both(&service.meta.namespace, &service.meta.name) else {
            continue;
        };
        let view = services::view(service, addresses, &facts);
        match kind {
            Kind::Service => found.push(world.service_value(service, &reconcile::ips(&view))),
            _ => {
                let made = json!(service.meta.creation_timestamp);
                let mut slices = services::slices(service, &view);
                slices.iter_mut().for_each(|slice| slice["metadata"]["creationTimestamp"] = made.clone());
                match kind {
                    Kind::Endpoints => found.extend(endpoints(service, &slices)),
                    _ => found.extend(slices),
                }
            }
        }
    }
    if kind == Kind::Service {
        return found;
    }
    for stored in world.objects.values() {
        let object = &stored.object;
        if object.kind() == kind && here(&object.meta().namespace) {
            let mut value = object.to_value();
            status(world, object, &mut value);
            found.push(value);
        }
    }
    found
}

/// The IPv4 slices of a Service as the older kind shows them; nothing for a Service that selects nothing.
fn endpoints(service: &Object<Service>, slices: &[Value]) -> Option<Value> {
    let of_family = slices.iter().filter(|slice| slice["addressType"] == "IPv4");
    let subset = |slice: &Value| {
        let list = |ready: bool| -> Vec<Value> {
            let all = slice["endpoints"].as_array().into_iter().flatten();
            let some = all.filter(|one| one["conditions"]["ready"] == ready);
            some.map(|one| json!({"ip": one["addresses"][0], "targetRef": one["targetRef"]})).collect()
        };
        json!({"addresses": list(true), "notReadyAddresses": list(false), "ports": slice["ports"]})
    };
    let made = slices.first()?["metadata"]["creationTimestamp"].clone();
    let meta =
        json!({"name": service.meta.name, "namespace": service.meta.namespace, "creationTimestamp": made});
    let subsets: Vec<Value> = of_family.map(subset).collect();
    Some(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}))
}

/// Counts of pods, for workloads.
fn status(world: &World, object: &AnyObject, value: &mut Value) {
    if object.kind() == Kind::Namespace {
        value["status"] = json!({"phase": "Active"});
    }
    if template_of(object).is_none() {
        return;
    }
    let key = object.key();
    let pods: Vec<&PodRecord> =
        world.pods.values().filter(|pod| pod.plan.owner == key && !pod.terminating()).collect();
    let ready = pods.iter().filter(|pod| pod.ready()).count();
    let version = version_of(object);
    let updated = pods.iter().filter(|pod| version.as_ref() == Some(&pod.plan.hash));
    let (updated, available): (Vec<_>, Vec<_>) = updated.copied().partition(|pod| !pod.ready());
    let succeeded = pods.iter().filter(|pod| pod.over == Some(true)).count();
    value["status"] = json!({
        "replicas": pods.len(),
        "readyReplicas": ready,
        "updatedReplicas": updated.len() + available.len(),
        "availableReplicas": available.len(),
        "succeeded": succeeded,
        "conditions": conditions(object, available.len(), succeeded),
    });
}

/// What `wait` asks for.
fn conditions(object: &AnyObject, available: usize, succeeded: usize) -> Value {
    let enough =
        |wanted: Option<i32>, there: usize| usize::try_from(wanted.unwrap_or(1)).is_ok_and(|n| there >= n);
    let (name, met) = match object {
        AnyObject::Deployment(object) => ("Available", enough(object.spec.replicas, available)),
        AnyObject::Job(object) => ("Complete", enough(object.spec.completions, succeeded)),
        _ => return json!([]),
    };
    json!([{"type": name, "status": if met { "True" } else { "False" }}])
}
