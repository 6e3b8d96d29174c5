//! The roots to trust, in a ConfigMap of every namespace, from which pods mount them.
//!
//! In: the namespaces of the World, the authority's roots, a watch of the ConfigMaps. Out: writes, where something is not
//! as it should be: missing, changed by somebody, or of older roots. Namespaces that the mesh does not look at have none.
//! What has to be written is decided by `Ledger`, which is pure. Done by the leader; called by `citizen`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::Live;
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::Cluster;
use crate::model::mesh_config;
use crate::world::World;

/// Key in the ConfigMap.
const KEY: &str = "root-cert.pem";
/// Says that it is the mesh's.
const LABEL: (&str, &str) = ("istio.io/config", "true");
/// Namespaces of Kubernetes itself, which never have pods of the mesh.
const IGNORED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];
/// Writes at once.
const AT_ONCE: usize = 8;
/// Pause before writes that failed are tried again; doubled up to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Keeps the ConfigMaps named `name` right for as long as it is polled.
pub(super) async fn keep(
    cluster: Cluster,
    name: String,
    world: Arc<Live<World>>,
    authority: Live<citadel::Authority>,
) {
    let maps: Api<ConfigMap> = Api::all(cluster.client.clone());
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut stream = watcher::watcher(maps, config).default_backoff().boxed();
    let (mut world, mut authority) = (world.reader(), authority.reader());
    let mut ledger = Ledger::new(authority.load().roots().to_owned());
    ledger.wanted = namespaces(&world.load());
    let (mut again, mut pause) = (None, PAUSE.0);
    loop {
        tokio::select! {
            event = stream.try_next() => match event {
                Ok(Some(event)) => ledger.take(event),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, name, "the roots' ConfigMaps cannot be watched; trying again");
                    continue;
                }
            },
            now = world.changed() => ledger.wanted = namespaces(&now),
            now = authority.changed() => now.roots().clone_into(&mut ledger.roots),
            () = at(again) => {}
        }
        if again.is_some_and(|at| at > Instant::now()) && ledger.failed {
            continue;
        }
        if write_due(&cluster, &name, &mut ledger).await {
            (again, pause) = (None, PAUSE.0);
        } else {
            again = Some(Instant::now() + pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Writes what is due; false if something has to be tried again.
async fn write_due(cluster: &Cluster, name: &str, ledger: &mut Ledger) -> bool {
    let due = ledger.due();
    let roots = ledger.roots.clone();
    let writes = due.into_iter().map(|namespace| {
        let maps = Api::namespaced(cluster.client.clone(), &namespace);
        let (name, roots) = (name.to_owned(), roots.clone());
        async move { (namespace, write(&maps, &name, &roots).await) }
    });
    let mut writes = stream::iter(writes).buffer_unordered(AT_ONCE);
    ledger.failed = false;
    while let Some((namespace, written)) = writes.next().await {
        match written {
            Ok(()) => {
                tracing::debug!(namespace, name, "roots written");
                ledger.written(namespace, &roots);
            }
            Err(error) => {
                // A namespace on its way out refuses new objects.
                tracing::debug!(namespace, name, %error, "the roots could not be written; trying again");
                ledger.failed = true;
            }
        }
    }
    !ledger.failed
}

async fn write(maps: &Api<ConfigMap>, name: &str, roots: &str) -> Result<(), kube::Error> {
    let found = maps.get_opt(name).await?;
    let exists = found.is_some();
    let new = || ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    };
    let mut map = found.unwrap_or_else(new);
    map.labels_mut().insert(LABEL.0.to_owned(), LABEL.1.to_owned());
    map.data.get_or_insert_default().insert(KEY.to_owned(), roots.to_owned());
    if exists {
        maps.replace(name, &PostParams::default(), &map).await.map(drop)
    } else {
        maps.create(&PostParams::default(), &map).await.map(drop)
    }
}

/// Namespaces that should have the roots.
fn namespaces(world: &World) -> BTreeSet<String> {
    let names = mesh_config::namespaces(world);
    names.filter(|name| !IGNORED.contains(name)).map(str::to_owned).collect()
}

/// What should be where, and what is there.
struct Ledger {
    roots: String,
    wanted: BTreeSet<String>,
    /// The roots that were seen, by namespace; empty where the ConfigMap is not ours in form.
    there: BTreeMap<String, Arc<str>>,
    /// What a list in progress has named.
    listed: BTreeMap<String, Arc<str>>,
    /// Nothing is missing before the first list is complete.
    complete: bool,
    /// The last writes have not all succeeded.
    failed: bool,
}

impl Ledger {
    fn new(roots: String) -> Self {
        let (wanted, there, listed) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { roots, wanted, there, listed, complete: false, failed: false }
    }

    fn take(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(map) => {
                let seen = self.seen(&map);
                self.listed.insert(map.namespace().unwrap_or_default(), seen);
            }
            Event::InitDone => {
                self.there = std::mem::take(&mut self.listed);
                self.complete = true;
            }
            Event::Apply(map) => {
                let seen = self.seen(&map);
                self.there.insert(map.namespace().unwrap_or_default(), seen);
            }
            Event::Delete(map) => {
                self.there.remove(&map.namespace().unwrap_or_default());
            }
        }
    }

    /// The roots in it. The usual ones are kept once for all namespaces.
    fn seen(&self, map: &ConfigMap) -> Arc<str> {
        let labelled = map.labels().get(LABEL.0).is_some_and(|value| value == LABEL.1);
        let text = map.data.as_ref().and_then(|data| data.get(KEY)).filter(|_| labelled);
        let text = text.map_or("", String::as_str);
        match self.there.values().next().filter(|known| ***known == *text) {
            Some(known) => known.clone(),
            None => text.into(),
        }
    }

    fn written(&mut self, namespace: String, roots: &str) {
        self.there.insert(namespace, roots.into());
    }

    /// Namespaces to write.
    fn due(&self) -> Vec<String> {
        if !self.complete {
            return Vec::new();
        }
        let right = |name: &String| self.there.get(name).is_some_and(|there| **there == *self.roots);
        self.wanted.iter().filter(|name| !right(name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(namespace: &str, text: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.namespace = Some(namespace.to_owned());
        map.labels_mut().insert(LABEL.0.to_owned(), LABEL.1.to_owned());
        map.data.get_or_insert_default().insert(KEY.to_owned(), text.to_owned());
        map
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new("R".to_owned());
        ledger.wanted = ["a", "b"].map(str::to_owned).into();
        for event in [Event::Init, Event::InitApply(map("a", "R")), Event::InitApply(map("c", "R"))] {
            ledger.take(event);
        }
        ledger
    }

    #[test]
    fn what_is_missing_or_wrong_is_due_once_everything_is_known() {
        let mut ledger = ledger();
        assert!(ledger.due().is_empty(), "half a list says nothing");
        ledger.take(Event::InitDone);
        assert_eq!(ledger.due(), ["b"]);
        ledger.written("b".to_owned(), "R");
        assert!(ledger.due().is_empty());
        ledger.take(Event::Apply(map("a", "forged")));
        assert_eq!(ledger.due(), ["a"]);
        ledger.take(Event::Apply(map("a", "R")));
        ledger.take(Event::Delete(map("b", "R")));
        assert_eq!(ledger.due(), ["b"]);
        let mut bare = map("b", "R");
        bare.metadata.labels = None;
        ledger.take(Event::Apply(bare));
        assert_eq!(ledger.due(), ["b"], "without its label it is not the mesh's");
        ledger.roots = "S".to_owned();
        assert_eq!(ledger.due(), ["a", "b"], "new roots are due everywhere");
    }

    #[test]
    fn a_new_list_forgets_what_went_meanwhile() {
        let mut ledger = ledger();
        ledger.take(Event::InitDone);
        for event in [Event::Init, Event::InitApply(map("b", "R"))] {
            ledger.take(event);
        }
        assert_eq!(ledger.due(), ["b"], "a list in progress changes nothing");
        ledger.take(Event::InitDone);
        assert_eq!(ledger.due(), ["a"]);
    }
}
