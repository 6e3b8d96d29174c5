//! The serving machine for state-of-the-world clients.
//!
//! In: what the client should see and its requests. Out: responses and [`Report`]s, with the promises of the delta
//! server: one unanswered response per kind, clusters before what refers to them, nothing for a client that comes
//! back with the current version. The version of a response is a hash over the names and versions of the
//! client's whole set of that kind, so it is the same on every server.

use std::collections::HashSet;
use std::sync::Arc;

use super::message::{Request, Response};
use crate::delta::state::{Half, Lane, WILDCARD};
use crate::delta::{Report, Sync};
use crate::kind::Kind;
use crate::resource::{Resource, hash128};

#[derive(Debug)]
struct Stream {
    lane: Lane,
    in_flight: Option<Arc<str>>,
    /// The client waits for a response even if there is nothing to say.
    owed: bool,
    /// Version that a returning client says it has, until it was compared.
    claimed: Option<Arc<str>>,
    sent: bool,
    refused: Option<String>,
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
        let stream = |kind| Stream {
            lane: Lane::new(kind),
            in_flight: None,
            owed: false,
            claimed: None,
            sent: false,
            refused: None,
        };
        Server { streams: Kind::ALL.map(stream), responses: 0 }
    }

    /// The complete set of a kind that this client may see.
    pub fn offer(&mut self, kind: Kind, set: &[Arc<Resource>]) {
        self.stream(kind).lane.offer(set);
    }

    /// As [`Server::offer`] for a change whose difference is known.
    pub fn change(&mut self, kind: Kind, updated: &[Arc<Resource>], removed: &[Arc<str>]) {
        self.stream(kind).lane.change(updated, removed);
    }

    /// Takes a request of the client.
    pub fn received(&mut self, request: &Request) -> Vec<Report> {
        let Some(kind) = request.kind else { return Vec::new() };
        let stream = self.stream(kind);
        let mut reports = Vec::new();
        if stream.lane.subscribed {
            if !request.nonce.is_empty() {
                // Even if the answer is stale, its names are the client's wish at that time.
                reports.extend(stream.answered(kind, request));
            }
        } else {
            stream.lane.subscribed = true;
            stream.owed = request.version.is_empty();
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
            let cluster = &self.streams[Kind::Cluster.index()];
            if waits && cluster.in_flight.is_some() && cluster.lane.has_resources() {
                continue;
            }
            let number = self.responses + 1;
            if let Some(response) = self.stream(kind).respond(kind, number) {
                self.responses = number;
                if kind == Kind::Cluster {
                    // As for delta clients; here the whole set may have changed.
                    let clusters = response.resources.iter().map(|resource| &resource.name);
                    self.stream(Kind::Endpoints).lane.again(clusters);
                }
                out.push(response);
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
            (None, None) if stream.sent || stream.lane.held().next().is_some() => Sync::Synced,
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
}

impl Stream {
    /// `None`: other names, under the nonce of a response that was answered before.
    fn answered(&mut self, kind: Kind, request: &Request) -> Option<Report> {
        let nonce = request.nonce.clone();
        if *self.in_flight.as_ref()? != nonce {
            // The client had not seen our last response when it wrote this; it will answer that, too.
            return Some(Report::Stale { kind });
        }
        self.in_flight = None;
        Some(match &request.error {
            None => Report::Ack { kind, nonce },
            Some(error) => {
                self.refused = Some(error.message.clone());
                Report::Nack { kind, nonce, error: error.clone() }
            }
        })
    }

    fn set_names(&mut self, kind: Kind, names: &[Arc<str>]) {
        let all = names.iter().any(|name| &**name == WILDCARD);
        if (names.is_empty() && kind.has_wildcard() && self.lane.names.is_empty()) || all {
            if !self.lane.wildcard {
                self.lane.subscribe_all();
            }
            return;
        }
        let asked: HashSet<Arc<str>> = names.iter().cloned().collect();
        let gone: Vec<Arc<str>> = self.lane.names.difference(&asked).cloned().collect();
        let new: Vec<Arc<str>> =
            names.iter().filter(|name| !self.lane.names.contains(*name)).cloned().collect();
        self.lane.unsubscribe(&gone);
        self.lane.subscribe(&new);
        // A client waits for an answer to new names, even if none of them exists.
        self.owed |= !new.is_empty() && self.claimed.is_none();
    }

    fn respond(&mut self, kind: Kind, number: u64) -> Option<Response> {
        if self.in_flight.is_some() || !self.lane.is_ready() {
            return None;
        }
        let version = self.version();
        if let Some(claimed) = self.claimed.take() {
            if claimed == version {
                let held: Vec<_> = self.wanted().map(|r| (r.name.clone(), r.version.clone())).collect();
                self.lane.holds(&held);
            }
            // Also if nothing is left: that is what the client must hear.
            self.owed |= claimed != version;
        }
        let batch = self.lane.take(Half::Both);
        let changed = !batch.resources.is_empty() || (kind.is_whole_set() && !batch.removed.is_empty());
        if !changed && !self.owed {
            return None;
        }
        let mut resources =
            if kind.is_whole_set() { self.wanted().cloned().collect() } else { batch.resources };
        resources.sort_by(|a: &Arc<Resource>, b| a.name.cmp(&b.name));
        let nonce: Arc<str> = format!("{}-{number}", kind.short()).into();
        self.in_flight = Some(nonce.clone());
        self.owed = false;
        self.sent = true;
        self.refused = None;
        Some(Response { kind, resources, version, nonce })
    }

    fn wanted(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let lane = &self.lane;
        lane.offered().filter(|resource| lane.wildcard || lane.names.contains(&resource.name))
    }

    fn version(&self) -> Arc<str> {
        let mut parts: Vec<(&str, &str)> = self.wanted().map(|r| (&*r.name, &*r.version)).collect();
        parts.sort_unstable();
        format!("{:032x}", hash128(&parts)).into()
    }
}
