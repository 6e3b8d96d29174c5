//! What only shows when sections are held against each other: names that nothing has, rules that meet nothing.
//!
//! In: the World and a finished Snapshot. Out: findings, and nothing else: what is wrong stays in force as far as it
//! can be meant. Called by `resolve` after the last section; pure.

use api::networking::{DestinationRule, Gateway, VirtualService};
use api::{Code, FieldPath, Finding, Findings, Object, Severity, Spec};

use super::{gateways, rules, sidecars, workloads};
use crate::model::names::{full, overlap};
use crate::model::note::note;
use crate::model::routes::route::{Action, Destination, GatewayRef};
use crate::model::routes::virtual_service::gateway;
use crate::model::snapshot::Snapshot;
use crate::model::telemetry::Side;
use crate::world::World;

/// All checks across sections.
pub(in crate::model) fn across(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    for object in world.all::<VirtualService>() {
        virtual_service(snapshot, object, out);
    }
    for object in world.all::<DestinationRule>() {
        rules::destination_rule(snapshot, object, out);
    }
    for object in world.all::<Gateway>() {
        gateways::serving(snapshot, object, out);
    }
    gateways::conflicts(world, snapshot, out);
    sidecars::sidecars(world, snapshot, out);
    workloads::ports(world, snapshot, out);
    collector(world, snapshot, out);
}

fn virtual_service(snapshot: &Snapshot, object: &Object<VirtualService>, out: &mut Findings) {
    let namespace = object.meta.namespace.as_str();
    for (index, name) in object.spec.gateways.iter().enumerate() {
        let GatewayRef::Named { namespace, name } = gateway(name, namespace) else { continue };
        let path = format!("spec.gateways[{index}]");
        match snapshot.gateways.named(&namespace, &name) {
            None => {
                let text = format!("there is no Gateway {namespace}/{name}");
                note(out, object, &path, Code::ReferencedResourceNotFound, text);
            }
            Some(found) => {
                let hosts: Vec<_> = found.servers.iter().flat_map(|s| &s.hosts).collect();
                let fits = |h: &String| {
                    let host = full(h, &object.meta.namespace);
                    hosts.iter().any(|s| {
                        overlap(&s.host, &host)
                            && s.namespace.as_ref().is_none_or(|ns| *ns == object.meta.namespace)
                    })
                };
                for host in object.spec.hosts.iter().filter(|h| !fits(h)) {
                    let text = format!("no server of Gateway {namespace}/{name} has the host {host}");
                    note(out, object, "spec.hosts", Code::VirtualServiceHostNotFoundInGateway, text);
                }
            }
        }
    }
    let Some(set) =
        snapshot.routes.sets.iter().find(|s| s.namespace == namespace && s.name == object.meta.name)
    else {
        return;
    };
    for (index, rule) in set.http.iter().enumerate() {
        let splits = match &rule.action {
            Action::Forward(splits) => splits.as_slice(),
            _ => &[],
        };
        let to = splits.iter().map(|s| &s.to).chain(rule.mirrors.iter().map(|m| &m.to));
        to.for_each(|to| destination(snapshot, object, &format!("spec.http[{index}]"), to, out));
    }
    for (index, rule) in set.tls.iter().enumerate() {
        rule.to.iter().for_each(|s| destination(snapshot, object, &format!("spec.tls[{index}]"), &s.to, out));
    }
    for (index, rule) in set.tcp.iter().enumerate() {
        rule.to.iter().for_each(|s| destination(snapshot, object, &format!("spec.tcp[{index}]"), &s.to, out));
    }
}

/// A destination of a route, or of anything else that leads somewhere.
pub(super) fn destination<T: Spec>(
    snapshot: &Snapshot,
    object: &Object<T>,
    path: &str,
    to: &Destination,
    out: &mut Findings,
) {
    let scope = snapshot.scopes.of(&object.meta.namespace);
    let Some(found) = scope.covering(&to.host) else {
        let text = format!("there is no service {}: requests that get here are answered with 503", to.host);
        return note(out, object, path, Code::ReferencedResourceNotFound, text);
    };
    let known = |name: &str| found.rule.as_ref().is_some_and(|r| r.subset(name).is_some());
    if !to.subset.is_empty() && !known(&to.subset) {
        let text = format!(
            "no DestinationRule of {} has the subset {:?}: requests that get here are answered with 503",
            to.host, to.subset
        );
        note(out, object, path, Code::ReferencedResourceNotFound, text);
    }
    match to.port {
        Some(port) if found.service.port(port).is_none() => {
            let text =
                format!("{} has no port {port}: requests that get here are answered with 503", to.host);
            note(out, object, path, Code::ReferencedResourceNotFound, text);
        }
        None if found.service.ports.len() > 1 => {
            let text = format!("{} has several ports: without a port, that of the request is taken", to.host);
            note(out, object, path, Code::VirtualServiceDestinationPortSelectorRequired, text);
        }
        _ => {}
    }
}

/// Spans need their collector among the services.
fn collector(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    let none = std::collections::BTreeMap::new();
    let root = &snapshot.mesh.root_namespace;
    let Some(tracing) = snapshot.telemetry.of(root, &none, Side::Client).tracing else { return };
    let scope = snapshot.scopes.of(root);
    if scope.service(&tracing.host).is_some_and(|v| v.service.port(tracing.port).is_some()) {
        return;
    }
    let text = format!(
        "the tracing collector {}:{} is no service of the mesh: no spans are sent",
        tracing.host, tracing.port
    );
    // The usual mesh config names a collector that few meshes have.
    let finding = Finding::new(Code::ReferencedResourceNotFound, text).severity(Severity::Info);
    out.push(match world.settings() {
        Some(object) => {
            let path = FieldPath::parse("data.mesh");
            let line = object.origin.line_of(&path);
            finding.about(object.key()).at(&object.origin.file, line).field(path)
        }
        None => finding,
    });
}
