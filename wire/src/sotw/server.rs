//! The serving machine for state-of-the-world clients.
//!
//! In: what the client should see and its requests. Out: responses and [`Report`]s, with the promises of the delta
//! server: one unanswered response per kind, clusters before what refers to them, nothing for a client that comes
//! back with the current version. The version of a response is a hash over the names and versions of the
//! client's whole set of that kind, so it is the same on every server.

use std::collections::HashSet;
use std::sync::Arc;

use super::message::{Request, Response};
use crate::delta::state::{Half, WILDCARD};
use crate::delta::{Report, Sync, stream};
use crate::kind::Kind;
use crate::resource::{Resource, hash128};

#[derive(Debug)]
struct Stream {
    base: stream::Stream,
    /// Version that a returning client says it has, until it was compared.
    claimed: Option<Arc<str>>,
}

/// One client's session.
#[derive(Debug)]
pub struct Server {
    streams: [Stream; Kind::ALL.len()],
    responses: u64,
}

impl Default for Server {
    fn default() -> Self {
        Server::new()
    }
}

impl Server {
    /// A stream that has just been opened.
    pub fn new() -> Self {
        let stream = |kind| Stream { base: stream::Stream::new(kind), claimed: None };
        Server { streams: Kind::ALL.map(stream), responses: 0 }
    }

    /// The complete set of a kind that this client may see.
    pub fn offer(&mut self, kind: Kind, set: &[Arc<Resource>]) {
        self.stream(kind).base.lane.offer(set);
    }

    /// As [`Server::offer`] for a change whose difference is known.
    pub fn change(&mut self, kind: Kind, updated: &[Arc<Resource>], removed: &[Arc<str>]) {
        self.stream(kind).base.lane.change(updated, removed);
    }

    /// Takes a request of the client.
    pub fn received(&mut self, request: &Request) -> Vec<Report> {
        let Some(kind) = request.kind else { return Vec::new() };
        let stream = self.stream(kind);
        let mut reports = Vec::new();
        if stream.base.lane.subscribed {
            // With nothing in flight these are other names, under the nonce of a response that was answered before. A
            // stale answer: the client had not seen our last response when it wrote this, and will answer that, too.
            // Even then its names are its wish at that time.
            if !request.nonce.is_empty() && stream.base.is_in_flight() {
                reports.push(stream.base.answered(kind, &request.nonce, request.error.as_ref()));
            }
        } else {
            stream.base.lane.subscribed = true;
            stream.base.owed = request.version.is_empty();
            stream.claimed = Some(request.version.clone()).filter(|version| !version.is_empty());
            reports.push(Report::Asked { kind, held: usize::from(stream.claimed.is_some()) });
        }
        stream.set_names(kind, &request.names);
        reports
    }

    /// The responses that may be sent now, in order.
    pub fn drain(&mut self) -> Vec<Response> {
        let mut out = Vec::new();
        for kind in Kind::ALL {
            let waits = matches!(kind, Kind::Listener | Kind::Route);
            let cluster = &self.streams[Kind::Cluster.index()].base;
            if waits && cluster.is_in_flight() && cluster.lane.has_resources() {
                continue;
            }
            let number = self.responses + 1;
            if let Some(response) = self.stream(kind).respond(kind, number) {
                self.responses = number;
                if kind == Kind::Cluster {
                    // As for delta clients; here the whole set may have changed.
                    let clusters = response.resources.iter().map(|resource| &resource.name);
                    self.stream(Kind::Endpoints).base.lane.again(clusters);
                }
                out.push(response);
            }
        }
        out
    }

    /// Whether nothing is unsent or unanswered.
    pub fn is_idle(&self) -> bool {
        self.streams.iter().all(|stream| stream.base.is_idle())
    }

    /// How far the client is with this kind.
    pub fn sync(&self, kind: Kind) -> Sync {
        self.streams[kind.index()].base.sync()
    }

    /// Names that the client asked for; empty and `true` if it asked for everything.
    pub fn subscription(&self, kind: Kind) -> (Vec<Arc<str>>, bool) {
        self.streams[kind.index()].base.subscription()
    }

    fn stream(&mut self, kind: Kind) -> &mut Stream {
        &mut self.streams[kind.index()]
    }
}

impl Stream {
    fn set_names(&mut self, kind: Kind, names: &[Arc<str>]) {
        let all = names.iter().any(|name| &**name == WILDCARD);
        if (names.is_empty() && kind.has_wildcard() && self.base.lane.names.is_empty()) || all {
            if !self.base.lane.wildcard {
                self.base.lane.subscribe_all();
            }
            return;
        }
        let asked: HashSet<Arc<str>> = names.iter().cloned().collect();
        let gone: Vec<Arc<str>> = self.base.lane.names.difference(&asked).cloned().collect();
        let new: Vec<Arc<str>> =
            names.iter().filter(|name| !self.base.lane.names.contains(*name)).cloned().collect();
        self.base.lane.unsubscribe(&gone);
        self.base.lane.subscribe(&new);
        // A client waits for an answer to new names, even if none of them exists.
        self.base.owed |= !new.is_empty() && self.claimed.is_none();
    }

    fn respond(&mut self, kind: Kind, number: u64) -> Option<Response> {
        if self.base.is_in_flight() || !self.base.lane.is_ready() {
            return None;
        }
        let version = self.version();
        if let Some(claimed) = self.claimed.take() {
            if claimed == version {
                let held: Vec<_> = self.wanted().map(|r| (r.name.clone(), r.version.clone())).collect();
                self.base.lane.holds(&held);
            }
            // Also if nothing is left: that is what the client must hear.
            self.base.owed |= claimed != version;
        }
        let batch = self.base.lane.take(Half::Both);
        let changed = !batch.resources.is_empty() || (kind.is_whole_set() && !batch.removed.is_empty());
        if !changed && !self.base.owed {
            return None;
        }
        let mut resources =
            if kind.is_whole_set() { self.wanted().cloned().collect() } else { batch.resources };
        resources.sort_by(|a: &Arc<Resource>, b| a.name.cmp(&b.name));
        let nonce = self.base.issue(kind, number);
        Some(Response { kind, resources, version, nonce })
    }

    fn wanted(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let lane = &self.base.lane;
        lane.offered().filter(|resource| lane.wildcard || lane.names.contains(&resource.name))
    }

    fn version(&self) -> Arc<str> {
        let mut parts: Vec<(&str, &str)> = self.wanted().map(|r| (&*r.name, &*r.version)).collect();
        parts.sort_unstable();
        format!("{:032x}", hash128(&parts)).into()
    }
}
