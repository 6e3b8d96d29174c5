//! The serving machine.
//!
//! In: what the client should see ([`Server::offer`], [`Server::change`]) and its requests. Out: responses, in an
//! order that never points a client at something that it does not have yet, and [`Report`]s. One per connection,
//! owned by pilot's push. Promises: at most one unanswered response per kind, later changes merge into the next;
//! what the client holds is not sent again, but for the endpoints of a changed cluster; the first set of a kind is never split.

use std::sync::Arc;

use super::message::{Failure, Request, Response};
use super::state::{Half, Lane};
use crate::kind::Kind;

/// Something that a request said, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// First request of this kind on this stream.
    Asked {
        /// The kind.
        kind: Kind,
        /// How many resources the client says it holds.
        held: usize,
    },
    /// The client applied the response.
    Ack {
        /// The kind.
        kind: Kind,
        /// Of the response.
        nonce: Arc<str>,
    },
    /// The client refused the response, or parts of it, and keeps what it had.
    Nack {
        /// The kind.
        kind: Kind,
        /// Of the response.
        nonce: Arc<str>,
        /// In the client's words.
        error: Failure,
    },
    /// An answer to a response that is not the last one: ignored.
    Stale {
        /// The kind.
        kind: Kind,
    },
}

/// How far a client is with one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It has not asked.
    NotAsked,
    /// Nothing has been sent, since there was nothing to send.
    NotSent,
    /// It has confirmed the last response.
    Synced,
    /// It has not answered yet.
    Pending,
    /// It has refused the last response.
    Refused(String),
}

#[derive(Debug)]
struct Stream {
    lane: Lane,
    /// The response that is not answered yet.
    in_flight: Option<Arc<str>>,
    /// The client waits for a response even if there is nothing to say.
    owed: bool,
    sent: bool,
    refused: Option<String>,
}

/// One client's session.
#[derive(Debug)]
pub struct Server {
    streams: [Stream; Kind::ALL.len()],
    responses: u64,
    version: Arc<str>,
}

impl Default for Server {
    fn default() -> Self {
        Server::new()
    }
}

impl Server {
    /// A stream that has just been opened. A stream that is lost takes its machine with it.
    pub fn new() -> Self {
        let stream =
            |kind| Stream { lane: Lane::new(kind), in_flight: None, owed: false, sent: false, refused: None };
        Server { streams: Kind::ALL.map(stream), responses: 0, version: "".into() }
    }

    /// Version of the whole, shown to humans in every response from now on.
    pub fn set_version(&mut self, version: impl Into<Arc<str>>) {
        self.version = version.into();
    }

    /// The complete set of a kind that this client may see; what it gets follows from its subscription. A kind is
    /// not answered before it was offered, so offer every kind, if only empty.
    pub fn offer(&mut self, kind: Kind, set: &[Arc<crate::Resource>]) {
        self.stream(kind).lane.offer(set);
    }

    /// As [`Server::offer`] for a change whose difference is known: costs the change, not the set.
    pub fn change(&mut self, kind: Kind, updated: &[Arc<crate::Resource>], removed: &[Arc<str>]) {
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
                reports.push(stream.answered(kind, request));
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
        self.streams.iter().all(|stream| stream.in_flight.is_none() && !stream.lane.is_due())
    }

    /// How far the client is with this kind.
    pub fn sync(&self, kind: Kind) -> Sync {
        let stream = &self.streams[kind.index()];
        match (&stream.in_flight, &stream.refused) {
            _ if !stream.lane.subscribed => Sync::NotAsked,
            (Some(_), _) => Sync::Pending,
            (None, Some(why)) => Sync::Refused(why.clone()),
            (None, None) if stream.sent => Sync::Synced,
            // It came back with everything: in sync without a word.
            (None, None) if stream.lane.held().next().is_some() => Sync::Synced,
            (None, None) => Sync::NotSent,
        }
    }

    /// Names that the client asked for; empty and `true` if it asked for everything.
    pub fn subscription(&self, kind: Kind) -> (Vec<Arc<str>>, bool) {
        let lane = &self.streams[kind.index()].lane;
        let mut names: Vec<Arc<str>> = lane.names.iter().cloned().collect();
        names.sort();
        (names, lane.wildcard)
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
            stream.in_flight.is_some() && stream.lane.has_resources()
        };
        match kind {
            Kind::Listener | Kind::Route => waiting(Kind::Cluster),
            Kind::VirtualHost => waiting(Kind::Cluster) || waiting(Kind::Route),
            _ => false,
        }
    }

    fn respond(&mut self, kind: Kind, half: Half, out: &mut Vec<Response>) {
        let number = self.responses + 1;
        let version = self.version.clone();
        let stream = self.stream(kind);
        if stream.in_flight.is_some() || !stream.lane.is_ready() {
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
        let nonce: Arc<str> = format!("{}-{number}", kind.short()).into();
        stream.in_flight = Some(nonce.clone());
        stream.owed = false;
        stream.sent = true;
        stream.refused = None;
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
        out.push(Response { kind, resources: batch.resources, removed: batch.removed, nonce, version });
    }
}

impl Stream {
    fn answered(&mut self, kind: Kind, request: &Request) -> Report {
        if self.in_flight.as_ref() != Some(&request.nonce) {
            return Report::Stale { kind };
        }
        self.in_flight = None;
        let nonce = request.nonce.clone();
        match &request.error {
            None => Report::Ack { kind, nonce },
            Some(error) => {
                // Not sent again: it would be refused again. The next version will be tried.
                self.refused = Some(error.message.clone());
                Report::Nack { kind, nonce, error: error.clone() }
            }
        }
    }
}

/// Kinds that others name: new ones are sent before those others, old ones are removed after them.
const fn is_referred_to(kind: Kind) -> bool {
    matches!(kind, Kind::Cluster | Kind::Endpoints)
}
