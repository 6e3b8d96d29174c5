//! Gateways against pods, Services, Secrets and each other.

use api::meta::labels_match;
use api::networking::Gateway;
use api::{Code, Findings, Object};

use crate::model::gateway::{Gateway as Meant, ServerProtocol};
use crate::model::hashed::Hashed;
use crate::model::note::note;
use crate::model::service::Target;
use crate::model::snapshot::Snapshot;
use crate::model::workloads::Workload;
use crate::world::World;
use crate::xds::tls::CIPHERS;

/// One Gateway: does anything listen, is it reachable, are its credentials there?
pub(super) fn serving(snapshot: &Snapshot, object: &Object<Gateway>, out: &mut Findings) {
    let selector = &object.spec.selector;
    if snapshot.workloads.iter().next().is_none() {
        return;
    }
    let pods: Vec<_> =
        snapshot.workloads.sorts().filter(|w| api::meta::labels_match(selector, &w.labels)).collect();
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
    unreachable(snapshot, object, &pods, out);
}

/// Ports that no Service in front of the pods leads to.
fn unreachable(
    snapshot: &Snapshot,
    object: &Object<Gateway>,
    pods: &[&Hashed<Workload>],
    out: &mut Findings,
) {
    let fronts = || {
        snapshot.services.all.iter().filter(|s| {
            !s.selector.is_empty()
                && pods.iter().any(|p| *p.namespace == *s.namespace && labels_match(&s.selector, &p.labels))
        })
    };
    if fronts().next().is_none() {
        return;
    }
    for (index, server) in object.spec.servers.iter().enumerate() {
        let Some(number) = server.port.as_ref().and_then(|p| u16::try_from(p.number).ok()) else { continue };
        let leads =
            fronts().flat_map(|s| &s.ports).any(|p| p.number == number || p.target == Target::Number(number));
        if !leads {
            let text = format!("no Service in front of the gateway's pods has port {number}");
            let path = format!("spec.servers[{index}].port");
            note(out, object, &path, Code::GatewayPortNotDefinedOnService, text);
        }
    }
}

/// Two Gateways that claim the same hosts on the same port of the same pods: the younger is named.
pub(super) fn conflicts(world: &World, snapshot: &Snapshot, out: &mut Findings) {
    let all = &snapshot.gateways.all;
    for (at, younger) in all.iter().enumerate() {
        for older in &all[..at] {
            let together = snapshot.workloads.sorts().any(|w| {
                labels_match(&older.selector, &w.labels) && labels_match(&younger.selector, &w.labels)
            });
            if !together {
                continue;
            }
            let Some(object) = world.get::<Gateway>(&younger.namespace, &younger.name) else { continue };
            for (port, host) in shared(older, younger) {
                let text = format!(
                    "Gateway {}/{} has {host} on port {port} of the same pods already: the older one decides about \
                     protocol and TLS",
                    older.namespace, older.name
                );
                note(out, object, "spec.servers", Code::ConflictingGateways, text);
            }
        }
    }
}

/// Ports and hosts that both have, where only one of them can be served.
fn shared(older: &Meant, younger: &Meant) -> Vec<(u16, String)> {
    let mut out = Vec::new();
    for a in &older.servers {
        for b in younger.servers.iter().filter(|b| b.port == a.port) {
            // Plain HTTP servers share a table, where every route is kept.
            if a.protocol == ServerProtocol::Http && b.protocol == ServerProtocol::Http {
                continue;
            }
            out.extend(b.hosts.iter().filter(|h| a.hosts.contains(h)).map(|h| (b.port, h.host.clone())));
        }
    }
    out.sort();
    out.dedup();
    out
}
