//! From an accepted socket to a served connection, on its worker.
//!
//! In: a [`Fresh`] socket. Out: the connection handed to `http::serve` or `tcp::serve` with its chain, its stream
//! (TLS done) and what is known of it; or closed, counted and logged. The order is Envoy's: PROXY header, original
//! destination, hand-over, inspection, chain, handshake. Never fails outward.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::chain::{self, Seen};
use super::place::{Fresh, Occupied};
use super::retire::{Place, Table};
use super::sniff::{self, Sniffed};
use super::stats::{ListenerStats, Open, StatsTable, add};
use super::{original_dst, proxy_protocol};
use crate::config::{App, Borrowed, Chain, Listener};
use crate::fail::Failure;
use crate::http::Served;
use crate::io::{Raw, Stream, Wire};
use crate::observe::{Conn, TcpFacts, TlsFacts};
use crate::overload::{Action, Seat};
use crate::tls;
use crate::worker::Worker;

static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// Tells of connections that no chain took: the listener's own access log.
pub trait Refusals {
    /// One connection, closed without service.
    fn refused(&self, listener: &Listener, facts: &TcpFacts);
}

/// What one worker admits with.
pub struct Admit {
    worker: Rc<Worker>,
    stats: StatsTable,
    refusals: Rc<dyn Refusals>,
    open: Rc<Table>,
}

/// Why a connection is not served.
enum Refused {
    /// The client left, or never said anything.
    Gone,
    /// It took too long.
    Late,
    /// The PROXY header is missing or broken.
    NoHeader,
    NoChain,
    Handshake(tls::TlsError),
}

/// Serves a connection to its end.
type Pipeline = Pin<Box<dyn Future<Output = ()>>>;

/// Given back when a connection ends.
struct Hold {
    _seat: Occupied,
    _open: Open,
    _room: Seat,
    _place: Place,
}

/// A connection under admission.
struct Arrival {
    stream: TcpStream,
    read: BytesMut,
    peer: SocketAddr,
    /// The address the client dialled, as far as known.
    destination: SocketAddr,
    seen: Option<Seen>,
    started: Instant,
}

impl Admit {
    /// For one worker, on its runtime.
    pub fn new(worker: Rc<Worker>, stats: StatsTable, refusals: Rc<dyn Refusals>) -> Rc<Self> {
        let open = Rc::new(Table::default());
        tokio::task::spawn_local(open.clone().watch(worker.clone()));
        Rc::new(Admit { worker, stats, refusals, open })
    }

    /// Admits and serves one connection, to its end.
    pub fn run(self: Rc<Self>, fresh: Fresh) -> impl Future<Output = ()> {
        // Boxed, both steps: what admission needs is given back before the connection is served, which may take days,
        // and the two pipelines are large and different in size.
        let admission = Box::pin(self.admit(fresh));
        async move {
            if let Some((pipeline, _hold)) = admission.await {
                pipeline.await;
            }
        }
    }

    /// What serves the connection, and what it holds until then; `None` where it is not served.
    async fn admit(self: Rc<Self>, fresh: Fresh) -> Option<(Pipeline, Box<Hold>)> {
        let seat = fresh.seat;
        let listener = self.listener(&fresh.listener)?;
        let stream = TcpStream::from_std(fresh.socket).ok()?;
        let stats = self.stats.of(&listener.name);
        let open = Open::new(&stats);
        let room = self.room(&listener.name, &stats, &open)?;
        let mut arrival = Arrival {
            stream,
            read: BytesMut::new(),
            peer: canonical(fresh.peer),
            destination: canonical(fresh.local),
            seen: None,
            started: Instant::now(),
        };
        let listener = match self.inspect(&mut arrival, listener).await {
            Ok(listener) => listener,
            Err((listener, refused)) => {
                self.refuse(&arrival, &listener, &stats, refused);
                return None;
            }
        };
        let seen = arrival.seen.clone()?;
        let Some(chain) = chain::choose(&listener, &seen).cloned() else {
            self.refuse(&arrival, &listener, &stats, Refused::NoChain);
            return None;
        };
        let (peer, destination, started) = (arrival.peer, arrival.destination, arrival.started);
        let borrow = listener.inspect.original_src;
        match self.terminate(arrival, &chain, &stats).await {
            Ok((stream, tls, sni)) => {
                let conn = Conn {
                    id: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
                    peer,
                    local: destination,
                    direction: listener.direction,
                    listener: listener.name.clone(),
                    borrowed: borrow.map(|mark| Borrowed { address: peer.ip(), mark }),
                    tls,
                    server_name: seen.server_name.or(sni),
                    tcp_peer: parking_lot::Mutex::new(None),
                    started,
                };
                let (pipeline, place) = self.pipeline(stream, conn, listener, chain);
                return Some((
                    pipeline,
                    Box::new(Hold { _seat: seat, _open: open, _room: room, _place: place }),
                ));
            }
            Err(Refused::Handshake(error)) => {
                add(&stats.ssl_connection_error);
                tracing::debug!(%peer, %destination, chain = %chain.name, %error, "TLS handshake failed");
            }
            Err(_) => add(&stats.downstream_pre_cx_timeout),
        }
        None
    }

    /// Whether there is room for one more: in the process, at the listener, and in memory.
    fn room(&self, listener: &str, stats: &ListenerStats, open: &Open) -> Option<Seat> {
        let overload = &self.worker.overload;
        if overload.is(Action::RejectConnections) {
            add(&stats.downstream_cx_overload_reject);
            return None;
        }
        if overload.crowded(listener, open.count()) {
            add(&stats.downstream_cx_overflow);
            return None;
        }
        let seat = overload.enter();
        if seat.is_none() {
            add(&stats.downstream_global_cx_overflow);
        }
        seat
    }

    fn listener(&self, name: &Arc<str>) -> Option<Arc<Listener>> {
        self.worker.config.with(|config| config.listeners.get(name).cloned())
    }

    fn pipeline(
        &self,
        stream: Stream,
        conn: Conn,
        listener: Arc<Listener>,
        chain: Arc<Chain>,
    ) -> (Pipeline, Place) {
        let expires = conn.tls.as_ref().and_then(expiry);
        let (drain, place) = self.open.enter(conn.id, &listener.name, &chain, expires);
        let served = Served { stream, conn: Arc::new(conn), listener, chain: chain.clone(), drain };
        let pipeline: Pipeline = match &chain.app {
            App::Http(http) => Box::pin(crate::http::serve(self.worker.clone(), served, http.clone())),
            App::Tcp(tcp) => Box::pin(crate::tcp::serve(self.worker.clone(), served, tcp.clone())),
            App::Close => Box::pin(std::future::ready(())),
        };
        (pipeline, place)
    }

    /// Finds out what the listener wants to know; the listener may change on the way (hand-over).
    async fn inspect(
        &self,
        arrival: &mut Arrival,
        mut listener: Arc<Listener>,
    ) -> Result<Arc<Listener>, (Arc<Listener>, Refused)> {
        if listener.inspect.proxy_protocol {
            let header = limited(listener.inspect_timeout, arrival.proxy_header()).await;
            if let Err(refused) = header.unwrap_or(Err(Refused::Late)) {
                return Err((listener, refused));
            }
        }
        if listener.inspect.original_dst || listener.hand_over {
            arrival.destination = canonical(original_dst::of(&arrival.stream, arrival.destination));
        }
        if listener.hand_over {
            let other = self.worker.config.with(|config| config.listener_for(arrival.destination).cloned());
            listener = other.unwrap_or(listener);
        }
        let looked = limited(listener.inspect_timeout, arrival.look(&listener)).await;
        match looked {
            Some(Ok(())) => {}
            Some(Err(refused)) => return Err((listener, refused)),
            None if listener.inspect_continue => {}
            None => return Err((listener, Refused::Late)),
        }
        if arrival.seen.is_none() {
            arrival.seen = Some(arrival.unseen());
        }
        Ok(listener)
    }

    async fn terminate(
        &self,
        arrival: Arrival,
        chain: &Chain,
        stats: &ListenerStats,
    ) -> Result<(Stream, Option<TlsFacts>, Option<Arc<str>>), Refused> {
        let wire = Wire::with_prefix(Raw::Tcp(arrival.stream), arrival.read.freeze());
        let Some(settings) = &chain.tls else { return Ok((Stream::Plain(wire), None, None)) };
        let handshake = tls::accept(&self.worker.secrets, settings, wire);
        let accepted = limited(chain.handshake_timeout, handshake).await.ok_or(Refused::Late)?;
        let (stream, facts) = accepted.map_err(Refused::Handshake)?;
        add(&stats.ssl_handshake);
        let sni = stream.get_ref().1.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
        Ok((Stream::Server(Box::new(stream)), Some(facts), sni))
    }

    fn refuse(&self, arrival: &Arrival, listener: &Listener, stats: &ListenerStats, refused: Refused) {
        match refused {
            Refused::NoChain => {
                add(&stats.no_filter_chain_match);
                tracing::debug!(
                    peer = %arrival.peer, destination = %arrival.destination, listener = %listener.name,
                    "no filter chain matches"
                );
                self.refusals.refused(listener, &arrival.facts(listener, Failure::NoChain));
                // A reset, as where nobody had read the first bytes. Without it the client just sees an end.
                if let Err(error) = socket2::SockRef::from(&arrival.stream).set_linger(Some(Duration::ZERO)) {
                    tracing::debug!(%error, "a refused connection ends without a reset");
                }
            }
            Refused::Late => add(&stats.downstream_pre_cx_timeout),
            Refused::NoHeader => add(&stats.downstream_listener_filter_error),
            Refused::Gone | Refused::Handshake(_) => {}
        }
    }
}

impl Arrival {
    /// Reads and strips the PROXY header, and takes the addresses that it names.
    async fn proxy_header(&mut self) -> Result<(), Refused> {
        loop {
            match proxy_protocol::parse(&self.read) {
                Sniffed::Yes(header) => {
                    self.read.advance(header.length);
                    if let Some((source, destination)) = header.addresses {
                        self.peer = source;
                        self.destination = destination;
                    }
                    return Ok(());
                }
                Sniffed::No => return Err(Refused::NoHeader),
                Sniffed::Partial => self.more().await?,
            }
        }
    }

    /// Reads until the listener's questions are answered.
    async fn look(&mut self, listener: &Listener) -> Result<(), Refused> {
        let mut seen = self.unseen();
        let port = self.destination.port();
        if listener.inspect.tls_at(port) {
            loop {
                match sniff::tls(&self.read) {
                    Sniffed::Yes(hello) => {
                        seen.tls = true;
                        seen.server_name = hello.server_name;
                        seen.protocols = hello.alpn;
                        break;
                    }
                    Sniffed::No => break,
                    Sniffed::Partial => self.more().await?,
                }
            }
        }
        if listener.inspect.http_at(port) && !seen.tls {
            loop {
                match sniff::http(&self.read) {
                    Sniffed::Yes(version) => {
                        seen.protocols = vec![version.as_str().into()];
                        break;
                    }
                    Sniffed::No => break,
                    Sniffed::Partial => self.more().await?,
                }
            }
        }
        self.seen = Some(seen);
        Ok(())
    }

    /// What is known without reading a byte.
    fn unseen(&self) -> Seen {
        Seen {
            destination: self.destination,
            source: self.peer,
            server_name: None,
            tls: false,
            protocols: Vec::new(),
        }
    }

    async fn more(&mut self) -> Result<(), Refused> {
        self.read.reserve(2048);
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => Err(Refused::Gone),
            Ok(_) => Ok(()),
        }
    }

    fn facts(&self, listener: &Listener, failure: Failure) -> TcpFacts {
        let conn = Conn {
            id: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            peer: self.peer,
            local: self.destination,
            direction: listener.direction,
            listener: listener.name.clone(),
            borrowed: None,
            tls: None,
            server_name: self.seen.as_ref().and_then(|seen| seen.server_name.clone()),
            tcp_peer: parking_lot::Mutex::new(None),
            started: self.started,
        };
        TcpFacts {
            conn: Arc::new(conn),
            start: self.started,
            start_wall: SystemTime::now(),
            cluster: None,
            cluster_name: None,
            endpoint: None,
            upstream: None,
            upstream_local: None,
            upstream_tls: None,
            upstream_failure: None,
            failures: vec![failure],
            details: Some(failure.row().details.into()),
            bytes_received: 0,
            bytes_sent: 0,
            ended: Some(self.started.elapsed()),
            downstream_peer: None,
            upstream_peer: None,
        }
    }
}

/// When the peer's certificate ends.
fn expiry(tls: &TlsFacts) -> Option<SystemTime> {
    let leaf = rustls::pki_types::CertificateDer::from(tls.peer_chain.first()?.to_vec());
    crate::identity::Window::of(&leaf).ok().map(|window| window.not_after)
}

/// Runs `work` within `limit`; zero is no limit. `None`: time was up.
async fn limited<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    if limit.is_zero() {
        return Some(work.await);
    }
    tokio::time::timeout(limit, work).await.ok()
}

/// IPv4 addresses that came through an IPv6 socket look like IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
