//! The default revision: the one that the tag `default` means.
//!
//! In: the cluster. Out: the revision's name in a cell, followed as long as somebody reads it; none while there is no
//! such tag. The tag is a MutatingWebhookConfiguration whose label `istio.io/rev` names the revision. Called by `citizen`.

use base::drain::Watch;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use super::Cluster;

/// Name of the tag.
const TAG: &str = "istio-revision-tag-default";

/// Follows the tag until the drain.
pub(super) async fn follow(cluster: Cluster, into: watch::Sender<Option<String>>, mut drain: Watch) {
    let tags: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(cluster.client);
    let config = watcher::Config::default().fields(&format!("metadata.name={TAG}"));
    let mut stream = watcher::watcher(tags, config).default_backoff().boxed();
    let mut listed = None;
    loop {
        let event = tokio::select! {
            event = stream.try_next() => event,
            () = drain.graceful() => return,
        };
        let now = match event {
            Ok(Some(Event::Init)) => {
                listed = None;
                continue;
            }
            Ok(Some(Event::InitApply(tag))) => {
                listed = tag.labels().get("istio.io/rev").cloned();
                continue;
            }
            Ok(Some(Event::InitDone)) => listed.take(),
            Ok(Some(Event::Apply(tag))) => tag.labels().get("istio.io/rev").cloned(),
            Ok(Some(Event::Delete(_))) => None,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the tag of the default revision cannot be watched; trying again");
                continue;
            }
        };
        into.send_if_modified(|known| {
            let changed = *known != now;
            known.clone_from(&now);
            changed
        });
    }
}
