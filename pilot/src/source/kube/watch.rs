//! Connections to the API server: one watch per kind, and one of the CustomResourceDefinitions.
//!
//! In: a client. Out: batches on a channel, until its receiver is gone. Kinds whose definition is not installed count as
//! empty and are watched as soon as it is. Errors are logged once per change of their text and tried again, with a
//! growing pause; what was read stays in force meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use api::Kind;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, GroupVersionKind};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch as cell};

use super::collect::{Collector, Notice};
use super::plan::{Plan, plans};
use super::seen::{Seen, Sent, Trimmed};
use crate::source::Batch;
use crate::world::{Home, Pod};

/// Objects per page of a list: bounds what a list costs at once.
const PAGE: u32 = 100;
/// Pods per page: of a pod little is kept even for a moment.
const PODS: u32 = 500;
/// A group or kind that is not served is answered in plain text, not in Kubernetes' own form: only the code says it.
const NOT_FOUND: u16 = 404;
/// Pause after an error outside of a watch; watches have a growing one of their own.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends the complete first batch, then what changes, until the receiver is gone.
///
/// An API server that does not answer is waited for. `home` says where the mesh's settings are.
pub async fn watch(client: Client, home: &Home, batches: mpsc::Sender<Batch>) {
    let plans = plans(&home.namespace, &home.config_map);
    let mut collector = Collector::new(plans.iter().map(|plan| plan.kind));
    let (notices, mut noticed) = mpsc::channel(1024);
    let (defined, definitions) = cell::channel(None);
    let mut tasks = vec![base::task::spawn("definitions", define(client.clone(), defined)).bound()];
    for plan in plans {
        let follower = Follower {
            client: client.clone(),
            plan,
            notices: notices.clone(),
            definitions: definitions.clone(),
            complaint: String::new(),
        };
        tasks.push(base::task::spawn("watch", follower.run()).bound());
    }
    drop(notices);
    let mut patience = tokio::time::interval(Duration::from_secs(10));
    patience.tick().await;
    loop {
        tokio::select! {
            notice = noticed.recv() => {
                let Some(notice) = notice else { return };
                collector.take(notice);
            }
            _ = patience.tick(), if !collector.waiting().is_empty() => {
                let kinds: Vec<&str> = collector.waiting().iter().map(|kind| kind.name()).collect();
                tracing::info!(kinds = kinds.join(","), "waiting for the first complete list");
            }
            () = batches.closed() => return,
        }
        while let Ok(notice) = noticed.try_recv() {
            collector.take(notice);
        }
        if let Some(batch) = collector.batch()
            && batches.send(batch).await.is_err()
        {
            return;
        }
    }
}

/// Keeps the names of all established definitions; `None` until they have been listed.
async fn define(client: Client, defined: cell::Sender<Option<BTreeSet<String>>>) {
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client);
    let config = watcher::Config::default().page_size(20);
    let mut stream = watcher::watcher(definitions, config).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    loop {
        match stream.try_next().await {
            Ok(Some(Event::Init)) => listed.clear(),
            Ok(Some(Event::InitApply(object))) => {
                listed.insert(object.name_any());
            }
            Ok(Some(Event::InitDone)) => {
                defined.send_replace(Some(std::mem::take(&mut listed)));
            }
            // Sent on even when the name is known: it may have become served only now.
            Ok(Some(Event::Apply(object))) => defined.send_modify(|names| {
                names.get_or_insert_default().insert(object.name_any());
            }),
            Ok(Some(Event::Delete(object))) => defined.send_modify(|names| {
                names.get_or_insert_default().remove(&object.name_any());
            }),
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "definitions of kinds cannot be watched; trying again"),
        }
    }
}

/// One watch.
struct Follower {
    client: Client,
    plan: Plan,
    notices: mpsc::Sender<Notice>,
    definitions: cell::Receiver<Option<BTreeSet<String>>>,
    /// The last error, said once.
    complaint: String,
}

impl Follower {
    /// Until nobody listens.
    async fn run(mut self) {
        while !self.notices.is_closed() {
            match self.served().await {
                Ok(Some(resource)) => {
                    let followed = match self.plan.kind {
                        Kind::Pod => self.follow::<Pod>(&resource, PODS).await,
                        _ => self.follow::<Sent>(&resource, PAGE).await,
                    };
                    if followed.is_err() {
                        return;
                    }
                }
                Ok(None) => {
                    // Not installed: no objects. Served versions are looked at again when definitions change.
                    let kind = self.plan.kind;
                    for notice in [Notice::Begin(kind), Notice::Done(kind)] {
                        if self.notices.send(notice).await.is_err() {
                            return;
                        }
                    }
                    if self.definitions.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    self.complain(&error.to_string());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The version to watch: the preferred one that the API server serves.
    async fn served(&mut self) -> Result<Option<ApiResource>, kube::Error> {
        let row = self.plan.kind.row();
        let of = |version: &str| {
            ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk(row.group, version, row.name),
                row.plural,
            )
        };
        if self.plan.is_built_in() {
            return Ok(row.versions.first().map(|version| of(version)));
        }
        let definition = self.plan.definition();
        let installed = self
            .definitions
            .wait_for(Option::is_some)
            .await
            .is_ok_and(|names| names.as_ref().is_some_and(|names| names.contains(&definition)));
        // What comes after this look wakes `changed`.
        self.definitions.mark_unchanged();
        if !installed {
            return Ok(None);
        }
        for version in row.versions {
            match self.client.list_api_group_resources(&format!("{}/{version}", row.group)).await {
                Ok(list) if list.resources.iter().any(|resource| resource.name == row.plural) => {
                    return Ok(Some(of(version)));
                }
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Until the kind is no longer served; `Err` when nobody listens.
    async fn follow<T>(
        &mut self,
        resource: &ApiResource,
        page: u32,
    ) -> Result<(), mpsc::error::SendError<Notice>>
    where
        T: Trimmed,
        Seen<T>: DeserializeOwned,
    {
        let api: Api<Seen<T>> = match &self.plan.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        let mut config = watcher::Config::default().page_size(page);
        if !self.plan.fields.is_empty() {
            config = config.fields(&self.plan.fields);
        }
        let mut stream = watcher::watcher(api, config).default_backoff().boxed();
        let kind = self.plan.kind;
        let read = |seen: Seen<T>| seen.read(kind, &resource.api_version);
        loop {
            let notice = match stream.try_next().await {
                Ok(Some(Event::Init)) => Notice::Begin(kind),
                Ok(Some(Event::InitApply(seen))) => Notice::Item(read(seen)),
                Ok(Some(Event::InitDone)) => {
                    self.complaint.clear();
                    Notice::Done(kind)
                }
                Ok(Some(Event::Apply(seen))) => Notice::Apply(read(seen)),
                Ok(Some(Event::Delete(seen))) => Notice::Gone(seen.key(kind)),
                Ok(None) => return Ok(()),
                Err(error) if is_not_served(&error) && !self.plan.is_built_in() => return Ok(()),
                Err(error) => {
                    self.complain(&error.to_string());
                    continue;
                }
            };
            self.notices.send(notice).await?;
        }
    }

    /// Says an error when it is another than the last.
    fn complain(&mut self, error: &str) {
        if self.complaint != error {
            let kind: Kind = self.plan.kind;
            tracing::warn!(%kind, error, "cannot be watched; what was read stays, trying again");
            error.clone_into(&mut self.complaint);
        }
    }
}

/// The definition went while its objects were watched.
fn is_not_served(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => status.code == NOT_FOUND,
        _ => false,
    }
}
