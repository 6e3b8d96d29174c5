//! Watches what the webhooks live on: the injector's ConfigMap.
//!
//! In: the API server. Out: the settings in force, in a [`Live`]. Runs until the drain; errors are logged and tried again.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Live;
use base::drain::Watch;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};

use super::inject::Injector;
use crate::cluster::Cluster;

/// Keeps the injector's settings; `listed` is called once it is known whether there are any.
pub(super) async fn settings(
    cluster: Cluster,
    name: String,
    environment: BTreeMap<String, String>,
    into: Arc<Live<Option<Injector>>>,
    listed: impl FnOnce() + Send,
    mut drain: Watch,
) {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client, &cluster.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut stream = watcher::watcher(maps, config).default_backoff().boxed();
    let mut listed = Some(listed);
    loop {
        let event = tokio::select! {
            event = stream.try_next() => event,
            () = drain.graceful() => return,
        };
        match event {
            Ok(Some(Event::Apply(map) | Event::InitApply(map))) => take(&map, &environment, &into),
            Ok(Some(Event::InitDone)) => {
                if into.load().is_none() {
                    tracing::warn!(
                        name,
                        "there is no ConfigMap of the injector; no pod gets a proxy until there is"
                    );
                }
                if let Some(listed) = listed.take() {
                    listed();
                }
            }
            Ok(Some(Event::Delete(_))) => {
                tracing::warn!(name, "the injector's ConfigMap is gone; its last settings stay in force");
            }
            Ok(Some(Event::Init)) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, name, "the injector's ConfigMap cannot be watched; trying again")
            }
        }
    }
}

fn take(map: &ConfigMap, environment: &BTreeMap<String, String>, into: &Live<Option<Injector>>) {
    let key = |key: &str| map.data.as_ref().and_then(|data| data.get(key)).map(String::as_str);
    let read = match (key("config"), key("values")) {
        (Some(config), values) => Injector::read(config, values.unwrap_or("{}"), environment),
        (None, _) => Err("there is no key config in it".to_owned()),
    };
    match read {
        Ok(injector) => {
            if !injector.unknown.is_empty() {
                let fields = injector.unknown.join(", ");
                tracing::warn!(fields, "fields of the injector's config that do not exist are ignored");
            }
            into.set(Some(injector));
            tracing::info!("settings of the injector read");
        }
        Err(error) => {
            tracing::error!(error, "the injector's ConfigMap is wrong; its last good form stays in force")
        }
    }
}
