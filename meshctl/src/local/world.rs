//! What there is in a mesh: objects that were written, and pods that run. One lock, no I/O.
//!
//! In: objects accepted by `apply`, states reported by pods. Out: lookups, and objects as an API server would show
//! them, with status. Owned by `Mesh`; changed under its lock only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::core::{ConfigMap, Secret, Service};
use api::{AnyObject, Key, Kind, Object, Spec, Time};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::addresses::{self, Addresses};
use super::plan::PodPlan;
use super::sandbox::Sandbox;
use super::services::PodFacts;
use super::wall::Exit;

/// An object and where it came from.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As written, with what an API server adds.
    pub object: AnyObject,
    /// Its manifest on the host; none for the mesh's own.
    pub manifest: Option<PathBuf>,
    /// Made by the mesh, not shown by plain lists of what users applied.
    pub own: bool,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not yet or not any more; why, and more about it.
    Waiting(String, String),
    /// Since when.
    Running(Time),
    /// It will not start again.
    Ended(Exit),
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub struct ContainerState {
    /// What it is doing.
    pub state: State,
    /// Its readiness probe, or that it runs.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// Its process in the pod.
    pub pid: Option<i32>,
    /// How it ended last time.
    pub last: Option<Exit>,
}

/// A pod.
pub struct PodRecord {
    /// What it was made from.
    pub plan: Arc<PodPlan>,
    /// Its namespaces, once they stand.
    pub sandbox: Option<Arc<Sandbox>>,
    /// Set to end it.
    pub stop: watch::Sender<bool>,
    /// Init containers are done.
    pub initialized: bool,
    /// `Succeeded` or `Failed`, once it is over.
    pub over: Option<bool>,
    /// Containers by name.
    pub containers: BTreeMap<String, ContainerState>,
}

impl PodRecord {
    /// Whether it is being ended.
    #[must_use]
    pub fn terminating(&self) -> bool {
        *self.stop.borrow()
    }

    /// Whether all containers are ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        let names = self.plan.spec.containers.iter().map(|container| &container.name);
        self.initialized
            && self.over.is_none()
            && names.into_iter().all(|name| self.containers.get(name).is_some_and(|state| state.ready))
    }

    /// What the node's table, DNS and endpoints must know.
    #[must_use]
    pub fn facts(&self) -> PodFacts {
        let plan = &self.plan;
        let ports = plan.spec.containers.iter().flat_map(|container| &container.ports);
        let named = ports.filter(|port| !port.name.is_empty());
        PodFacts {
            namespace: plan.namespace.clone(),
            name: plan.name.clone(),
            labels: plan.meta.labels.clone(),
            ip4: plan.ip4,
            ip6: plan.ip6,
            ready: self.ready(),
            terminating: self.terminating(),
            ports: named
                .filter_map(|p| Some((p.name.clone(), u16::try_from(p.container_port).ok()?)))
                .collect(),
            hostname: (!plan.spec.subdomain.is_empty())
                .then(|| (plan.hostname().to_owned(), plan.spec.subdomain.clone())),
        }
    }

    /// The word in the STATUS column.
    #[must_use]
    pub fn word(&self) -> String {
        if self.terminating() {
            return "Terminating".to_owned();
        }
        match self.over {
            Some(true) => return "Completed".to_owned(),
            Some(false) => return "Error".to_owned(),
            None => {}
        }
        let waiting = self.containers.values().find_map(|container| match &container.state {
            State::Waiting(reason, _) if reason != "ContainerCreating" && reason != "PodInitializing" => {
                Some(reason)
            }
            _ => None,
        });
        if let Some(reason) = waiting {
            return reason.clone();
        }
        if !self.initialized && !self.plan.spec.init_containers.is_empty() {
            return "Init".to_owned();
        }
        let running = self.containers.values().any(|container| matches!(container.state, State::Running(_)));
        if running { "Running".to_owned() } else { "ContainerCreating".to_owned() }
    }

    fn phase(&self) -> &'static str {
        match self.over {
            Some(true) => "Succeeded",
            Some(false) => "Failed",
            None if self
                .containers
                .values()
                .any(|container| matches!(container.state, State::Running(_))) =>
            {
                "Running"
            }
            None => "Pending",
        }
    }

    /// The pod as an object. Without details it changes only when something changes that others act on.
    #[must_use]
    pub fn value(&self, details: bool) -> Value {
        let plan = &self.plan;
        let mut meta = serde_json::to_value(&plan.meta).unwrap_or_default();
        if self.terminating() {
            meta["deletionTimestamp"] = json!(plan.created.to_string());
        }
        let mut spec = serde_json::to_value(&plan.spec).unwrap_or_default();
        spec["nodeName"] = json!(super::system::NODE_NAME);
        spec["serviceAccountName"] = json!(plan.spec.account());
        let yes = |value: bool| if value { "True" } else { "False" };
        let ready = self.ready() && !self.terminating();
        let conditions: Vec<Value> = [
            ("PodScheduled", true),
            ("Initialized", self.initialized),
            ("ContainersReady", ready),
            ("Ready", ready),
        ]
        .into_iter()
        .map(|(kind, value)| json!({"type": kind, "status": yes(value)}))
        .collect();
        let ips: Vec<Value> = plan.addresses().into_iter().map(|ip| json!({"ip": ip})).collect();
        let mut status = json!({
            "phase": self.phase(),
            "podIP": plan.ip4,
            "podIPs": ips,
            "hostIP": addresses::NODE,
            "conditions": conditions,
            "startTime": plan.created,
        });
        if details {
            status["containerStatuses"] =
                plan.spec.containers.iter().map(|c| self.container_value(&c.name)).collect();
            status["reason"] = json!(self.word());
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status})
    }

    fn container_value(&self, name: &str) -> Value {
        let Some(container) = self.containers.get(name) else { return json!({"name": name}) };
        let ended = |exit: &Exit| json!({"terminated": {"exitCode": exit.code.unwrap_or(128), "reason": exit.to_string()}});
        let state = match &container.state {
            State::Waiting(reason, message) => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running(since) => json!({"running": {"startedAt": since}}),
            State::Ended(exit) => ended(exit),
        };
        json!({
            "name": name,
            "ready": container.ready,
            "started": container.pid.is_some(),
            "restartCount": container.restarts,
            "state": state,
            "lastState": container.last.as_ref().map(ended).unwrap_or(json!({})),
        })
    }
}

const UNCHANGED: &str = "unchanged";

/// Everything.
pub struct World {
    /// What was written.
    pub objects: BTreeMap<Key, Stored>,
    /// What runs, by namespace and name.
    pub pods: BTreeMap<(String, String), PodRecord>,
    /// Addresses given.
    pub addresses: Addresses,
    /// Host ports of published Service ports: (namespace, name, port).
    pub published: BTreeMap<(String, String, u16), u16>,
    counter: u64,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(addresses: Addresses) -> Self {
        Self {
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            addresses,
            published: BTreeMap::new(),
            counter: 0,
        }
    }

    /// The typed object of this kind and name.
    #[must_use]
    pub fn find<T: Spec>(&self, namespace: &str, name: &str) -> Option<&Object<T>> {
        self.objects.get(&Key::new(T::KIND, namespace, name)).and_then(|stored| stored.object.get::<T>())
    }

    /// All objects of a kind.
    pub fn all<T: Spec>(&self) -> impl Iterator<Item = &Object<T>> {
        self.objects.values().filter_map(|stored| stored.object.get::<T>())
    }

    /// A config map's content.
    #[must_use]
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.find::<ConfigMap>(namespace, name).map(|object| &object.spec)
    }

    /// A secret's content.
    #[must_use]
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.find::<Secret>(namespace, name).map(|object| &object.spec)
    }

    /// Labels of a namespace.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let key = Key::new(Kind::Namespace, "", namespace);
        self.objects.get(&key).map(|stored| stored.object.meta().labels.clone()).unwrap_or_default()
    }

    /// The control plane's Service address.
    #[must_use]
    pub fn control_plane(&self) -> Option<std::net::Ipv4Addr> {
        self.addresses.known(super::system::SYSTEM_NAMESPACE, "istiod")
    }

    /// Where the manifests of users' objects lie, one for each folder.
    pub fn manifests(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let all = self.objects.values().filter_map(|stored| stored.manifest.clone());
        all.filter(|manifest| folders.insert(manifest.parent().map(Path::to_path_buf))).collect()
    }

    /// What taking an object would do: `created`, `configured` or `unchanged`.
    pub fn would(&self, object: &AnyObject) -> &'static str {
        match self.objects.get(&object.key()) {
            None => "created",
            Some(before) if same(&before.object, object) => UNCHANGED,
            Some(_) => "configured",
        }
    }

    /// Puts an object in; says whether it is `created`, `configured` or `unchanged`.
    pub fn put(&mut self, mut object: AnyObject, manifest: Option<PathBuf>, own: bool) -> &'static str {
        let key = object.key();
        let before = self.objects.get(&key);
        let word = self.would(&object);
        if word == UNCHANGED {
            return word;
        }
        self.counter += 1;
        let old = before.map(|before| before.object.meta().clone());
        let status = before.and_then(|before| before.object.status().cloned());
        if object.status().is_none() {
            *object.status_mut() = status;
        }
        let meta = object.meta_mut();
        meta.resource_version = self.counter.to_string();
        meta.uid = old.as_ref().map_or_else(uid, |old| old.uid.clone());
        meta.creation_timestamp = old
            .as_ref()
            .and_then(|old| old.creation_timestamp)
            .or(meta.creation_timestamp)
            .or(Some(Time::now()));
        meta.generation = Some(old.as_ref().and_then(|old| old.generation).unwrap_or(0) + 1);
        self.objects.insert(key, Stored { object, manifest, own });
        word
    }

    /// Counts the changes of objects.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.counter
    }

    /// Takes an object out; whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        self.counter += 1;
        self.objects.remove(key).is_some()
    }

    /// Puts a changed object back; it keeps its identity.
    pub fn restore(&mut self, mut object: AnyObject, manifest: Option<PathBuf>, own: bool) {
        self.counter += 1;
        let meta = object.meta_mut();
        meta.resource_version = self.counter.to_string();
        meta.generation = Some(meta.generation.unwrap_or(0) + 1);
        self.objects.insert(object.key(), Stored { object, manifest, own });
    }

    /// A Service as shown: with its addresses and published ports.
    #[must_use]
    pub fn service_value(&self, service: &Object<Service>, ips: &[String]) -> Value {
        let mut value = service.to_value();
        let spec = &service.spec;
        if !spec.is_headless() && !spec.is_external_name() {
            value["spec"]["clusterIP"] = json!(ips.first());
            value["spec"]["clusterIPs"] = json!(ips);
        }
        if spec.service_type.is_empty() {
            value["spec"]["type"] = json!("ClusterIP");
        }
        if spec.service_type == "LoadBalancer" {
            let ports = value["spec"]["ports"].as_array_mut();
            for port in ports.into_iter().flatten() {
                let number = port["port"].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
                let key = (service.meta.namespace.clone(), service.meta.name.clone(), number);
                if let Some(host) = self.published.get(&key) {
                    port["nodePort"] = json!(host);
                }
            }
            value["status"] = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}});
        }
        value
    }
}

/// Whether two objects say the same, apart from what an API server adds.
fn same(a: &AnyObject, b: &AnyObject) -> bool {
    let bare = |object: &AnyObject| {
        let mut value = object.to_value();
        if let Some(map) = value.as_object_mut() {
            map.shift_remove("status");
        }
        if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in
                ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"]
            {
                meta.shift_remove(field);
            }
        }
        value
    };
    bare(a) == bare(b)
}

/// A fresh uid.
#[must_use]
pub fn uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
