//! Keeps the webhook configurations of this revision right: the authority's roots in them, so that the API server trusts
//! our socket, and validation that counts once it works.
//!
//! In: the roots, and the configurations with our label `istio.io/rev`, watched. Out: their `caBundle`, put right whenever it
//! is not; and for validation `failurePolicy` Fail, once an object that must be refused was refused. Every replica does it;
//! they all write the same. Started by `webhook::start`, ends with the drain.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Reader;
use base::drain::Watch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::rejected::Trial;

/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The configurations of one kind.
pub(super) struct Bundles {
    api: Api<DynamicObject>,
    /// How the names of webhooks end that are ours.
    webhook: &'static str,
    /// Label selector of the configurations.
    selector: String,
    /// For validation: how it is found out that it works.
    trial: Option<Trial>,
    known: BTreeMap<String, DynamicObject>,
}

impl Bundles {
    /// Configurations of this kind with the label of a revision.
    pub(super) fn new<K>(client: Client, webhook: &'static str, revision: &str, trial: Option<Trial>) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let api = Api::all_with(client, &ApiResource::erase::<K>(&()));
        Self { api, webhook, selector: format!("istio.io/rev={revision}"), trial, known: BTreeMap::new() }
    }

    /// Until the drain. `first` is called once what is there has been put right, as far as that can be done.
    pub(super) async fn keep(
        mut self,
        mut roots: Reader<citadel::Authority>,
        first: impl FnOnce() + Send,
        mut drain: Watch,
    ) {
        let config = watcher::Config::default().labels(&self.selector);
        let mut stream = watcher::watcher(self.api.clone(), config).default_backoff().boxed();
        let mut bundle = STANDARD.encode(roots.load().roots());
        let mut again = false;
        let mut first = Some(first);
        loop {
            let event = tokio::select! {
                event = stream.try_next() => event,
                authority = roots.changed() => {
                    bundle = STANDARD.encode(authority.roots());
                    again = !self.right_all(&bundle).await;
                    continue;
                }
                () = tokio::time::sleep(PAUSE), if again => {
                    again = !self.right_all(&bundle).await;
                    continue;
                }
                () = drain.graceful() => return,
            };
            match event {
                Ok(Some(Event::Init)) => self.known.clear(),
                Ok(Some(Event::Apply(object) | Event::InitApply(object))) => {
                    again |= !self.right(&object, &bundle).await;
                    self.known.insert(object.name_any(), object);
                }
                Ok(Some(Event::Delete(object))) => {
                    self.known.remove(&object.name_any());
                }
                Ok(Some(Event::InitDone)) => {
                    if let Some(first) = first.take() {
                        first();
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "webhook configurations cannot be watched; trying again")
                }
            }
        }
    }

    async fn right_all(&self, bundle: &str) -> bool {
        let mut done = true;
        for object in self.known.values() {
            done &= self.right(object, bundle).await;
        }
        done
    }

    /// Puts one configuration right; false if it has to be looked at again.
    async fn right(&self, object: &DynamicObject, bundle: &str) -> bool {
        let mut object = object.clone();
        let trusts = set(&mut object.data, self.webhook, |hook| {
            hook["clientConfig"]["caBundle"] = bundle.into();
        });
        if trusts {
            return self.write(&object, "certificate authority written into the webhook configuration").await;
        }
        let Some(trial) = &self.trial else { return true };
        if !set(&mut object.data, self.webhook, |hook| hook["failurePolicy"] = "Fail".into()) {
            return true;
        }
        // What is not ours to refuse would be refused by nobody: better to let objects through than to block them.
        trial.rejected(&object).await && self.write(&object, "validation works and counts from now on").await
    }

    async fn write(&self, object: &DynamicObject, done: &str) -> bool {
        let name = object.name_any();
        match self.api.replace(&name, &PostParams::default(), object).await {
            Ok(_) => {
                tracing::info!(name, "{done}");
                true
            }
            // Gone, or changed since: a notice of it is on its way.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => true,
            Err(error) => {
                tracing::warn!(%error, name, "webhook configuration could not be written; trying again");
                false
            }
        }
    }
}

/// Changes every webhook of ours; whether that changed anything.
fn set(object: &mut Value, webhook: &str, change: impl Fn(&mut Value)) -> bool {
    let before = object["webhooks"].clone();
    for hook in object["webhooks"].as_array_mut().into_iter().flatten() {
        if hook["name"].as_str().is_some_and(|name| name.ends_with(webhook)) {
            change(hook);
        }
    }
    object["webhooks"] != before
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_ours_and_not_right() {
        let hook = |name: &str, bundle: &str| json!({"name": name, "clientConfig": {"caBundle": bundle}});
        let ours = "rev.namespace.sidecar-injector.istio.io";
        let mut object = json!({"webhooks": [hook(ours, "new"), hook("other.io", "x"), {"name": ours, "clientConfig": {}}]});
        let put = |object: &mut Value| {
            set(object, "sidecar-injector.istio.io", |hook| hook["clientConfig"]["caBundle"] = "new".into())
        };
        assert!(put(&mut object));
        assert_eq!(
            object,
            json!({"webhooks": [hook(ours, "new"), hook("other.io", "x"), hook(ours, "new")]})
        );
        assert!(!put(&mut object), "it is right now");
    }
}
