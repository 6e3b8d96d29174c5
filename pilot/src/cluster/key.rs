//! The authority's key in its Secret, `istio-ca-secret` in the root namespace, as Istio keeps it; `cacerts` where
//! `USE_CACERTS_FOR_SELF_SIGNED_CA` asks for it and the other is not there.
//!
//! In: a cluster. Out: the authority, made if nobody has made one, and later every other one that appears there. Of
//! replicas that start at once one creates and the others read: the API server decides. A root in the last part of its
//! life is renewed with its key by whichever replica is first. Called by `authority`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use base::drain::Watch;
use citadel::ca::{Bundle, RootPolicy};
use citadel::{Authority, Citadel};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};

use super::access::{CONFLICT, Cluster, is};

/// Istio's type of the Secret.
const TYPE: &str = "istio.io/ca-root";
/// Where the key is, unless it is asked for elsewhere.
const OWN: &str = "istio-ca-secret";
/// Where the user's own files are, and a key of ours if it is to be there.
const USERS: &str = "cacerts";
/// Key in `cacerts`, and file where it is mounted: the authority in it was made here.
pub(crate) const MADE_HERE: &str = "istio-generated";
/// Pause between attempts to reach the API server at the start.
const PAUSE: Duration = Duration::from_secs(1);

/// How a root of our own is kept.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    /// A new key goes into `cacerts`; `USE_CACERTS_FOR_SELF_SIGNED_CA`, false.
    pub(crate) in_cacerts: bool,
    /// What a new root is like.
    pub(crate) policy: RootPolicy,
    /// Roots that are trusted beside the own one, PEM; may be empty.
    pub(crate) also: String,
    /// Part of a root's life, from its end, in which it is renewed.
    pub(crate) grace: f64,
    /// How often that is looked at; zero for never.
    pub(crate) every: Duration,
}

/// The Secret of one cluster.
pub(crate) struct KeySecret {
    secrets: Api<Secret>,
    upkeep: Upkeep,
    /// Name of the Secret.
    name: &'static str,
}

impl KeySecret {
    /// The Secret of this cluster's root namespace.
    pub(crate) fn new(cluster: &Cluster, upkeep: Upkeep) -> Self {
        let secrets = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        Self { secrets, upkeep, name: OWN }
    }

    /// The authority that is there, or a new one that is there from now on. Waits for the API server.
    ///
    /// # Errors
    /// What is in the Secret cannot sign.
    pub(crate) async fn obtain(&mut self, now: SystemTime) -> Result<Authority> {
        let mut complaint = String::new();
        loop {
            match self.get_or_create(now).await {
                Ok(secret) => return self.authority(&secret).map_err(|error| self.wrong(&error)),
                Err(error) => {
                    let text = error.to_string();
                    if text != complaint {
                        tracing::warn!(error = text, "the authority's key cannot be read yet; trying again");
                        complaint = text;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn wrong(&self, error: &str) -> anyhow::Error {
        anyhow!("Secret {}: {error}; repair it, or delete it and a new key is made", self.name)
    }

    async fn get_or_create(&mut self, now: SystemTime) -> Result<Secret, kube::Error> {
        // A key that is in use stays where it is.
        if self.upkeep.in_cacerts && self.secrets.get_opt(OWN).await?.is_none() {
            self.name = USERS;
        }
        let name = self.name;
        loop {
            if let Some(found) = self.secrets.get_opt(name).await? {
                tracing::info!(secret = name, "certificate authority read");
                return Ok(found);
            }
            let made =
                Bundle::create(&self.upkeep.policy, now).map_err(|e| kube::Error::Service(e.into()))?;
            match self.secrets.create(&PostParams::default(), &new_secret(name, &made)).await {
                Ok(created) => {
                    tracing::info!(secret = name, "certificate authority made");
                    return Ok(created);
                }
                // Another replica was first: its key is everybody's.
                Err(error) if is(&error, CONFLICT) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn authority(&self, secret: &Secret) -> Result<Authority, String> {
        let mut bundle = bundle(secret)?.ok_or("there is no ca-key.pem in it")?;
        if !self.upkeep.also.is_empty() {
            bundle.roots = format!("{}\n{}", bundle.roots.trim_end(), self.upkeep.also);
        }
        bundle.authority()
    }

    /// Signs with what appears in the Secret, and renews it in time, until the drain.
    pub(crate) async fn keep(self, citadel: Arc<Citadel>, mut drain: Watch) {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut stream = watcher::watcher(self.secrets.clone(), config).default_backoff().boxed();
        let mut now_kept = None;
        // A small time at first: replicas that start together look at different times.
        let mut look = self.upkeep.every.mul_f64(0.1);
        let rotates = !self.upkeep.every.is_zero();
        loop {
            let event = tokio::select! {
                event = stream.try_next() => event,
                () = citadel.clock.sleep(look), if rotates => {
                    look = self.upkeep.every;
                    if let Some(secret) = &now_kept {
                        self.renew_if_due(secret, &citadel).await;
                    }
                    continue;
                }
                () = drain.graceful() => return,
            };
            match event {
                Ok(Some(Event::Apply(secret) | Event::InitApply(secret))) => {
                    match self.authority(&secret) {
                        Ok(authority) => citadel::app::take(&citadel, authority),
                        Err(error) => {
                            tracing::error!(
                                error,
                                "the authority's Secret is wrong; the last good one stays"
                            );
                        }
                    }
                    now_kept = Some(secret);
                }
                Ok(Some(Event::Delete(_))) => {
                    tracing::warn!(
                        secret = self.name,
                        "the authority's Secret is gone; its key signs until a restart"
                    );
                    now_kept = None;
                }
                Ok(Some(Event::Init | Event::InitDone)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the authority's Secret cannot be watched; trying again")
                }
            }
        }
    }

    async fn renew_if_due(&self, secret: &Secret, citadel: &Citadel) {
        let now = citadel.clock.now();
        let ours = |data: &BTreeMap<String, ByteString>| data.contains_key(MADE_HERE);
        if self.name == USERS && !secret.data.as_ref().is_some_and(ours) {
            return;
        }
        if !citadel::app::is_due(&citadel.authority.load(), self.upkeep.grace, now) {
            return;
        }
        let renewed = match bundle(secret) {
            Ok(Some(old)) => old.renewed(&self.upkeep.policy, now),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let renewed = match renewed {
            Ok(renewed) => renewed,
            Err(error) => return tracing::error!(error, "root certificate could not be renewed"),
        };
        // With the version that was read: of several replicas one succeeds, and all see it by their watch.
        let mut secret = secret.clone();
        secret.data.get_or_insert_default().extend(entries(&renewed));
        match self.secrets.replace(self.name, &PostParams::default(), &secret).await {
            Ok(_) => tracing::info!("root certificate renewed with the same key"),
            Err(error) if is(&error, CONFLICT) => {}
            Err(error) => tracing::error!(%error, "the renewed root certificate could not be kept"),
        }
    }
}

fn bundle(secret: &Secret) -> Result<Option<Bundle>, String> {
    Bundle::find(|name| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(name));
        let text = bytes.map(|bytes| String::from_utf8(bytes.0.clone()));
        text.transpose().map_err(|_| format!("{name} is no text"))
    })
}

fn entries(bundle: &Bundle) -> impl Iterator<Item = (String, ByteString)> {
    bundle.entries().into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())))
}

fn new_secret(name: &str, bundle: &Bundle) -> Secret {
    let mut data: BTreeMap<String, ByteString> = entries(bundle).collect();
    // Istio's form has a place for a workload's key, too.
    data.insert("key.pem".into(), ByteString::default());
    if name == USERS {
        data.insert(MADE_HERE.into(), ByteString::default());
    }
    Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        type_: Some(TYPE.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_has_istios_form_and_can_be_read_again() {
        let made = Bundle::create(&RootPolicy::default(), SystemTime::now()).unwrap();
        let secret = new_secret("istio-ca-secret", &made);
        assert_eq!(secret.type_.as_deref(), Some("istio.io/ca-root"));
        let names: Vec<&str> = secret.data.as_ref().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "key.pem", "root-cert.pem"]);
        assert!(bundle(&secret).unwrap().unwrap() == made);
        let other = new_secret("cacerts", &made).data.unwrap();
        assert!(other.contains_key("istio-generated") && other.contains_key("ca-key.pem"));
    }
}
