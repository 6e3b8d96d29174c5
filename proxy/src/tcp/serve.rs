//! One TCP connection, from its chain to its end.
//!
//! In: an accepted stream. Out: bytes relayed, and its facts told at the start, every five seconds with traffic,
//! and at the end. A connection keeps the cluster it began with.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::peer;
use super::relay::{Clocks, End, Flow, Relay, Step};
use crate::balance::{Hint, hash_source};
use crate::config::{Cluster, ClusterSlot, Discovery, Endpoint, TcpChain};
use crate::fail::Failure;
use crate::http::Served;
use crate::io::Stream;
use crate::observe::{Conn, TcpFacts};
use crate::upstream::{NotOpen, Open, Opening, open};
use crate::worker::{Moment, Worker};

/// How often the totals of a busy connection are told.
const REPORT: Duration = Duration::from_secs(5);

/// Relays a connection to the chain's cluster until both sides are done.
pub async fn serve(worker: Rc<Worker>, served: Served, tcp: Arc<TcpChain>) {
    let Served { mut stream, conn, chain, drain, .. } = served;
    let mut facts = facts_of(&conn);
    let mut ahead = Bytes::new();
    if chain.tcp_peer_exchange && peer::is_agreed(conn.tls.as_ref()) {
        match peer::exchange(&worker, &mut stream).await {
            Ok((peer, rest)) => {
                conn.tcp_peer.lock().clone_from(&peer);
                facts.downstream_peer = peer;
                ahead = rest;
            }
            Err(_) => return,
        }
    }
    let relayed = drain.run(Box::pin(run(&worker, &tcp, &conn, &mut facts, stream, ahead))).await;
    match relayed {
        Some(Ok(())) | None => {}
        Some(Err(error)) => {
            facts.upstream_failure = error.reason;
            facts.failures.push(error.failure);
        }
    }
    facts.ended = Some(Instant::now().into_std().saturating_duration_since(facts.start));
    worker.observer.connection(&tcp, &facts, Moment::Closed);
}

fn facts_of(conn: &Arc<Conn>) -> TcpFacts {
    TcpFacts {
        conn: conn.clone(),
        start: Instant::now().into_std(),
        start_wall: SystemTime::now(),
        cluster: None,
        cluster_name: None,
        endpoint: None,
        upstream: None,
        upstream_local: None,
        upstream_tls: None,
        upstream_failure: None,
        failures: Vec::new(),
        details: None,
        bytes_received: 0,
        bytes_sent: 0,
        ended: None,
        downstream_peer: None,
        upstream_peer: None,
    }
}

async fn run(
    worker: &Worker,
    tcp: &TcpChain,
    conn: &Conn,
    facts: &mut TcpFacts,
    client: Stream,
    ahead: Bytes,
) -> Result<(), NotOpen> {
    let cluster = choose(worker, tcp, facts)?;
    let endpoint = pick(worker, tcp, conn, &cluster).ok_or(Failure::NoHealthyUpstream)?;
    facts.endpoint = Some(endpoint.clone());
    let home = worker.pool.home(cluster.id);
    let permit = cluster.limits.acquire_connection(home.held());
    let permit = permit.ok_or(Failure::Overflow)?;
    let sni = if tcp.sni_cluster { conn.server_name.as_deref() } else { None };
    let to = Opening { cluster: &cluster, endpoint: &endpoint, alpn: None, sni, borrowed: conn.borrowed };
    let Open { stream: mut upstream, opened } = open(worker, to, home, permit).await?;
    facts.upstream = opened.peer;
    facts.upstream_local = opened.local;
    facts.upstream_tls.clone_from(&opened.tls);
    let _active = Active::new(&endpoint);
    let mut answer = Bytes::new();
    if cluster.settings.tcp_peer_exchange && peer::is_agreed(opened.tls.as_deref()) {
        let exchanged = peer::exchange(worker, &mut upstream).await;
        let (peer, rest) = exchanged.map_err(|_| Failure::UpstreamReset)?;
        facts.upstream_peer = peer;
        answer = rest;
    }
    // Only now is it known where it goes; a connection that goes nowhere is told of when it closes.
    worker.observer.connection(tcp, facts, Moment::Opened);
    let relay = Relay {
        client,
        upstream,
        up: Flow::after(ahead),
        down: Flow::after(answer),
        idle: tcp.idle_timeout,
        report: REPORT,
    };
    relay_all(worker, tcp, facts, relay).await;
    Ok(())
}

async fn relay_all(worker: &Worker, tcp: &TcpChain, facts: &mut TcpFacts, mut relay: Relay) {
    let mut clocks = Clocks::new();
    loop {
        let step = relay.step(&mut clocks).await;
        facts.bytes_received = relay.up.bytes;
        facts.bytes_sent = relay.down.bytes;
        match step {
            Step::Report => worker.observer.connection(tcp, facts, Moment::Progress),
            Step::End(end) => {
                match end {
                    End::Idle => facts.details = Some("tcp_session_idle_timeout".into()),
                    End::Complete | End::Client | End::Upstream => {}
                }
                break;
            }
        }
    }
    // Both ends are told; who does not listen any more is gone anyway.
    relay.client.shutdown().await.ok();
    relay.upstream.shutdown().await.ok();
}

/// The cluster, by weight where there are several.
fn choose(worker: &Worker, tcp: &TcpChain, facts: &mut TcpFacts) -> Result<Arc<Cluster>, NotOpen> {
    let slot = draw(worker, &tcp.targets).ok_or(Failure::NoRoute)?;
    worker.config.with(|config| {
        facts.cluster_name = config.cluster_names.get(slot.0 as usize).cloned();
        let cluster = config.cluster(slot).cloned().ok_or(Failure::NoCluster)?;
        facts.cluster = Some(cluster.clone());
        Ok(cluster)
    })
}

fn draw(worker: &Worker, targets: &[(ClusterSlot, u32)]) -> Option<ClusterSlot> {
    if let [(slot, _)] = targets {
        return Some(*slot);
    }
    let total: u64 = targets.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut at = worker.picker.borrow_mut().dice().below(total);
    for (slot, weight) in targets {
        match at.checked_sub(u64::from(*weight)) {
            Some(rest) => at = rest,
            None => return Some(*slot),
        }
    }
    None
}

fn pick(worker: &Worker, tcp: &TcpChain, conn: &Conn, cluster: &Arc<Cluster>) -> Option<Arc<Endpoint>> {
    let mut picker = worker.picker.borrow_mut();
    if let Discovery::OriginalDst { port_override, .. } = cluster.settings.discovery {
        let mut address = conn.local;
        if let Some(port) = port_override {
            address.set_port(port);
        }
        return Some(picker.original(cluster, address));
    }
    let hash = tcp.hash_source_ip.then(|| hash_source(conn));
    picker.pick(cluster, &Hint { hash, ..Hint::default() }, worker.now())
}

/// Counts a connection as a request in flight, which is what least request compares.
struct Active<'a>(&'a Endpoint);

impl<'a> Active<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        endpoint.state.active.fetch_add(1, Ordering::Relaxed);
        endpoint.state.requests_total.fetch_add(1, Ordering::Relaxed);
        Active(endpoint)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.state.active.fetch_sub(1, Ordering::Relaxed);
    }
}
