//! The serving machine.
//!
//! In: what the client should see ([`Server::offer`], [`Server::change`]) and its requests. Out: responses, in an
//! order that never points a client at something that it does not have yet, and [`Report`]s. One per connection,
//! owned by pilot's push. Promises: at most one unanswered response per kind, later changes merge into the next;
//! what the client holds is not sent again, but for the endpoints of a changed cluster; the first set of a kind is never split.

use std::sync::Arc;

use super::message::{Request, Response};
use super::state::Half;
use super::stream::{Report, Stream, Sync};
use crate::kind::Kind;
use crate::resource::Resource;

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
    /// A stream that has just been opened. A stream that is lost takes its machine with it.
    pub fn new() -> Self {
        Server { streams: Kind::ALL.map(Stream::new), responses: 0 }
    }

    /// The complete set of a kind that this client may see; what it gets follows from its subscription. A kind is
    /// not answered before it was offered, so offer every kind, if only empty.
    pub fn offer(&mut self, kind: Kind, set: &[Arc<Resource>]) {
        self.stream(kind).lane.offer(set);
    }

    /// As [`Server::offer`] for a change whose difference is known: costs the change, not the set.
    pub fn change(&mut self, kind: Kind, updated: &[Arc<Resource>], removed: &[Arc<str>]) {
        self.stream(kind).lane.change(updated, removed);
    }

    /// Takes a request of the client.
    pub fn received(&mut self, request: &Request) -> Vec<Report> {
        let Some(kind) = request.kind else { return Vec::new() };
        let mut reports = Vec::new();
        let dropped: Vec<Arc<str>>;
        let stream = self.stream(kind);
        if stream.lane.subscribed {
            if !request.nonce.is_empty() {
                reports.push(stream.answered(kind, &request.nonce, request.error.as_ref()));
            }
            stream.lane.subscribe(&request.subscribe);
            stream.lane.unsubscribe(&request.unsubscribe);
            dropped = request.unsubscribe.clone();
        } else {
            stream.lane.subscribed = true;
            stream.owed = request.initial_versions.is_empty();
            if request.subscribe.is_empty() && kind.has_wildcard() {
                stream.lane.subscribe_all();
            }
            stream.lane.subscribe(&request.subscribe);
            stream.lane.unsubscribe(&request.unsubscribe);
            stream.lane.holds(&request.initial_versions);
            dropped = Vec::new();
            reports.push(Report::Asked { kind, held: request.initial_versions.len() });
        }
        if let Some(child) = kind.child() {
            let held: Vec<Arc<str>> = self.stream(kind).lane.held().cloned().collect();
            let first = matches!(reports.first(), Some(Report::Asked { .. }));
            let lane = &mut self.stream(child).lane;
            lane.drop_parents(&dropped);
            if first {
                lane.add_parents(&held, false);
            }
        }
        reports
    }

    /// The responses that may be sent now, in order. Call after every `offer`, `change` and `received`.
    pub fn drain(&mut self) -> Vec<Response> {
        let mut out = Vec::new();
        for kind in Kind::ALL {
            if self.must_wait(kind) {
                continue;
            }
            // What others refer to goes last, see below.
            let half = if is_referred_to(kind) { Half::Resources } else { Half::Both };
            self.respond(kind, half, &mut out);
        }
        let users = [Kind::Listener, Kind::Route, Kind::VirtualHost];
        if !users.iter().any(|kind| self.streams[kind.index()].lane.is_due()) {
            for kind in Kind::ALL.into_iter().filter(|kind| is_referred_to(*kind)) {
                self.respond(kind, Half::Both, &mut out);
            }
        }
        out
    }

    /// Whether nothing is unsent or unanswered.
    pub fn is_idle(&self) -> bool {
        self.streams.iter().all(Stream::is_idle)
    }

    /// How far the client is with this kind.
    pub fn sync(&self, kind: Kind) -> Sync {
        self.streams[kind.index()].sync()
    }

    /// Names that the client asked for; empty and `true` if it asked for everything.
    pub fn subscription(&self, kind: Kind) -> (Vec<Arc<str>>, bool) {
        self.streams[kind.index()].subscription()
    }

    fn stream(&mut self, kind: Kind) -> &mut Stream {
        &mut self.streams[kind.index()]
    }

    /// A route must not reach the client before the cluster that it names: while new clusters wait for the answer to
    /// earlier ones, what may refer to them waits too. Endpoints and secrets never wait: a client may hold back
    /// its answer for clusters until it has theirs.
    fn must_wait(&self, kind: Kind) -> bool {
        let waiting = |kind: Kind| {
            let stream = &self.streams[kind.index()];
            stream.is_in_flight() && stream.lane.has_resources()
        };
        match kind {
            Kind::Listener | Kind::Route => waiting(Kind::Cluster),
            Kind::VirtualHost => waiting(Kind::Cluster) || waiting(Kind::Route),
            _ => false,
        }
    }

    fn respond(&mut self, kind: Kind, half: Half, out: &mut Vec<Response>) {
        let number = self.responses + 1;
        let stream = self.stream(kind);
        if stream.is_in_flight() || !stream.lane.is_ready() {
            return;
        }
        let batch = stream.lane.take(half);
        if batch.resources.is_empty() && batch.removed.is_empty() {
            // Removals that are held back are an answer, too; they come in the second pass.
            let silent = !stream.owed || !stream.lane.wildcard || stream.lane.is_due();
            if silent {
                return;
            }
        }
        let nonce = stream.issue(kind, number);
        self.responses = number;
        if let Some(child) = kind.child() {
            let lane = &mut self.stream(child).lane;
            lane.drop_parents(&batch.removed);
            lane.add_parents(&batch.fresh, true);
        }
        if kind == Kind::Cluster {
            // A stock Envoy warms a cluster that has changed until it hears of its endpoints, and does not ask for
            // what it watches already. Endpoints bear the name of their cluster.
            let changed = batch.resources.iter().map(|resource| &resource.name);
            self.stream(Kind::Endpoints).lane.again(changed);
        }
        out.push(Response { kind, resources: batch.resources, removed: batch.removed, nonce });
    }
}

/// Kinds that others name: new ones are sent before those others, old ones are removed after them.
const fn is_referred_to(kind: Kind) -> bool {
    matches!(kind, Kind::Cluster | Kind::Endpoints)
}
