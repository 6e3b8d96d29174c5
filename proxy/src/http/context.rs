//! What the requests of one connection share, and what one request carries along the pipeline.
//!
//! [`Session`] is made by `connection`, [`Exchange`] by `head`; every step of the pipeline takes both. [`Stop`] is how
//! a step ends it early, [`Reply`] what the client is then told.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;

use super::marks::Marks;
use crate::config::HttpChain;
use crate::fail::Failure;
use crate::filter::{Cors, Filter, PeerMetadata};
use crate::h1::Length;
use crate::observe::{Conn, Facts};
use crate::overload::Action;
use crate::router::Head;
use crate::worker::Worker;

thread_local! {
    /// Texts that facts share: no allocation where a request needs one of them.
    pub(super) static WORDS: Words = Words {
        http: "http".into(),
        https: "https".into(),
        via_upstream: "via_upstream".into(),
        none: "".into(),
    };
}

/// See [`WORDS`].
pub(super) struct Words {
    pub(super) http: Arc<str>,
    pub(super) https: Arc<str>,
    pub(super) via_upstream: Arc<str>,
    pub(super) none: Arc<str>,
}

/// One connection.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    pub(crate) conn: Arc<Conn>,
    pub(crate) http: Arc<HttpChain>,
    pub(crate) drain: base::drain::Watch,
    pub(crate) since: Instant,
    /// It came when the drain had begun.
    late: bool,
    /// The peer metadata filter, if the chain has it.
    pub(crate) peers: Option<Arc<PeerMetadata>>,
}

/// One request on its way.
pub(crate) struct Exchange {
    pub(crate) facts: Facts,
    /// What came with the request's head.
    pub(crate) marks: Marks,
    /// The time, as it was when the exchange last had reason to look: what only takes our own few microseconds since
    /// counts as no time.
    pub(crate) clock: Instant,
    /// As they go on; `facts` keeps what the client sent.
    pub(crate) path: Arc<str>,
    pub(crate) authority: Arc<str>,
    pub(crate) https: bool,
    /// Of the request's body.
    pub(crate) length: Length,
    /// The client waits for `100 Continue`, which is the upstream's to say.
    pub(crate) expects: bool,
    /// A protocol switch that the chain allows.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The client sent its metadata, so it gets ours.
    pub(crate) peer_asked: bool,
    /// CORS policy in force, with the request's origin.
    pub(crate) cors: Option<(Arc<Cors>, HeaderValue)>,
    /// For response headers of the route.
    pub(crate) set_cookie: Option<HeaderValue>,
    /// The response's head was sent.
    pub(crate) answered: bool,
}

/// An answer that we make ourselves.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// For gRPC requests, instead of the status's own mapping.
    pub(crate) grpc: Option<u16>,
    pub(crate) failure: Option<Failure>,
    /// `%RESPONSE_CODE_DETAILS%`
    pub(crate) details: Arc<str>,
    /// No further request on this connection.
    pub(crate) last: bool,
}

impl Reply {
    /// A status with a plain text body, which may be empty.
    pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>, details: &str) -> Self {
        Reply {
            status,
            body: body.into(),
            headers: HeaderMap::new(),
            grpc: None,
            failure: None,
            details: details.into(),
            last: false,
        }
    }

    /// The answer to a failure, by its row.
    pub(crate) fn failure(failure: Failure, body: impl Into<Bytes>) -> Self {
        let row = failure.row();
        let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Reply { failure: Some(failure), ..Reply::text(status, body, row.details) }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Why the pipeline ends before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Answer this.
    Reply(Box<Reply>),
    /// HTTP/2 only: the stream is reset without an answer, for these details.
    Refused(&'static str),
    /// The client has gone, or broke the rules in its body.
    Gone(Failure),
    /// The response began and cannot be completed.
    Broken(Failure),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Stop::Reply(Box::new(reply))
    }
}

impl Session {
    pub(crate) fn new(
        worker: Rc<Worker>,
        conn: Arc<Conn>,
        http: Arc<HttpChain>,
        drain: base::drain::Watch,
    ) -> Self {
        let peers = http.filters.iter().find_map(|filter| match filter {
            Filter::PeerMetadata(peers) => Some(peers.clone()),
            _ => None,
        });
        let late = drain.is_draining();
        Session { worker, conn, http, drain, since: Instant::now(), late, peers }
    }

    /// The connection should end after this exchange.
    pub(crate) fn is_ending(&self) -> bool {
        let max = self.http.max_connection_duration;
        self.late
            || self.drain.is_announced()
            || self.worker.overload.is(Action::DisableKeepalive)
            || (!max.is_zero() && self.since.elapsed() >= max)
    }
}

impl Exchange {
    /// What routing looks at.
    pub(crate) fn head(&self) -> Head<'_> {
        Head {
            method: &self.facts.method,
            scheme: if self.https { "https" } else { "http" },
            authority: &self.authority,
            path: &self.path,
            headers: &self.facts.request_headers,
        }
    }

    /// Notes a failure once.
    pub(crate) fn note(&mut self, failure: Failure) {
        if !self.facts.failures.contains(&failure) {
            self.facts.failures.push(failure);
        }
    }
}
