//! One client: its stream, its machine, its view. The task ends with the stream.
//!
//! Both protocols are served by the same code over `Machine`; what the client may see comes from its view of the
//! published snapshot. A client whose credential is of another namespace or service account than its node is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use base::drain::Watch;
use tokio::time::Instant;
use tonic::Status;
use wire::delta::{self, Report, Sync};
use wire::sotw;
use wire::transport::{Inbound, Message, Responder};
use wire::{Kind, Node, Resource, SpiffeId};

use super::diff::Change;
use super::hub::{Hub, Published};
use super::registry::{Client, TypeState};
use super::server::at;
use super::stats::{Stats, VersionLabel};
use crate::xds::{Layers, Session, View};

/// A client that does not say who it is within this time is let go.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

static COUNT: AtomicU64 = AtomicU64::new(1);

/// What the two protocols have in common.
pub(crate) trait Machine: Send {
    type Request: Send;
    type Response: Send;
    const DELTA: bool;

    fn new() -> Self;
    fn offer(&mut self, kind: Kind, set: &[Arc<Resource>]);
    fn change(&mut self, kind: Kind, updated: &[Arc<Resource>], removed: &[Arc<str>]);
    fn received(&mut self, request: &Self::Request) -> Vec<Report>;
    fn drain(&mut self) -> Vec<Self::Response>;
    fn sync(&self, kind: Kind) -> Sync;
    /// Type, nonce and resources.
    fn about(response: &Self::Response) -> (Kind, Arc<str>, &[Arc<Resource>]);
}

macro_rules! machine {
    ($protocol:ident, $delta:literal) => {
        impl Machine for $protocol::Server {
            type Request = $protocol::Request;
            type Response = $protocol::Response;
            const DELTA: bool = $delta;

            fn new() -> Self {
                $protocol::Server::new()
            }
            fn offer(&mut self, kind: Kind, set: &[Arc<Resource>]) {
                self.offer(kind, set);
            }
            fn change(&mut self, kind: Kind, updated: &[Arc<Resource>], removed: &[Arc<str>]) {
                self.change(kind, updated, removed);
            }
            fn received(&mut self, request: &Self::Request) -> Vec<Report> {
                self.received(request)
            }
            fn drain(&mut self) -> Vec<Self::Response> {
                self.drain()
            }
            fn sync(&self, kind: Kind) -> Sync {
                self.sync(kind)
            }
            fn about(response: &Self::Response) -> (Kind, Arc<str>, &[Arc<Resource>]) {
                (response.kind, response.nonce.clone(), &response.resources)
            }
        }
    };
}

machine!(delta, true);
machine!(sotw, false);

/// How a client came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrival {
    pub(crate) peer: Option<SocketAddr>,
    /// Who the client has proved to be.
    pub(crate) identity: Option<SpiffeId>,
    /// Whether it may be a proxy of that identity only.
    pub(crate) check_identity: bool,
    /// When the connection has had its time.
    pub(crate) until: Option<Instant>,
}

/// Serves one stream to its end.
pub(crate) async fn serve<M: Machine>(
    hub: Arc<Hub>,
    arrival: Arrival,
    mut inbound: Inbound<M::Request>,
    responder: Responder<M::Response>,
    mut drain: Watch,
) {
    let end = match tokio::time::timeout(FIRST_REQUEST, inbound.next()).await {
        Err(_) => Err(Status::deadline_exceeded("no request came")),
        Ok(None) => Ok(()),
        Ok(Some(Err(status))) => Err(status),
        Ok(Some(Ok(first))) => match identify(&first, &arrival) {
            Err(status) => Err(status),
            Ok((node, authenticated)) => {
                let session = Session { delta: M::DELTA, authenticated };
                let mut connection = Connection::<M>::open(hub, arrival, node, session, responder);
                connection.received(&first);
                let end = connection.run(&mut inbound, &mut drain).await;
                connection.close(end);
                return;
            }
        },
    };
    if let Err(status) = end {
        responder.finish(status);
    }
}

/// Who asks, and whether it has proved to be somebody.
fn identify<Q>(first: &Message<Q>, arrival: &Arrival) -> Result<(Node, bool), Status> {
    let node =
        first.node.as_ref().ok_or_else(|| Status::invalid_argument("the first request has no node"))?;
    let node = Node::from_proto(node).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let Some(identity) = &arrival.identity else { return Ok((node, false)) };
    if arrival.check_identity {
        fits(&node, identity).map_err(|why| {
            tracing::warn!(target: "audit", door = "xDS", %identity, node = %node.id, why, "caller refused");
            Status::permission_denied(why)
        })?;
    }
    Ok((node, true))
}

/// Whether an identity may be this proxy: namespace, and service account where the proxy names one.
fn fits(node: &Node, identity: &SpiffeId) -> Result<(), String> {
    let account = &node.metadata.service_account;
    let namespaces = [&node.id.namespace, &node.metadata.namespace];
    if let Some(other) = namespaces.iter().find(|name| !name.is_empty() && ***name != *identity.namespace) {
        return Err(format!("{identity} may not speak for a proxy of namespace {other}"));
    }
    if !account.is_empty() && **account != *identity.service_account {
        return Err(format!("{identity} may not speak for a proxy of service account {account}"));
    }
    Ok(())
}

struct Connection<M: Machine> {
    hub: Arc<Hub>,
    id: u64,
    node: Arc<Node>,
    session: Session,
    machine: M,
    layers: Arc<Layers>,
    responder: Responder<M::Response>,
    until: Option<Instant>,
}

impl<M: Machine> Connection<M> {
    fn open(
        hub: Arc<Hub>,
        arrival: Arrival,
        node: Node,
        session: Session,
        responder: Responder<M::Response>,
    ) -> Self {
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let node = Arc::new(node);
        let published = hub.published();
        let view = View::of(&published.snapshot, &node, session);
        let layers = hub.layers(&published, &view);
        let types = BTreeMap::new();
        let (peer, until, since) = (arrival.peer, arrival.until, now());
        tracing::info!(node = %node.id, connection = id, delta = session.delta, "connected");
        hub.registry.enter(Client {
            id,
            node: node.clone(),
            peer,
            since,
            view,
            generation: published.generation,
            types,
        });
        let mut machine = M::new();
        for kind in Kind::ALL {
            machine.offer(kind, &layers.of(kind));
        }
        let connection = Self { hub, id, node, session, machine, layers, responder, until };
        connection.gauge().inc();
        connection
    }

    fn gauge(&self) -> prometheus_client::metrics::gauge::Gauge {
        let version = self.node.metadata.istio_version.clone();
        let version = if version.is_empty() { "unknown".into() } else { version };
        self.hub.stats.connected.get_or_create_owned(&VersionLabel { version })
    }

    async fn run(&mut self, inbound: &mut Inbound<M::Request>, drain: &mut Watch) -> Result<(), Status> {
        let mut published = self.hub.reader();
        self.flush();
        // The state may have changed between `open` and the making of the reader.
        self.follow(&published.load());
        loop {
            tokio::select! {
                message = inbound.next() => match message {
                    None => return Ok(()),
                    Some(message) => self.received(&message?),
                },
                state = published.changed() => self.follow(&state),
                () = self.responder.closed() => return Ok(()),
                () = at(self.until) => return Err(Status::unavailable("the connection has had its time")),
                () = drain.graceful() => return Err(Status::unavailable("this pilot is going away")),
            }
        }
    }

    fn received(&mut self, message: &Message<M::Request>) {
        for report in self.machine.received(&message.request) {
            self.report(report);
        }
        self.flush();
    }

    fn report(&self, report: Report) {
        let stats = &self.hub.stats;
        match report {
            Report::Asked { kind, held } => {
                tracing::debug!(node = %self.node.id, %kind, held, "asked");
                self.state(kind, |_| {});
            }
            Report::Ack { kind, nonce } => self.state(kind, |state| state.acked = nonce),
            Report::Nack { kind, nonce, error } => {
                stats.rejects.get_or_create_owned(&Stats::label(kind)).inc();
                tracing::warn!(node = %self.node.id, %kind, %nonce, reason = error.message, "refused");
                self.state(kind, |_| {});
            }
            Report::Stale { kind } => {
                stats.stale.get_or_create_owned(&Stats::label(kind)).inc();
            }
        }
    }

    fn state(&self, kind: Kind, change: impl FnOnce(&mut TypeState)) {
        let sync = self.machine.sync(kind);
        self.hub.registry.change(self.id, |client| {
            let state = client.types.entry(kind).or_default();
            state.sync = sync;
            change(state);
        });
    }

    /// Offers what a new state says.
    fn follow(&mut self, published: &Published) {
        let view = View::of(&published.snapshot, &self.node, self.session);
        let layers = self.hub.layers(published, &view);
        if Arc::ptr_eq(&layers, &self.layers) {
            self.hub.registry.change(self.id, |client| client.generation = published.generation);
            return;
        }
        let diff = self.hub.diff(&self.layers, &layers);
        for (kind, Change { updated, removed }) in diff.iter() {
            self.machine.change(*kind, updated, removed);
        }
        self.layers = layers;
        self.flush();
        self.hub.stats.convergence.observe(published.since.elapsed().as_secs_f64());
        self.hub.registry.change(self.id, |client| {
            client.view = view;
            client.generation = published.generation;
        });
    }

    fn flush(&mut self) {
        for response in self.machine.drain() {
            let (kind, nonce, resources) = M::about(&response);
            let label = Stats::label(kind);
            self.hub.stats.pushes.get_or_create_owned(&label).inc();
            self.hub.stats.resources.get_or_create_owned(&label).inc_by(resources.len() as u64);
            let bytes: usize = resources.iter().map(|resource| resource.bytes.len()).sum();
            self.hub.stats.sizes.get_or_create_owned(&label).observe(bytes as f64);
            self.state(kind, |state| {
                state.sent = nonce;
                state.sent_at = now();
            });
            // A client that is gone is noticed by `closed`.
            self.responder.send(&response);
        }
    }

    fn close(self, end: Result<(), Status>) {
        self.gauge().dec();
        self.hub.registry.leave(self.id);
        let reason = end.as_ref().err().map(|status| status.message().to_owned());
        tracing::info!(node = %self.node.id, connection = self.id, reason, "disconnected");
        if let Err(status) = end {
            self.responder.finish(status);
        }
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_proxy_of_its_namespace_and_account_only() {
        let identity: SpiffeId = "spiffe://td/ns/shop/sa/cart".parse().unwrap();
        let node = |id: &str, namespace: &str, account: &str| {
            let mut node = Node::new(id.parse().unwrap());
            node.metadata.namespace = namespace.into();
            node.metadata.service_account = account.into();
            node
        };
        let (own, other) = ("sidecar~10.0.0.1~a.shop~d", "sidecar~10.0.0.1~a.bank~d");
        assert_eq!(fits(&node(own, "shop", "cart"), &identity), Ok(()));
        assert_eq!(fits(&node(own, "", ""), &identity), Ok(()));
        assert!(fits(&node(other, "shop", "cart"), &identity).unwrap_err().contains("bank"));
        assert!(fits(&node(own, "bank", "cart"), &identity).unwrap_err().contains("bank"));
        assert!(fits(&node(own, "shop", "till"), &identity).unwrap_err().contains("till"));
    }
}
