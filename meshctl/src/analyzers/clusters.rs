//! One Service in several clusters of a mesh: clients see one, so it must be the same everywhere.
//!
//! In: the Services of this cluster and of others. Out: findings IST0170. There is nothing to compare unless
//! `analyze --remote-contexts` names other clusters.

use std::collections::BTreeMap;

use api::core::Service;
use api::{Code, Findings, Object};

use super::scene::{Scene, note_of};

/// IST0170.
pub(super) fn services(scene: &Scene, out: &mut Findings) {
    for service in scene.all::<Service>().filter(|one| !scene.is_system(&one.meta.namespace)) {
        let same = |other: &&Object<Service>| {
            other.meta.namespace == service.meta.namespace && other.meta.name == service.meta.name
        };
        for (cluster, list) in &scene.remotes {
            let Some(other) = list.iter().find(same) else { continue };
            let apart = apart(service, other);
            if !apart.is_empty() {
                let text = format!(
                    "it is another one in cluster {cluster}: {}; clients of the mesh see one Service, so make them alike",
                    apart.join(", ")
                );
                note_of(out, service, "", Code::MultiClusterInconsistentService, text);
            }
        }
    }
}

/// What differs between two Services of one name.
fn apart(here: &Object<Service>, there: &Object<Service>) -> Vec<String> {
    let kind = |one: &Object<Service>| match (one.spec.service_type.as_str(), one.spec.cluster_ip.as_str()) {
        ("ExternalName", _) => "another name (ExternalName)".to_owned(),
        (_, "None") => "headless".to_owned(),
        _ => "one with an address".to_owned(),
    };
    let ports = |one: &Object<Service>| -> BTreeMap<i32, String> {
        let named = |port: &api::core::ServicePort| {
            let protocol = port.app_protocol.as_deref().unwrap_or(&port.name);
            let transport = if port.protocol.is_empty() { "TCP" } else { port.protocol.as_str() };
            (port.port, format!("{transport} {protocol}").trim_end().to_owned())
        };
        one.spec.ports.iter().map(named).collect()
    };
    let mut apart = Vec::new();
    if kind(here) != kind(there) {
        apart.push(format!("here it is {}, there {}", kind(here), kind(there)));
    }
    let (ours, theirs) = (ports(here), ports(there));
    for port in ours.keys().chain(theirs.keys().filter(|port| !ours.contains_key(port))) {
        match (ours.get(port), theirs.get(port)) {
            (Some(a), Some(b)) if a != b => apart.push(format!("port {port} is {a} here and {b} there")),
            (Some(_), None) => apart.push(format!("port {port} is here only")),
            (None, Some(_)) => apart.push(format!("port {port} is there only")),
            _ => {}
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::scene;
    use super::*;

    fn service(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: n}}\nspec: {{{spec}}}\n")
    }

    #[test]
    fn what_differs_is_named() {
        let found = |here: &str, there: &str| {
            let mut scene = scene(&service(here));
            let other = super::super::scene::tests::scene(&service(there));
            scene.remotes.push(("far".to_owned(), other.all::<Service>().cloned().collect()));
            let mut out = Findings::new();
            services(&scene, &mut out);
            out.iter().map(|one| one.message.clone()).collect::<Vec<_>>()
        };
        let web = "ports: [{name: http, port: 80}]";
        assert!(found(web, web).is_empty());
        assert!(
            found(web, "ports: [{name: tcp, port: 80}]")[0]
                .contains("port 80 is TCP http here and TCP tcp there")
        );
        let other = found(web, "clusterIP: None, ports: [{name: http, port: 81}]");
        assert!(other[0].contains("here it is one with an address, there headless"), "{other:?}");
        assert!(other[0].contains("port 80 is here only, port 81 is there only"), "{other:?}");
    }
}
