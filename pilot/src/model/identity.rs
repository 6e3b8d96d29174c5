//! Who must speak mutual TLS to whom: PeerAuthentication by mesh, namespace, workload and port.
//!
//! Comes in: the objects. Goes out: one question, `mode(workload, port)`. The most specific answer wins, the
//! oldest object among equals.

use std::collections::BTreeMap;

use api::security::{MtlsMode, PeerAuthentication};
use api::{Code, Findings, Object, meta::labels_match};

use super::note::note;
use crate::world::World;

/// Whether connections must be mutual TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    Disable,
    #[default]
    Permissive,
    Strict,
}

/// All PeerAuthentications, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    mesh: Option<Mode>,
    namespaces: BTreeMap<String, Mode>,
    workloads: Vec<Workload>,
}

/// A PeerAuthentication with a selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Workload {
    namespace: String,
    labels: BTreeMap<String, String>,
    mode: Option<Mode>,
    ports: BTreeMap<u16, Mode>,
}

impl Identity {
    /// Mode of a port of a workload.
    pub fn mode(&self, namespace: &str, labels: &BTreeMap<String, String>, port: u16) -> Mode {
        let own = self.workload(namespace, labels);
        own.and_then(|w| w.ports.get(&port).copied()).unwrap_or_else(|| self.other_ports(namespace, labels))
    }

    /// Mode of the ports of a workload that nothing names.
    pub fn other_ports(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Mode {
        self.workload(namespace, labels)
            .and_then(|w| w.mode)
            .or_else(|| self.namespaces.get(namespace).copied())
            .or(self.mesh)
            .unwrap_or_default()
    }

    fn workload(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<&Workload> {
        self.workloads.iter().find(|w| w.namespace == namespace && labels_match(&w.labels, labels))
    }
}

/// Reads all PeerAuthentications.
pub fn resolve(world: &World, root: &str, findings: &mut Findings) -> Identity {
    let mut identity = Identity::default();
    for object in world.by_age::<PeerAuthentication>() {
        let namespace = object.meta.namespace.as_str();
        let mode = object.spec.mtls.as_ref().and_then(|m| mode(m.mode));
        let labels = object.spec.selector.as_ref().map(|s| &s.match_labels).filter(|l| !l.is_empty());
        match labels {
            Some(labels) => {
                let ports = ports(object, findings);
                identity.workloads.push(Workload {
                    namespace: namespace.to_owned(),
                    labels: labels.clone(),
                    mode,
                    ports,
                });
            }
            None => {
                if !object.spec.port_level_mtls.is_empty() {
                    let text = "portLevelMtls needs a selector; it has no effect here";
                    note(findings, object, "spec.portLevelMtls", Code::NoEffect, text);
                }
                let taken = if namespace == root {
                    identity.mesh.is_some()
                } else {
                    identity.namespaces.contains_key(namespace)
                };
                match mode {
                    _ if taken => {
                        let text =
                            "an older PeerAuthentication without selector already holds for this namespace";
                        note(findings, object, "metadata.name", Code::NoEffect, text);
                    }
                    Some(mode) if namespace == root => identity.mesh = Some(mode),
                    Some(mode) => drop(identity.namespaces.insert(namespace.to_owned(), mode)),
                    None => {}
                }
            }
        }
    }
    identity
}

fn ports(object: &Object<PeerAuthentication>, findings: &mut Findings) -> BTreeMap<u16, Mode> {
    let mut out = BTreeMap::new();
    for (port, setting) in &object.spec.port_level_mtls {
        match (port.parse(), mode(setting.mode)) {
            (Ok(port), Some(mode)) => drop(out.insert(port, mode)),
            (Ok(_), None) => {}
            (Err(_), _) => {
                let text = format!("{port:?} is not a port number");
                note(findings, object, "spec.portLevelMtls", Code::BadPort, text);
            }
        }
    }
    out
}

fn mode(mode: MtlsMode) -> Option<Mode> {
    match mode {
        MtlsMode::Unset => None,
        MtlsMode::Disable => Some(Mode::Disable),
        MtlsMode::Permissive => Some(Mode::Permissive),
        MtlsMode::Strict => Some(Mode::Strict),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(text: &str) -> World {
        let parsed = api::parse("test.yaml", text);
        assert!(parsed.findings.is_empty(), "{}", parsed.findings);
        World::of(parsed.objects)
    }

    #[test]
    fn the_most_specific_wins() {
        let world = world(concat!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n",
            "metadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n",
            "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n",
            "metadata: {name: ns, namespace: a}\nspec: {mtls: {mode: PERMISSIVE}}\n",
            "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: w, namespace: a}\n",
            "spec: {selector: {matchLabels: {app: x}}, mtls: {mode: STRICT}, portLevelMtls: {\"80\": {mode: DISABLE}}}\n",
        ));
        let identity = resolve(&world, "istio-system", &mut Findings::new());
        let x = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        let none = BTreeMap::new();
        assert_eq!(identity.mode("a", &x, 80), Mode::Disable);
        assert_eq!(identity.mode("a", &x, 81), Mode::Strict);
        assert_eq!(identity.mode("a", &none, 81), Mode::Permissive);
        assert_eq!(identity.mode("b", &x, 80), Mode::Strict);
        assert_eq!(Identity::default().mode("b", &x, 80), Mode::Permissive);
    }
}
