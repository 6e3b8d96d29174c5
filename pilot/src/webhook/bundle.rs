//! Keeps the authority's roots in the webhook configurations of this revision, so that the API server trusts our socket.
//!
//! In: the roots, and the configurations with our label `istio.io/rev`, watched. Out: their `caBundle`, put right whenever
//! it is not. Every replica does it; they all write the same. Started by `webhook::start`, ends with the drain.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Reader;
use base::drain::Watch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// Pause before a write that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// One kind of configurations.
pub(super) struct Bundles {
    pub(super) api: Api<DynamicObject>,
    /// How the names of webhooks end that are ours.
    pub(super) webhook: &'static str,
    /// Label selector of the configurations.
    pub(super) selector: String,
    known: BTreeMap<String, DynamicObject>,
}

impl Bundles {
    /// Configurations of this kind with the label of a revision.
    pub(super) fn new<K>(client: Client, webhook: &'static str, revision: &str) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let api = Api::all_with(client, &ApiResource::erase::<K>(&()));
        Self { api, webhook, selector: format!("istio.io/rev={revision}"), known: BTreeMap::new() }
    }

    /// Until the drain.
    pub(super) async fn keep(mut self, mut roots: Reader<citadel::Authority>, mut drain: Watch) {
        let config = watcher::Config::default().labels(&self.selector);
        let mut stream = watcher::watcher(self.api.clone(), config).default_backoff().boxed();
        let mut bundle = STANDARD.encode(roots.load().roots());
        let mut again = false;
        loop {
            let event = tokio::select! {
                event = stream.try_next() => event,
                authority = roots.changed() => {
                    bundle = STANDARD.encode(authority.roots());
                    again = !self.write_all(&bundle).await;
                    continue;
                }
                () = tokio::time::sleep(PAUSE), if again => {
                    again = !self.write_all(&bundle).await;
                    continue;
                }
                () = drain.graceful() => return,
            };
            match event {
                Ok(Some(Event::Init)) => self.known.clear(),
                Ok(Some(Event::Apply(object) | Event::InitApply(object))) => {
                    again |= !self.write(&object, &bundle).await;
                    self.known.insert(object.name_any(), object);
                }
                Ok(Some(Event::Delete(object))) => {
                    self.known.remove(&object.name_any());
                }
                Ok(Some(Event::InitDone)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "webhook configurations cannot be watched; trying again")
                }
            }
        }
    }

    async fn write_all(&self, bundle: &str) -> bool {
        let mut done = true;
        for object in self.known.values() {
            done &= self.write(object, bundle).await;
        }
        done
    }

    /// Puts one configuration right; false if it has to be tried again.
    async fn write(&self, object: &DynamicObject, bundle: &str) -> bool {
        let patch = patch(&object.data, self.webhook, bundle);
        let name = object.name_any();
        if patch.0.is_empty() {
            return true;
        }
        let written = self.api.patch(&name, &PatchParams::default(), &Patch::<()>::Json(patch)).await;
        match written {
            Ok(_) => {
                tracing::info!(name, "certificate authority written into the webhook configuration");
                true
            }
            // Gone, or changed since: a notice of it is on its way.
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => true,
            Err(error) => {
                tracing::warn!(%error, name, "webhook configuration could not be written; trying again");
                false
            }
        }
    }
}

/// What must change for every webhook of ours to have the bundle.
fn patch(object: &Value, webhook: &str, bundle: &str) -> json_patch::Patch {
    let webhooks = object["webhooks"].as_array().into_iter().flatten().enumerate();
    let ours = webhooks.filter(|(_, hook)| hook["name"].as_str().is_some_and(|name| name.ends_with(webhook)));
    let stale = ours.filter(|(_, hook)| hook["clientConfig"]["caBundle"] != bundle);
    let operations: Vec<Value> = stale
        .flat_map(|(index, hook)| {
            [
                // Of a list that changed meanwhile nothing is written.
                json!({"op": "test", "path": format!("/webhooks/{index}/name"), "value": hook["name"]}),
                json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}),
            ]
        })
        .collect();
    serde_json::from_value(Value::Array(operations)).expect("operations of a JSON patch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_and_not_right() {
        let hook = |name: &str, bundle: &str| json!({"name": name, "clientConfig": {"caBundle": bundle}});
        let ours = "rev.namespace.sidecar-injector.istio.io";
        let object = json!({"webhooks": [hook(ours, "new"), hook("other.io", "x"), {"name": ours, "clientConfig": {}}]});
        let made = json!(patch(&object, "sidecar-injector.istio.io", "new"));
        let paths: Vec<&str> =
            made.as_array().unwrap().iter().map(|op| op["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/webhooks/2/name", "/webhooks/2/clientConfig/caBundle"]);
        assert_eq!(patch(&json!({}), "x", "y").0.len(), 0);
    }
}
