//! What pods are made from against the Services in front of them, and the user that applications run as.
//!
//! In: templates and Services. Out: findings IST0137, 0144 and 0150.

use std::collections::BTreeMap;

use api::core::Service;
use api::meta::labels_match;
use api::{Code, Findings, Object};

use super::scene::{Scene, Template, note, note_of};

/// The proxy's user and group: what runs as it is not intercepted.
const PROXY_USER: i64 = 1337;
/// Containers that may.
const OWN: [&str; 3] = ["istio-proxy", "istio-init", "istio-validation"];
/// Protocols by which HTTP is told from other TCP.
const TCP: [&str; 5] = ["tcp", "tls", "mongo", "redis", "mysql"];

/// IST0144.
pub(super) fn user(scene: &Scene, out: &mut Findings) {
    let text =
        "user 1337 is the proxy's own: connections of an application that runs as it go past the proxy";
    for template in scene.templates() {
        let pod = template.spec;
        let of_pod = pod.security_context.as_ref().and_then(|context| context.run_as_user);
        let lists = [("containers", &pod.containers), ("initContainers", &pod.init_containers)];
        let mut told = false;
        for (list, containers) in lists {
            for (index, container) in
                containers.iter().enumerate().filter(|(_, one)| !OWN.contains(&one.name.as_str()))
            {
                let own = container.security_context.as_ref().and_then(|context| context.run_as_user);
                if own == Some(PROXY_USER) {
                    let path = format!("spec.{list}[{index}].securityContext.runAsUser");
                    note(out, template.owner, &template.path(&path), Code::InvalidApplicationUID, text);
                } else if own.is_none() && of_pod == Some(PROXY_USER) && !told {
                    told = true;
                    let path = template.path("spec.securityContext.runAsUser");
                    note(out, template.owner, &path, Code::InvalidApplicationUID, text);
                }
            }
        }
    }
}

/// IST0137: the same port of a pod under different ports of several Services.
pub(super) fn ports(scene: &Scene, out: &mut Findings) {
    for template in scene.templates() {
        let mut seen: BTreeMap<String, Vec<(&Object<Service>, i32)>> = BTreeMap::new();
        for service in scene.all::<Service>().filter(|service| selects(service, &template)) {
            for port in service.spec.ports.iter().filter(|port| port.protocol != "UDP") {
                let target = port.target_port.as_ref().map_or(port.port.to_string(), ToString::to_string);
                seen.entry(number(&template, &target)).or_default().push((service, port.port));
            }
        }
        for (target, fronts) in seen {
            let mut names: Vec<&str> = fronts.iter().map(|(service, _)| service.meta.name.as_str()).collect();
            let mut numbers: Vec<String> = fronts.iter().map(|(_, port)| port.to_string()).collect();
            names.dedup();
            numbers.sort();
            numbers.dedup();
            if names.len() < 2 || numbers.len() < 2 {
                continue;
            }
            let text = format!(
                "port {target} of its pods is behind the Services {} with different ports ({}): the proxy can know it by one only",
                names.join(", "),
                numbers.join(", ")
            );
            note(out, template.owner, "", Code::DeploymentConflictingPorts, text);
        }
    }
}

fn selects(service: &Object<Service>, template: &Template<'_>) -> bool {
    !service.spec.selector.is_empty()
        && service.meta.namespace == template.namespace
        && labels_match(&service.spec.selector, &template.meta.labels)
}

/// The number of a port that may be named.
fn number(template: &Template<'_>, target: &str) -> String {
    let ports = template.spec.containers.iter().flat_map(|container| &container.ports);
    ports
        .into_iter()
        .find(|port| port.name == target)
        .map_or(target.to_owned(), |port| port.container_port.to_string())
}

/// IST0150: what a name from outside speaks must be told, and TCP without addresses takes a port from everybody.
pub(super) fn external_names(scene: &Scene, out: &mut Findings) {
    for service in scene.all::<Service>().filter(|service| service.spec.is_external_name()) {
        for (index, port) in service.spec.ports.iter().enumerate() {
            let word = port.app_protocol.as_deref().unwrap_or(&port.name);
            let protocol = word.split('-').next().unwrap_or_default().to_lowercase();
            if !protocol.is_empty() && !TCP.contains(&protocol.as_str()) {
                continue;
            }
            let text = format!(
                "the name {:?} of port {} of an ExternalName service says TCP, or nothing: it takes connections to this port of other \
                 services, too; call it http-..., or use a ServiceEntry with addresses",
                port.name, port.port
            );
            let path = format!("spec.ports[{index}].name");
            note_of(out, service, &path, Code::ExternalNameServiceTypeInvalidPortName, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    fn deployment(pod: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: n}}\n\
             spec: {{template: {{metadata: {{labels: {{app: d}}}}, spec: {{{pod}}}}}}}\n"
        )
    }

    fn service(name: &str, ports: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: n}}\n\
             spec: {{selector: {{app: d}}, ports: [{ports}]}}\n"
        )
    }

    #[test]
    fn users() {
        let own =
            "containers: [{name: a, image: a, securityContext: {runAsUser: 1337}}, {name: b, image: b}]";
        assert_eq!(
            found(&deployment(own), user),
            ["IST0144 spec.template.spec.containers[0].securityContext.runAsUser"]
        );
        let pod =
            "securityContext: {runAsUser: 1337}, containers: [{name: a, image: a}, {name: b, image: b}]";
        assert_eq!(found(&deployment(pod), user), ["IST0144 spec.template.spec.securityContext.runAsUser"]);
        let proxy = "securityContext: {runAsUser: 1337}, containers: [{name: istio-proxy, image: a}]";
        assert!(found(&deployment(proxy), user).is_empty());
    }

    #[test]
    fn one_port_by_two_numbers() {
        let pod = deployment("containers: [{name: a, image: a, ports: [{name: web, containerPort: 8080}]}]");
        let two = |second: &str| {
            format!("{pod}{}{}", service("a", "{port: 80, targetPort: 8080}"), service("b", second))
        };
        assert_eq!(found(&two("{port: 81, targetPort: web}"), ports), ["IST0137"]);
        assert!(found(&two("{port: 80, targetPort: 8080}"), ports).is_empty());
        assert!(found(&two("{port: 81, targetPort: 8081}"), ports).is_empty());
    }

    #[test]
    fn names_from_outside() {
        let service = |port: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: n}}\n\
                 spec: {{type: ExternalName, externalName: a.example, ports: [{port}]}}\n"
            )
        };
        assert_eq!(found(&service("{name: tcp-a, port: 1}"), external_names), ["IST0150 spec.ports[0].name"]);
        assert_eq!(found(&service("{port: 1}"), external_names).len(), 1);
        assert!(found(&service("{name: http-a, port: 1}"), external_names).is_empty());
    }
}
