//! The asking machine for state-of-the-world servers.
//!
//! In: subscriptions, responses and the owner's verdict on each. Out: requests. It outlives streams: after
//! [`Client::connected`] requests carry all names and the version in force. Owned by the proxy's xDS task where a
//! bootstrap asks for `GRPC` instead of `DELTA_GRPC`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::message::{Request, Response};
use crate::delta::Failure;
use crate::kind::Kind;
use crate::reject::Reject;
use crate::resource::Resource;

/// A response for the owner to apply. Give it back to [`Client::ack`] or [`Client::nack`].
#[derive(Clone, Debug)]
#[must_use = "the server waits for ack or nack"]
pub struct Accepted {
    /// What it is about.
    pub kind: Kind,
    /// The resources of the response; versions are hashes of their bytes, since this protocol has none.
    pub resources: Vec<Arc<Resource>>,
    /// Names that the owner should have and the response does not repeat; only of whole-set kinds.
    pub removed: Vec<Arc<str>>,
    version: Arc<str>,
    nonce: Arc<str>,
    stream: u64,
    /// Some of it was not wanted any more.
    partial: bool,
}

#[derive(Debug, Default)]
struct Lane {
    asked: bool,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    held: BTreeMap<Arc<str>, Arc<str>>,
    version: Arc<str>,
    /// What is held is not what `version` says: part of a response was refused, or names were dropped. A new stream
    /// must not claim that version.
    mixed: bool,
    /// The next response is an answer to a request that claimed nothing, so it brings everything.
    complete: bool,
    /// Dropped since the last request.
    dropped: BTreeSet<Arc<str>>,
    nonce: Arc<str>,
    /// Something to say: an answer or other names.
    due: bool,
    error: Option<Failure>,
}

/// One proxy's session, across streams.
#[derive(Debug, Default)]
pub struct Client {
    lanes: BTreeMap<Kind, Lane>,
    stream: u64,
    connected: bool,
}

impl Client {
    /// Not connected, nothing subscribed.
    pub fn new() -> Self {
        Client::default()
    }

    /// Asks for everything of a kind.
    pub fn subscribe_all(&mut self, kind: Kind) {
        let lane = self.lanes.entry(kind).or_default();
        lane.due |= !lane.wildcard;
        lane.wildcard = true;
    }

    /// Asks for names.
    pub fn subscribe<N: Into<Arc<str>>>(&mut self, kind: Kind, names: impl IntoIterator<Item = N>) {
        let lane = self.lanes.entry(kind).or_default();
        for name in names {
            lane.due |= lane.names.insert(name.into());
        }
    }

    /// Drops names; the owner forgets the resources.
    pub fn unsubscribe<N: AsRef<str>>(&mut self, kind: Kind, names: impl IntoIterator<Item = N>) {
        let lane = self.lanes.entry(kind).or_default();
        for name in names {
            if let Some(name) = lane.names.take(name.as_ref()) {
                lane.due = true;
                lane.mixed |= lane.held.remove(&name).is_some();
                lane.dropped.insert(name);
            }
        }
    }

    /// Makes the subscription of a kind exactly these names.
    pub fn set_names(&mut self, kind: Kind, names: &BTreeSet<Arc<str>>) {
        let lane = self.lanes.entry(kind).or_default();
        let gone: Vec<Arc<str>> = lane.names.difference(names).cloned().collect();
        self.unsubscribe(kind, gone);
        self.subscribe(kind, names.iter().cloned());
    }

    /// A new stream is open: everything is asked for again.
    pub fn connected(&mut self) {
        self.stream += 1;
        self.connected = true;
        for lane in self.lanes.values_mut() {
            lane.asked = false;
            lane.nonce = "".into();
            lane.error = None;
            lane.complete = false;
        }
    }

    /// The stream is lost; what is held stays.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// Takes a response.
    pub fn received(&mut self, response: Response) -> Accepted {
        let lane = self.lanes.entry(response.kind).or_default();
        let mut resources = response.resources;
        let all = resources.len();
        resources.retain(|resource| lane.wildcard || lane.names.contains(&resource.name));
        let mut removed = Vec::new();
        if response.kind.is_whole_set() {
            let now: BTreeSet<&Arc<str>> = resources.iter().map(|resource| &resource.name).collect();
            removed.extend(lane.held.keys().filter(|name| !now.contains(name)).cloned());
        }
        Accepted {
            kind: response.kind,
            partial: resources.len() < all,
            resources,
            removed,
            version: response.version,
            nonce: response.nonce,
            stream: self.stream,
        }
    }

    /// All of it is in force.
    pub fn ack(&mut self, accepted: &Accepted) {
        self.settle(accepted, |_| true, None);
    }

    /// The rejected resources are not in force; the others are.
    pub fn nack(&mut self, accepted: &Accepted, rejects: &[Reject]) {
        let error =
            Reject::fold(rejects).map(|status| Failure { code: status.code, message: status.message });
        let refused = |name: &str| rejects.iter().any(|reject| &*reject.resource == name);
        self.settle(accepted, |name| !refused(name), error);
    }

    /// The requests that are due, in apply order. Empty while not connected.
    pub fn drain(&mut self) -> Vec<Request> {
        if !self.connected {
            return Vec::new();
        }
        self.lanes.iter_mut().flat_map(|(kind, lane)| lane.requests(*kind)).collect()
    }

    /// What is in force, name and version.
    pub fn held(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.lanes.get(&kind).into_iter().flat_map(|lane| &lane.held)
    }

    fn settle(&mut self, accepted: &Accepted, took: impl Fn(&str) -> bool, error: Option<Failure>) {
        let lane = self.lanes.entry(accepted.kind).or_default();
        for name in &accepted.removed {
            lane.held.remove(name);
        }
        let mut mixed = error.is_some() || accepted.partial;
        for resource in &accepted.resources {
            let wanted = lane.wildcard || lane.names.contains(&resource.name);
            mixed |= !wanted;
            if wanted && took(&resource.name) {
                lane.held.insert(resource.name.clone(), resource.version.clone());
            }
        }
        let complete = std::mem::take(&mut lane.complete) || accepted.kind.is_whole_set();
        lane.mixed = mixed || (lane.mixed && !complete);
        if error.is_none() {
            lane.version = accepted.version.clone();
        }
        if accepted.stream == self.stream {
            lane.nonce = accepted.nonce.clone();
            lane.error = error;
            lane.due = true;
        }
    }
}

impl Lane {
    fn requests(&mut self, kind: Kind) -> Vec<Request> {
        let nothing = !self.wildcard && self.names.is_empty();
        if (self.asked && !self.due) || (!self.asked && nothing) {
            return Vec::new();
        }
        let first = !self.asked;
        let back: Vec<Arc<str>> =
            std::mem::take(&mut self.dropped).intersection(&self.names).cloned().collect();
        self.asked = true;
        self.due = false;
        let claim = if first && self.mixed { "".into() } else { self.version.clone() };
        self.complete |= first && claim.is_empty();
        let mut request = Request {
            kind: Some(kind),
            names: self.names.iter().cloned().collect(),
            version: claim,
            nonce: self.nonce.clone(),
            error: self.error.take(),
        };
        let would_ask_for_all = back.len() == self.names.len() && kind.has_wildcard();
        if first || back.is_empty() || would_ask_for_all {
            return vec![request];
        }
        // Dropped and wanted again: the server sees that only if the names are missing once.
        let whole = Request { error: None, ..request.clone() };
        request.names.retain(|name| !back.contains(name));
        vec![request, whole]
    }
}
