//! What the injection webhook knows: the injector's settings, and the world of the source for everything else.
//!
//! In: the ConfigMap `istio-sidecar-injector[-REVISION]`, watched; namespaces, nodes and mesh settings of the published
//! world. Out: the answer for one pod. Settings that cannot be read leave the last good ones in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Findings;
use api::core::{ConfigMap, Namespace, Node};
use api::mesh::{MeshConfig, default_mesh_config, mesh_config_of};
use api::networking::ProxyConfig;
use base::Live;
use serde_json::{Value, json};

use super::inject::{self, Facts, Injector, Proxies, required};
use super::path;
use super::review::{Asked, Verdict};
use super::settings::Settings;
use super::stats::Stats;
use crate::world::World;

/// The injection webhook without its socket.
#[derive(Clone)]
pub(crate) struct Injection {
    pub(crate) settings: Settings,
    /// Namespace of the control plane.
    pub(crate) namespace: String,
    /// None until the ConfigMap was read.
    pub(crate) injector: Arc<Live<Option<Injector>>>,
    pub(crate) world: Arc<Live<World>>,
    pub(crate) stats: Stats,
    /// The last answer of `mesh`, while its text stays.
    mesh: Arc<Live<(String, MeshConfig)>>,
}

impl Injection {
    pub(crate) fn new(settings: Settings, namespace: String, world: Arc<Live<World>>, stats: Stats) -> Self {
        let mesh = Arc::new(Live::new((String::new(), default_mesh_config())));
        Self { settings, namespace, injector: Arc::new(Live::new(None)), world, stats, mesh }
    }

    /// Name of the ConfigMap with the settings.
    pub(crate) fn config_map(&self) -> String {
        format!("istio-sidecar-injector{}", self.settings.suffix())
    }

    /// The answer for one pod; `path` is that of the request.
    pub(crate) fn review(&self, asked: &Asked, path: &str) -> Verdict {
        let started = tokio::time::Instant::now();
        self.stats.requests.inc();
        let verdict = self.decide(asked, path);
        match &verdict {
            Verdict::Changed(_) => self.stats.successes.inc(),
            Verdict::Allowed(_) => self.stats.skips.inc(),
            Verdict::Refused(_) => self.stats.failures.inc(),
        };
        self.stats.seconds.observe(started.elapsed().as_secs_f64());
        verdict
    }

    fn decide(&self, asked: &Asked, path: &str) -> Verdict {
        let pod = &asked.object;
        if !pod.is_object() {
            return Verdict::Refused("a review of no pod".to_owned());
        }
        let own = |field: &str| pod.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
        let name = own("name").or(own("generateName")).unwrap_or_default();
        let namespace = own("namespace").unwrap_or(&asked.namespace);
        let settings = self.injector.load();
        let Some(injector) = &*settings else {
            let text = format!("ConfigMap {}/{} was not read yet", self.namespace, self.config_map());
            tracing::warn!(pod = name, namespace, text, "pod refused");
            return Verdict::Refused(text);
        };
        if !required(pod, namespace, injector) {
            tracing::info!(pod = name, namespace, "no proxy by policy");
            return Verdict::Allowed(Vec::new());
        }
        let world = self.world.load();
        let labels = world.get::<Namespace>("", namespace).map(|object| object.meta.labels.clone());
        let mesh = self.mesh(&world);
        let root = Some(mesh.1.root_namespace.as_str()).filter(|name| !name.is_empty());
        let proxies = Proxies::of(
            world.by_age::<ProxyConfig>(),
            root.unwrap_or(&self.namespace),
            namespace,
            &own_labels(pod),
        );
        let facts = Facts {
            proxies,
            injector,
            mesh: &mesh.1,
            revision: &self.settings.revision,
            native_sidecars: self.native(&world, pod),
            namespace_labels: &labels.unwrap_or_default(),
            environment: &path::variables(path),
        };
        match inject::inject(pod, namespace, None, &facts) {
            Ok(injected) => {
                tracing::info!(pod = name, namespace, "proxy injected");
                Verdict::Changed(json_patch::diff(pod, &injected))
            }
            Err(error) => {
                tracing::warn!(pod = name, namespace, error, "pod refused");
                Verdict::Refused(error)
            }
        }
    }

    /// The mesh's settings, read once per change.
    fn mesh(&self, world: &World) -> Arc<(String, MeshConfig)> {
        let own = format!("istio{}", self.settings.suffix());
        let object =
            [own.as_str(), "istio"].iter().find_map(|name| world.get::<ConfigMap>(&self.namespace, name));
        let text = object.and_then(|map| map.spec.data.get(api::mesh::MESH_KEY)).map_or("", String::as_str);
        let read = self.mesh.load();
        if read.0 == text {
            return read;
        }
        // Mistakes in it are findings of the source.
        let config = object.map_or_else(default_mesh_config, |map| mesh_config_of(map, &mut Findings::new()));
        self.mesh.set((text.to_owned(), config));
        self.mesh.load()
    }

    /// Whether the pod's node, or every node, can run init containers that stay.
    fn native(&self, world: &World, pod: &Value) -> bool {
        let on = pod.pointer("/spec/nodeName").and_then(Value::as_str).filter(|name| !name.is_empty());
        let nodes = world.all::<Node>().filter(|node| on.is_none_or(|name| name == node.meta.name));
        let version = |node: &api::Object<Node>| {
            let status = node.status.as_ref()?;
            Some(status.pointer("/nodeInfo/kubeletVersion")?.as_str()?.to_owned())
        };
        self.settings.native_sidecars.on(nodes.map(|node| version(node).unwrap_or_default()))
    }

    /// Templates by name, for `/debug/inject`.
    pub(crate) fn templates(&self) -> Value {
        let settings = self.injector.load();
        json!(settings.as_ref().as_ref().map_or_else(BTreeMap::new, |injector| injector.texts().clone()))
    }
}

fn own_labels(pod: &Value) -> BTreeMap<String, String> {
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
