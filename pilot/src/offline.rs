//! The whole way from objects to resources without a process: what `meshctl x dump` prints and paper tests use.
//!
//! Comes in: parsed objects. Goes out: a world, its snapshot, and the resources of a proxy named by pod or node id.
//! Plain manifests are enough: what makes pods is expanded into pods, Services without an address get one, both in
//! the order of their names. Nothing here is used by a running pilot.

use std::collections::BTreeMap;

use api::core::{Namespace, Pod, PodTemplate};
use api::meta::labels_match;
use api::{AnyObject, Finding, Findings, Key, Kind, Object, Spec};
use serde_json::json;
use wire::Node;
use wire::node::{NodeId, Role};

use crate::model::workloads::TLS_MODE;
use crate::model::{Snapshot, names::DOMAIN, resolve};
use crate::world::World;
use crate::xds::{Layers, Memo, Session, View, say};

/// Extensions of our own proxy, as it lists them.
pub const OWN_EXTENSIONS: [&str; 4] = ["istio.stats", "istio.metadata_exchange", "istio.alpn", "mesh.h2"];

/// A mesh on paper.
#[derive(Clone, Debug)]
pub struct Paper {
    pub world: World,
    pub snapshot: Snapshot,
    /// Of checking the objects and of understanding them.
    pub findings: Findings,
}

/// No proxy is meant by a name, or several are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchProxy {
    #[error("no pod is called {0}; there are: {1}")]
    Unknown(String, String),
    #[error("several pods are meant by {0}: {1}")]
    Ambiguous(String, String),
    #[error(transparent)]
    NodeId(#[from] wire::node::BadNodeId),
}

impl Paper {
    /// Understands these objects. Objects with errors are left out, and named.
    pub fn of(objects: impl IntoIterator<Item = AnyObject>) -> Paper {
        let mut findings = Findings::new();
        let mut good = BTreeMap::new();
        for object in objects {
            let found = object.findings();
            let bad = found.has_errors();
            findings.extend(found.into_iter().map(|f| placed(f, &object)));
            if !bad {
                good.insert(object.key(), object);
            }
        }
        expand(&mut good);
        let world = World::of(good.into_values());
        let (snapshot, found) = resolve(None, &world);
        findings.extend(found);
        findings.sort();
        Paper { world, snapshot, findings }
    }

    /// Reads and understands texts: file name and content of each.
    pub fn read<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Paper {
        let mut findings = Findings::new();
        let mut objects = Vec::new();
        for (file, text) in texts {
            let parsed = api::parse(file, text);
            findings.extend(parsed.findings);
            objects.extend(parsed.objects);
        }
        let mut paper = Paper::of(objects);
        findings.extend(std::mem::take(&mut paper.findings));
        findings.sort();
        Paper { findings, ..paper }
    }

    /// The proxy of a pod, as our own proxy would introduce itself. `name` is a pod, `pod.namespace`,
    /// `namespace/pod`, a workload (its first pod), or a whole node id.
    pub fn node(&self, name: &str) -> Result<Node, NoSuchProxy> {
        let mut node =
            if name.contains('~') { Node::new(name.parse::<NodeId>()?) } else { self.pod_node(name)? };
        node.extensions = OWN_EXTENSIONS.iter().map(|&e| e.to_owned()).collect();
        node.metadata.dns_capture = true;
        Ok(node)
    }

    fn pod_node(&self, name: &str) -> Result<Node, NoSuchProxy> {
        let (namespace, short) = match name.split_once('/') {
            Some((namespace, short)) => (Some(namespace), short),
            None => (None, name),
        };
        let workloads =
            || self.snapshot.workloads.iter().filter(|w| namespace.is_none_or(|ns| *w.namespace == *ns));
        let exact = workloads().find(|w| *w.name == *short || format!("{}.{}", w.name, w.namespace) == short);
        let owned: Vec<_> = workloads().filter(|w| *w.owner == *short).collect();
        let started: Vec<_> = workloads().filter(|w| w.name.starts_with(short)).collect();
        let list = |all: &[&crate::model::Hashed<crate::model::workloads::Workload>]| {
            all.iter().map(|w| format!("{}.{}", w.name, w.namespace)).collect::<Vec<_>>().join(", ")
        };
        let found = match (exact, &owned[..], &started[..]) {
            (Some(found), _, _) => found,
            (None, [first, ..], _) => first,
            (None, [], [only]) => only,
            (None, [], []) => {
                return Err(NoSuchProxy::Unknown(name.to_owned(), list(&workloads().collect::<Vec<_>>())));
            }
            (None, [], many) => return Err(NoSuchProxy::Ambiguous(name.to_owned(), list(many))),
        };
        let gateway = self.is_gateway(found);
        let mut node = Node::new(NodeId {
            role: if gateway { Role::Router } else { Role::Sidecar },
            ip: found.addresses.first().map(ToString::to_string).unwrap_or_default(),
            name: found.name.to_string(),
            namespace: found.namespace.to_string(),
            domain: format!("{}.svc.{DOMAIN}", found.namespace),
        });
        node.metadata.name = found.name.to_string();
        node.metadata.namespace = found.namespace.to_string();
        node.metadata.service_account = found.account.to_string();
        node.metadata.workload_name = found.owner.to_string();
        node.metadata.labels.clone_from(&found.labels);
        node.cluster = format!("{}.{}", node.metadata.canonical_name(), found.namespace);
        Ok(node)
    }

    /// A pod made from Istio's gateway template, or whose only container is a proxy.
    fn is_gateway(&self, workload: &crate::model::workloads::Workload) -> bool {
        let Some(pod) = self.world.get::<Pod>(&workload.namespace, &workload.name) else { return false };
        let template =
            pod.meta.annotation("inject.istio.io/templates").is_some_and(|t| t.contains("gateway"));
        template || pod.spec.containers.iter().all(|c| c.name == "istio-proxy")
    }

    /// Everything that this proxy gets over an authenticated session.
    pub fn dump(&self, node: &Node, delta: bool) -> Layers {
        let view = View::of(&self.snapshot, node, Session { delta, authenticated: true });
        say(&self.snapshot, &view, &Memo::default())
    }
}

fn placed(mut finding: Finding, object: &AnyObject) -> Finding {
    if finding.file.is_empty() {
        finding.file = object.origin().file.to_string();
    }
    finding
}

type Objects = BTreeMap<Key, AnyObject>;

/// Pods for what makes pods, addresses for Services.
fn expand(objects: &mut Objects) {
    let mut pods: Vec<Object<Pod>> = Vec::new();
    for object in objects.values() {
        let off = uninjected(objects, &object.meta().namespace);
        match object {
            AnyObject::Deployment(o) => pods.extend(made(o, o.spec.replicas, &o.spec.template, off)),
            AnyObject::StatefulSet(o) => pods.extend(made(o, o.spec.replicas, &o.spec.template, off)),
            AnyObject::DaemonSet(o) => pods.extend(made(o, None, &o.spec.template, off)),
            _ => {}
        }
    }
    // What already has pods (a dump of a cluster) needs no more.
    pods.retain(|pod| {
        let mut wanted = pod.meta.labels.clone();
        wanted.remove(TLS_MODE);
        let there = |object: &AnyObject| {
            object.get::<Pod>().is_some_and(|other| {
                other.meta.namespace == pod.meta.namespace && labels_match(&wanted, &other.meta.labels)
            })
        };
        wanted.is_empty() || !objects.values().any(there)
    });
    objects.extend(pods.into_iter().map(|pod| (pod.key(), pod.into())));
    let mut number = 2u16;
    for object in objects.values_mut() {
        let AnyObject::Pod(pod) = object else { continue };
        if pod.status.as_ref().is_none_or(|status| status["podIP"].as_str().is_none_or(str::is_empty)) {
            let [high, low] = number.to_be_bytes();
            let ip = format!("10.244.{high}.{low}");
            pod.status = Some(json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] }));
            number = number.saturating_add(1);
        }
    }
    let mut number = 256u16;
    for object in objects.values_mut() {
        let AnyObject::Service(service) = object else { continue };
        let spec = &mut service.spec;
        if spec.cluster_ip.is_empty() && !spec.is_external_name() {
            let [high, low] = number.to_be_bytes();
            spec.cluster_ip = format!("10.96.{high}.{low}");
            number = number.saturating_add(1);
        }
    }
}

/// Whether pods of a namespace get no proxy unless they ask for one.
fn uninjected(objects: &Objects, namespace: &str) -> bool {
    let key = Key::new(Kind::Namespace, "", namespace);
    let object: Option<&Object<Namespace>> = objects.get(&key).and_then(|o| o.get());
    object.is_some_and(|o| o.meta.label("istio-injection") == Some("disabled"))
}

fn made<T: Spec>(
    owner: &Object<T>,
    replicas: Option<i32>,
    template: &PodTemplate,
    off: bool,
) -> Vec<Object<Pod>> {
    let count = replicas.unwrap_or(1).max(0);
    (0..count)
        .map(|number| {
            let mut pod = Object::new(
                &owner.meta.namespace,
                &format!("{}-{number}", owner.meta.name),
                template.spec.clone(),
            );
            pod.meta.labels.clone_from(&template.metadata.labels);
            pod.meta.annotations.clone_from(&template.metadata.annotations);
            pod.meta.owner_references = vec![api::meta::OwnerReference {
                kind: T::KIND.name().to_owned(),
                name: owner.meta.name.clone(),
                ..Default::default()
            }];
            let asked =
                pod.meta.label("sidecar.istio.io/inject").or(pod.meta.annotation("sidecar.istio.io/inject"));
            let proxied = asked.map_or(!off, |word| word == "true");
            if proxied {
                pod.meta.labels.entry(TLS_MODE.to_owned()).or_insert_with(|| "istio".to_owned());
            }
            pod.origin = owner.origin.clone();
            pod
        })
        .collect()
}
