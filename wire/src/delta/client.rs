//! The asking machine.
//!
//! In: subscriptions, responses, and the owner's verdict on each ([`Client::ack`], [`Client::nack`]). Out: requests.
//! One per proxy; it outlives streams: after [`Client::connected`] the next requests carry everything that is
//! subscribed and the versions that are in force, so that a server with nothing new has nothing to say. Owned by the
//! proxy's xDS task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::message::{Failure, Request, Response};
use super::state::WILDCARD;
use crate::kind::Kind;
use crate::reject::Reject;
use crate::resource::Resource;

/// A response for the owner to apply. Give it back to [`Client::ack`] or [`Client::nack`].
#[derive(Clone, Debug)]
#[must_use = "the server waits for ack or nack"]
pub struct Accepted {
    /// What it is about.
    pub kind: Kind,
    /// New and changed resources.
    pub resources: Vec<Arc<Resource>>,
    /// Names that do not exist (any more). A removed route configuration takes its virtual hosts with it.
    pub removed: Vec<Arc<str>>,
    nonce: Arc<str>,
    stream: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// Asked for on this stream.
    asked: bool,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    /// Versions in force.
    held: BTreeMap<Arc<str>, Arc<str>>,
    to_subscribe: BTreeSet<Arc<str>>,
    to_unsubscribe: BTreeSet<Arc<str>>,
    answer: Option<(Arc<str>, Option<Failure>)>,
}

/// One proxy's session, across streams.
#[derive(Debug, Default)]
pub struct Client {
    lanes: BTreeMap<Kind, Lane>,
    /// Number of the stream, so that a late verdict is not sent on a newer one.
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
        if !lane.wildcard {
            lane.wildcard = true;
            lane.to_unsubscribe.remove(WILDCARD);
            lane.to_subscribe.insert(WILDCARD.into());
        }
    }

    /// Asks for a kind whose resources come with those of another ([`Kind::child`]): no names, just interest.
    pub fn follow(&mut self, kind: Kind) {
        self.lanes.entry(kind).or_default();
    }

    /// Asks for names; those already subscribed are not asked for again.
    pub fn subscribe<N: Into<Arc<str>>>(&mut self, kind: Kind, names: impl IntoIterator<Item = N>) {
        let lane = self.lanes.entry(kind).or_default();
        for name in names {
            let name = name.into();
            if lane.names.insert(name.clone()) {
                lane.to_unsubscribe.remove(&name);
                lane.to_subscribe.insert(name);
            }
        }
    }

    /// Drops names. The owner forgets the resources; they will not be removed by the server.
    pub fn unsubscribe<N: AsRef<str>>(&mut self, kind: Kind, names: impl IntoIterator<Item = N>) {
        let lane = self.lanes.entry(kind).or_default();
        let mut dropped = Vec::new();
        for name in names {
            if let Some(name) = lane.names.take(name.as_ref()) {
                lane.held.remove(&name);
                lane.to_subscribe.remove(&name);
                lane.to_unsubscribe.insert(name.clone());
                dropped.push(name);
            }
        }
        self.forget_children(kind, &dropped);
    }

    /// Makes the subscription of a kind exactly these names.
    pub fn set_names(&mut self, kind: Kind, names: &BTreeSet<Arc<str>>) {
        let lane = self.lanes.entry(kind).or_default();
        let gone: Vec<Arc<str>> = lane.names.difference(names).cloned().collect();
        self.subscribe(kind, names.iter().cloned());
        self.unsubscribe(kind, gone);
    }

    /// A new stream is open: everything is asked for again.
    pub fn connected(&mut self) {
        self.stream += 1;
        self.connected = true;
        for lane in self.lanes.values_mut() {
            lane.asked = false;
            lane.answer = None;
            lane.to_subscribe.clear();
            lane.to_unsubscribe.clear();
        }
    }

    /// The stream is lost; what is held stays.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// Takes a response. Nothing counts as held before the owner's verdict. What was unsubscribed while the response
    /// was on its way is left out.
    pub fn received(&mut self, response: Response) -> Accepted {
        let kind = response.kind;
        let mut resources = response.resources;
        resources.retain(|resource| self.wants(kind, &resource.name));
        Accepted { kind, resources, removed: response.removed, nonce: response.nonce, stream: self.stream }
    }

    /// All of it is in force.
    pub fn ack(&mut self, accepted: &Accepted) {
        self.settle(accepted, |_| true, None);
    }

    /// The rejected resources are not in force, their last good versions are; the others are in force.
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
        self.lanes.iter_mut().filter_map(|(kind, lane)| lane.request(*kind)).collect()
    }

    /// What is in force, name and version.
    pub fn held(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.lanes.get(&kind).into_iter().flat_map(|lane| &lane.held)
    }

    /// Names subscribed.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Arc<str>> {
        self.lanes.get(&kind).into_iter().flat_map(|lane| &lane.names)
    }

    fn wants(&self, kind: Kind, name: &str) -> bool {
        let covers = |kind, name: &str| {
            self.lanes.get(&kind).is_some_and(|lane| lane.wildcard || lane.names.contains(name))
        };
        let by_parent =
            || kind.parent().zip(kind.parent_of(name)).is_some_and(|(kind, name)| covers(kind, name));
        covers(kind, name) || by_parent()
    }

    fn settle(&mut self, accepted: &Accepted, took: impl Fn(&str) -> bool, error: Option<Failure>) {
        // It may have been unsubscribed while the owner was busy with it.
        let taken: Vec<&Arc<Resource>> = accepted
            .resources
            .iter()
            .filter(|resource| took(&resource.name) && self.wants(accepted.kind, &resource.name))
            .collect();
        let lane = self.lanes.entry(accepted.kind).or_default();
        for name in &accepted.removed {
            lane.held.remove(name);
        }
        for resource in taken {
            lane.held.insert(resource.name.clone(), resource.version.clone());
        }
        if accepted.stream == self.stream {
            lane.answer = Some((accepted.nonce.clone(), error));
        }
        self.forget_children(accepted.kind, &accepted.removed);
    }

    fn forget_children(&mut self, kind: Kind, parents: &[Arc<str>]) {
        let Some((child, lane)) = kind.child().and_then(|child| Some((child, self.lanes.get_mut(&child)?)))
        else {
            return;
        };
        let gone = |name: &str| child.parent_of(name).is_some_and(|own| parents.iter().any(|p| &**p == own));
        lane.held.retain(|name, _| !gone(name));
    }
}

impl Lane {
    fn request(&mut self, kind: Kind) -> Option<Request> {
        if !self.asked {
            // An empty first request would ask for everything, except of a kind that follows another.
            if !self.wildcard && self.names.is_empty() && kind.parent().is_none() {
                return None;
            }
            self.asked = true;
            self.to_subscribe.clear();
            self.to_unsubscribe.clear();
            let mut subscribe: Vec<Arc<str>> = self.names.iter().cloned().collect();
            // Without names an empty list says the same and is understood by every server.
            if self.wildcard && !subscribe.is_empty() {
                subscribe.insert(0, WILDCARD.into());
            }
            let initial_versions = self.held.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            return Some(Request { kind: Some(kind), subscribe, initial_versions, ..Request::default() });
        }
        let (nonce, error) = match self.answer.take() {
            Some(answer) => answer,
            None if self.to_subscribe.is_empty() && self.to_unsubscribe.is_empty() => return None,
            None => ("".into(), None),
        };
        Some(Request {
            kind: Some(kind),
            subscribe: std::mem::take(&mut self.to_subscribe).into_iter().collect(),
            unsubscribe: std::mem::take(&mut self.to_unsubscribe).into_iter().collect(),
            initial_versions: Vec::new(),
            nonce,
            error,
        })
    }
}
