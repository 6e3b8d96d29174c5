//! What must be written again while a mesh runs: tokens before they expire, the CA's root once it is known, volumes
//! after their ConfigMap or Secret changed.
//!
//! In: time, the CA's folder, changes of the world. Out: files that running pods see. One task.

use std::sync::Arc;
use std::time::Duration;

use api::core::ConfigMap;
use api::{Kind, Object};
use tokio::time::Instant;

use super::mesh::Mesh;
use super::volumes::{self, TOKEN_LIFETIME};

/// Name of the map that carries the CA's root into every namespace.
pub const ROOT_MAP: &str = "istio-ca-root-cert";
const ROOT_KEY: &str = "root-cert.pem";
/// How often to look for the root until it is there.
const SOON: Duration = Duration::from_millis(3);
const LATER: Duration = Duration::from_secs(2);

/// Runs until the mesh ends.
pub async fn run(mesh: Arc<Mesh>) {
    let mut tokens = Instant::now();
    let mut seen = String::new();
    while !mesh.ending() {
        let root = root(&mesh);
        let changed = publish_root(&mesh, root.as_deref());
        let versions = versions(&mesh);
        let due = tokens.elapsed() > TOKEN_LIFETIME / 2;
        if changed || due || versions != seen {
            write(&mesh, due);
            seen = versions;
        }
        if due {
            tokens = Instant::now();
        }
        if changed {
            mesh.wake();
        }
        let mut changes = mesh.changes();
        let pause = if root.is_some() { LATER } else { SOON };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = changes.changed(), if root.is_some() => {}
            () = mesh.ended() => return,
        }
    }
}

/// The CA's root certificates, as soon as the CA has written them.
fn root(mesh: &Mesh) -> Option<String> {
    let names = ["root-cert.pem", "ca-cert.pem"];
    let read = names.iter().find_map(|name| std::fs::read_to_string(mesh.paths.ca().join(name)).ok());
    read.filter(|text| text.contains("-----END CERTIFICATE-----"))
}

/// Publishes the root before anything runs.
pub fn begin(mesh: &Mesh) {
    publish_root(mesh, root(mesh).as_deref());
}

/// Puts the root into a ConfigMap of every namespace; whether anything changed.
fn publish_root(mesh: &Mesh, root: Option<&str>) -> bool {
    let Some(root) = root else { return false };
    let mut world = mesh.world();
    let namespaces: Vec<String> =
        world.objects.keys().filter(|key| key.kind == Kind::Namespace).map(|key| key.name.clone()).collect();
    let mut changed = false;
    for namespace in namespaces {
        let current = world.config_map(&namespace, ROOT_MAP).and_then(|map| map.data.get(ROOT_KEY));
        if current.is_some_and(|current| current == root) {
            continue;
        }
        let mut map = ConfigMap::default();
        map.data.insert(ROOT_KEY.to_owned(), root.to_owned());
        world.put(Object::new(&namespace, ROOT_MAP, map).into(), None, true);
        changed = true;
    }
    changed
}

/// Versions of everything that volumes are made of.
fn versions(mesh: &Mesh) -> String {
    let world = mesh.world();
    let content = world.objects.iter().filter(|(key, _)| matches!(key.kind, Kind::ConfigMap | Kind::Secret));
    content.map(|(_, stored)| stored.object.meta().resource_version.as_str()).collect::<Vec<_>>().join(",")
}

fn write(mesh: &Mesh, tokens: bool) {
    let world = mesh.world();
    for pod in world.pods.values().filter(|pod| pod.over.is_none() && !pod.terminating()) {
        // A pod that misses something says so itself when it starts; a running one keeps what it has.
        volumes::write(&pod.plan, &world, mesh.place(), tokens).ok();
    }
}
