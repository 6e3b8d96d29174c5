//! Opening one connection to an endpoint: limits are held, the dial and the handshake are timed, outcomes told.
//!
//! In: cluster, endpoint, what the request overrides. Out: a stream with its facts, or a failure with the reason
//! that goes into logs and the body of the 503. Called by `pool` for HTTP and by `tcp`.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::DialPlan;
use crate::cluster::{Outcome, Permit};
use crate::config::{Borrowed, Cluster, Endpoint, EndpointAddress};
use crate::fail::Failure;
use crate::io::{Stream, Wire};
use crate::observe::TlsFacts;
use crate::tls::{ClientTls, Overrides, Secrets, connect};
use crate::worker::Worker;

/// What is opened.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub endpoint: &'a Arc<Endpoint>,
    /// Instead of the cluster's ALPN list.
    pub alpn: Option<&'a [Arc<str>]>,
    /// Instead of the cluster's SNI.
    pub sni: Option<&'a str>,
    /// Instead of the cluster's source address.
    pub borrowed: Option<Borrowed>,
}

/// A stream that is ready for the protocol above.
pub struct Open {
    pub stream: Stream,
    pub opened: Rc<Opened>,
}

/// Why there is no stream.
#[derive(Clone, Debug)]
pub struct NotOpen {
    pub failure: Failure,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`, without underscores.
    pub reason: Option<Arc<str>>,
}

impl From<Failure> for NotOpen {
    fn from(failure: Failure) -> Self {
        NotOpen { failure, reason: None }
    }
}

/// Connections of one worker to one cluster: how many, and who waits for one to be free.
#[derive(Debug, Default)]
pub struct Home {
    pub(crate) held: Cell<usize>,
    pub(crate) freed: Notify,
}

impl Home {
    /// Connections that are open now.
    pub fn held(&self) -> usize {
        self.held.get()
    }
}

/// What is known of an open connection; its end is counted when this is dropped.
#[derive(Debug)]
pub struct Opened {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub tls: Option<Arc<TlsFacts>>,
    pub at: Instant,
    /// The certificates that were in force; see [`Opened::is_current`].
    secrets: Option<(Secrets, u64)>,
    /// Requests so far.
    pub(crate) served: Cell<u32>,
    endpoint: Arc<Endpoint>,
    home: Rc<Home>,
    _permit: Permit,
}

impl Opened {
    /// False once certificates have changed since the handshake: a connection must not outlive its certificate by
    /// being kept busy, so new requests take a new one.
    pub(crate) fn is_current(&self) -> bool {
        self.secrets.as_ref().is_none_or(|(secrets, version)| secrets.version() == *version)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.endpoint.state.connections.fetch_sub(1, Ordering::Relaxed);
        self.home.held.set(self.home.held.get() - 1);
        self.home.freed.notify_one();
    }
}

/// The TLS of an endpoint: of the transport match that its labels chose, else the cluster's.
pub fn transport<'a>(cluster: &'a Cluster, endpoint: &Endpoint) -> Option<&'a Arc<ClientTls>> {
    match endpoint.tls_match.and_then(|index| cluster.settings.tls_matches.get(index)) {
        Some(matched) => matched.tls.as_ref(),
        None => cluster.settings.tls.as_ref(),
    }
}

/// Opens a connection. `permit` is its place under the cluster's limit.
pub async fn open(worker: &Worker, to: Opening<'_>, home: Rc<Home>, permit: Permit) -> Result<Open, NotOpen> {
    let (cluster, state) = (to.cluster, &to.endpoint.state);
    let limit = cluster.settings.connect_timeout;
    let version = worker.secrets.version();
    let result = match timeout(limit, dial(worker, to)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::ConnectTimeout.into()),
    };
    let outcome = match &result {
        Ok(_) => Outcome::Connected,
        Err(error) => Outcome::LocalFailure { timeout: error.failure == Failure::ConnectTimeout },
    };
    report(worker, cluster, to.endpoint, outcome);
    let (stream, local, tls) = result.inspect_err(|_| {
        state.connect_failures.fetch_add(1, Ordering::Relaxed);
    })?;
    state.connections_total.fetch_add(1, Ordering::Relaxed);
    state.connections.fetch_add(1, Ordering::Relaxed);
    home.held.set(home.held.get() + 1);
    let peer = match &to.endpoint.address {
        EndpointAddress::Ip(address) => Some(*address),
        EndpointAddress::Pipe(_) => None,
    };
    let opened = Opened {
        peer,
        local,
        secrets: tls.is_some().then(|| (worker.secrets.clone(), version)),
        tls,
        at: Instant::now(),
        served: Cell::new(0),
        endpoint: to.endpoint.clone(),
        home,
        _permit: permit,
    };
    Ok(Open { stream, opened: Rc::new(opened) })
}

/// Tells the outlier detection how an attempt at an endpoint ended.
pub(crate) fn report(worker: &Worker, cluster: &Cluster, endpoint: &Endpoint, outcome: Outcome) {
    if cluster.outliers.on.load(Ordering::Relaxed) {
        let dice = worker.picker.borrow_mut().dice().below(100) as u32;
        if cluster.outliers.report(&endpoint.state, outcome, worker.now(), dice) {
            tracing::info!(cluster = %cluster.name, endpoint = ?endpoint.address, "endpoint ejected");
        }
    }
}

type Dialed = (Stream, Option<SocketAddr>, Option<Arc<TlsFacts>>);

async fn dial(worker: &Worker, to: Opening<'_>) -> Result<Dialed, NotOpen> {
    let settings = &to.cluster.settings;
    let address = to.endpoint.address.clone();
    let (bind, keepalive) = (settings.bind, settings.keepalive);
    let plan = DialPlan { address, bind, borrowed: to.borrowed, keepalive };
    let raw = worker.dialer.dial(&plan).await.map_err(|error| {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        failed(format!("delayed connect error: {text}"))
    })?;
    let local = raw.local_addr();
    let wire = Wire::new(raw);
    let Some(tls) = transport(to.cluster, to.endpoint) else {
        return Ok((Stream::Plain(wire), local, None));
    };
    let overrides = Overrides { sni: to.sni, alpn: to.alpn };
    let (stream, facts) =
        connect(&worker.secrets, tls, overrides, wire).await.map_err(|error| failed(error.to_string()))?;
    Ok((Stream::Client(Box::new(stream)), local, Some(facts)))
}

fn failed(reason: String) -> NotOpen {
    NotOpen { failure: Failure::ConnectFailure, reason: Some(reason.into()) }
}
