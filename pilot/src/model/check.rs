//! What only shows when sections are held against each other: names that nothing has, rules that meet nothing.

use api::networking::{DestinationRule, Gateway, VirtualService};
use api::{Code, FieldPath, Finding, Findings, Object, Severity};

use super::names::{covers, full, overlap};
use super::note::note;
use super::routes::route::{Action, Destination, GatewayRef};
use super::routes::virtual_service::gateway;
use super::snapshot::Snapshot;
use crate::world::World;
use crate::xds::tls::CIPHERS;

/// All checks across sections.
pub(super) fn across(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    for object in world.all::<VirtualService>() {
        virtual_service(snapshot, object, out);
    }
    for object in world.all::<DestinationRule>() {
        destination_rule(snapshot, object, out);
    }
    for object in world.all::<Gateway>() {
        serving(snapshot, object, out);
    }
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

fn destination(
    snapshot: &Snapshot,
    object: &Object<VirtualService>,
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

fn destination_rule(snapshot: &Snapshot, object: &Object<DestinationRule>, out: &mut Findings) {
    let host = full(&object.spec.host, &object.meta.namespace);
    let services: Vec<_> = snapshot.services.all.iter().filter(|s| covers(&host, &s.host)).collect();
    if services.is_empty() {
        let text = format!("there is no service {host}: the rule has no effect");
        return note(out, object, "spec.host", Code::UnknownDestinationRuleHost, text);
    }
    for (index, subset) in object.spec.subsets.iter().enumerate() {
        let endpoints = services.iter().flat_map(|s| {
            s.ports.iter().filter_map(|p| snapshot.endpoints.0.of(&s.host, &s.namespace, p.number))
        });
        let mut all = endpoints.flat_map(|set| set.iter()).peekable();
        // Without any endpoint at all, nothing can be said of a subset.
        let any = all.peek().is_some();
        if any && !all.any(|e| subset.labels.iter().all(|(k, v)| e.labels.get(k) == Some(v))) {
            let text = format!("no endpoint of {host} has the labels of subset {:?}", subset.name);
            note(
                out,
                object,
                &format!("spec.subsets[{index}]"),
                Code::DestinationRuleSubsetNotSelectPods,
                text,
            );
        }
    }
}

fn serving(snapshot: &Snapshot, object: &Object<Gateway>, out: &mut Findings) {
    let selector = &object.spec.selector;
    if snapshot.workloads.iter().next().is_none() {
        return;
    }
    let pods: Vec<_> =
        snapshot.workloads.iter().filter(|w| api::meta::labels_match(selector, &w.labels)).collect();
    if pods.is_empty() {
        let text = "no pod has the labels of the selector: nothing listens";
        return note(out, object, "spec.selector", Code::NoMatchingWorkloadsFound, text);
    }
    for (index, server) in object.spec.servers.iter().enumerate() {
        let Some(tls) = &server.tls else { continue };
        let single = Some(&tls.credential_name).filter(|name| !name.is_empty());
        for name in single.into_iter().chain(&tls.credential_names) {
            let missing = pods.iter().find(|p| snapshot.secrets.named(&p.namespace, name).is_none());
            if let Some(pod) = missing {
                let text = format!(
                    "there is no usable Secret {name} in {}, the namespace of the gateway's pods: TLS fails there",
                    pod.namespace
                );
                let path = format!("spec.servers[{index}].tls");
                note(out, object, &path, Code::ReferencedResourceNotFound, text);
            }
        }
        let odd = tls.cipher_suites.iter().filter(|name| !CIPHERS.contains(&name.as_str()));
        for name in odd {
            let path = format!("spec.servers[{index}].tls.cipherSuites");
            note(
                out,
                object,
                &path,
                Code::NoEffect,
                format!("{name} is no cipher suite that can be asked for: left out"),
            );
        }
    }
}

/// Spans need their collector among the services.
fn collector(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    let Some(tracing) = &snapshot.mesh.observe.tracing else { return };
    let scope = snapshot.scopes.of(&snapshot.mesh.root_namespace);
    if scope.service(&tracing.host).is_some_and(|v| v.service.port(tracing.port).is_some()) {
        return;
    }
    let text = format!(
        "the tracing collector {}:{} is no service of the mesh: no spans are sent",
        tracing.host, tracing.port
    );
    // The usual mesh config names a collector that few meshes have.
    let finding = Finding::new(Code::ReferencedResourceNotFound, text).severity(Severity::Info);
    out.push(match world.get::<api::core::ConfigMap>("istio-system", "istio") {
        Some(object) => {
            let path = FieldPath::parse("data.mesh");
            let line = object.origin.line_of(&path);
            finding.about(object.key()).at(&object.origin.file, line).field(path)
        }
        None => finding,
    });
}
