//! One worker: everything that belongs to one data thread. A worker is a runtime of one thread;
//! all of its connections run there, so nothing in here is shared or locked. `listen` makes one per core with
//! [`Parts`], keeps it in an `Rc`, and hands it to `http::serve` and `tcp::serve` with each connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use rand::rngs::SmallRng;

use crate::balance::Picker;
use crate::config::{Config, HttpChain, TcpChain};
use crate::dice::Dice;
use crate::io::Flusher;
use crate::observe::{Facts, Peer, TcpFacts};
use crate::overload::Overload;
use crate::pool::Pool;
use crate::tls::Secrets;
use crate::upstream::Dialer;

/// What a worker is made of.
pub struct Parts {
    /// 0..workers.
    pub index: usize,
    pub config: base::Reader<Config>,
    pub dialer: Rc<dyn Dialer>,
    /// Certificates and roots of upstream TLS.
    pub secrets: Secrets,
    pub observer: Rc<dyn Observer>,
    pub drain: base::drain::Watch,
    /// Limits of the process.
    pub overload: Arc<Overload>,
    pub node: Arc<Node>,
    /// For choices; seed it for a repeatable test.
    pub dice: Dice,
}

/// One worker thread's own things.
pub struct Worker {
    pub index: usize,
    pub config: base::Reader<Config>,
    /// Chooses endpoints, and holds the dice of all other choices.
    pub picker: RefCell<Picker>,
    /// For identifiers.
    pub rng: RefCell<SmallRng>,
    pub pool: Pool,
    /// Gathers the writes of HTTP/2 connections.
    pub flusher: Rc<Flusher>,
    pub dialer: Rc<dyn Dialer>,
    pub secrets: Secrets,
    pub observer: Rc<dyn Observer>,
    pub drain: base::drain::Watch,
    pub overload: Arc<Overload>,
    pub node: Arc<Node>,
}

impl Worker {
    /// A worker with an empty pool. Call on the runtime of its thread: it starts the pool's sweeper.
    pub fn new(parts: Parts) -> Rc<Self> {
        let worker = Rc::new(Worker {
            index: parts.index,
            config: parts.config,
            picker: RefCell::new(Picker::new(parts.dice)),
            rng: RefCell::new(rand::make_rng()),
            pool: Pool::default(),
            flusher: Flusher::start(),
            dialer: parts.dialer,
            secrets: parts.secrets,
            observer: parts.observer,
            drain: parts.drain,
            overload: parts.overload,
            node: parts.node,
        });
        crate::pool::start_sweeper(&worker);
        worker
    }

    /// The process clock: milliseconds since about the start, never 0. What `cluster` and `balance` call `now`.
    pub fn now(&self) -> u64 {
        process_millis()
    }
}

/// See [`Worker::now`]; for other threads.
pub fn process_millis() -> u64 {
    millis_at(tokio::time::Instant::now())
}

/// The process clock at a moment.
pub(crate) fn millis_at(now: tokio::time::Instant) -> u64 {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    // The timer's clock, which tests can hold still.
    let now = now.into_std();
    let start = START.get_or_init(|| now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
    u64::try_from(now.saturating_duration_since(*start).as_millis()).unwrap_or(u64::MAX)
}

/// What this proxy says about itself to its peers; made once from the node by `wire::peer`.
#[derive(Debug)]
pub struct Node {
    /// `x-envoy-peer-metadata-id`: the node id.
    pub peer_id: HeaderValue,
    /// `x-envoy-peer-metadata`: base64 of the metadata.
    pub peer_metadata: HeaderValue,
    /// The whole frame of ALPN `istio-peer-exchange`, magic and length included.
    pub peer_frame: Bytes,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            peer_id: HeaderValue::from_static(""),
            peer_metadata: HeaderValue::from_static(""),
            peer_frame: Bytes::new(),
        }
    }
}

/// Where facts go at the end; `observe` implements it. All calls are synchronous and must not block.
pub trait Observer {
    /// One finished request: access log, metrics, span.
    fn request(&self, chain: &HttpChain, facts: &Facts);

    /// A TCP connection: at its start, every 5 s with traffic, and at its end. Counters in `facts` are totals.
    fn connection(&self, chain: &TcpChain, facts: &TcpFacts, when: Moment);

    /// Reads the pair of peer metadata headers, through a cache by id.
    fn peer_of_headers(&self, id: &[u8], metadata: &[u8]) -> Option<Arc<Peer>>;

    /// Reads the body of a peer exchange frame (the encoded `Any`).
    fn peer_of_frame(&self, body: &[u8]) -> Option<Arc<Peer>>;
}

/// When in the life of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Opened,
    Progress,
    Closed,
}

/// Tells nobody; for tests and tools.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn request(&self, _: &HttpChain, _: &Facts) {}
    fn connection(&self, _: &TcpChain, _: &TcpFacts, _: Moment) {}
    fn peer_of_headers(&self, _: &[u8], _: &[u8]) -> Option<Arc<Peer>> {
        None
    }
    fn peer_of_frame(&self, _: &[u8]) -> Option<Arc<Peer>> {
        None
    }
}
