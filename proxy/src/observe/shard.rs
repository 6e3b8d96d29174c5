//! One worker's telemetry: facts in, numbers, lines and spans out.
//!
//! In: the calls of [`Observer`], synchronous, from the worker's own thread. Out: increments of handles that are
//! cached by what distinguishes them, access log lines into buffers that a flusher empties, spans into the export
//! queue. Nothing is formatted unless a sink wants it; labels are rendered only when a combination is new.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::access_log::{self, Sinks};
use super::handle::{self, CatchAll, Handle, Handles, Held, Key};
use super::labels::{Labels, Reporter};
use super::peer::{Own, Peers};
use super::series::{RequestSeries, Store, TcpSeries};
use super::subject::Subject;
use super::{Facts, Peer, TcpFacts, TlsFacts, flags, span};
use crate::config::{AccessLog, Endpoint, HttpChain, Listener, TcpChain};
use crate::fail::Failure;
use crate::filter::Filter;
use crate::listen::Refusals;
use crate::worker::{Moment, Observer};

/// A buffer of this size is handed to its writer at once.
const BATCH: usize = 64 * 1024;
/// Others wait this long for company.
const LINGER: Duration = Duration::from_millis(20);

/// A span on its way to a collector.
#[derive(Debug)]
pub struct Exported {
    /// Collector cluster and path.
    pub cluster: Arc<str>,
    pub path: Arc<str>,
    pub host: Arc<str>,
    pub span: serde_json::Value,
}

/// Where the slow ends are.
#[derive(Clone)]
pub struct Ends {
    pub own: Arc<Own>,
    pub sinks: Sinks,
    pub spans: mpsc::Sender<Exported>,
}

/// A TCP connection that was reported as open.
struct Flow {
    series: Arc<TcpSeries>,
    sent: u64,
    received: u64,
}

/// The telemetry of one worker.
pub struct Shard {
    ends: Ends,
    store: Arc<Store>,
    peers: Peers,
    handles: RefCell<Handles>,
    flows: RefCell<HashMap<u64, Flow>>,
    lines: RefCell<Vec<(Arc<str>, String)>>,
    written: Notify,
}

impl Shard {
    /// A shard that counts into `store`.
    pub fn new(ends: Ends, store: Arc<Store>) -> Rc<Self> {
        Rc::new(Shard {
            ends,
            store,
            peers: Peers::default(),
            handles: RefCell::new(Handles::new(handle::LIMIT)),
            flows: RefCell::default(),
            lines: RefCell::default(),
            written: Notify::new(),
        })
    }

    /// Hands over log lines shortly after they were written; runs beside the worker for ever.
    pub async fn flush_for_ever(self: Rc<Self>) {
        loop {
            self.written.notified().await;
            tokio::time::sleep(LINGER).await;
            self.flush();
        }
    }

    /// Hands over what is buffered.
    pub fn flush(&self) {
        for (path, buffer) in self.lines.borrow_mut().iter_mut() {
            if !buffer.is_empty() {
                self.ends.sinks.send(path, std::mem::take(buffer).into_bytes());
            }
        }
    }

    fn log(&self, logs: &[Arc<AccessLog>], subject: &Subject<'_>, failures: &[Failure]) {
        for log in logs.iter().filter(|log| access_log::wants(log, failures)) {
            let mut lines = self.lines.borrow_mut();
            let at = match lines.iter().position(|(path, _)| *path == log.path) {
                Some(at) => at,
                None => {
                    lines.push((log.path.clone(), String::new()));
                    lines.len() - 1
                }
            };
            let Some((path, buffer)) = lines.get_mut(at) else { continue };
            if buffer.is_empty() {
                self.written.notify_one();
            }
            access_log::line(&log.format, subject, buffer);
            if buffer.len() >= BATCH {
                // More follows soon: the next batch gets its room at once.
                let batch = std::mem::replace(buffer, String::with_capacity(BATCH + BATCH / 8));
                self.ends.sinks.send(path, batch.into_bytes());
            }
        }
    }

    /// The other side, by what it said, else by what its endpoint says.
    fn peer(
        &self,
        reporter: Reporter,
        downstream: Option<&Arc<Peer>>,
        upstream: Option<&Arc<Peer>>,
        endpoint: Option<&Arc<Endpoint>>,
    ) -> Option<Arc<Peer>> {
        match reporter {
            Reporter::Destination => downstream.cloned(),
            Reporter::Source => upstream.cloned().or_else(|| {
                let workload = endpoint?.workload.as_ref()?;
                Some(self.peers.endpoint(workload))
            }),
        }
    }

    fn count(&self, chain: &HttpChain, facts: &Facts) {
        let reporter = Reporter::of(facts.conn.direction);
        let downstream = facts.downstream_peer.as_ref();
        let peer = self.peer(reporter, downstream, facts.upstream_peer.as_ref(), facts.endpoint.as_ref());
        let tls = match reporter {
            Reporter::Destination => facts.conn.tls.as_ref(),
            Reporter::Source => facts.upstream_tls.as_deref(),
        };
        let service = facts.cluster.as_ref().and_then(|cluster| cluster.settings.service.as_ref());
        let cluster = facts.cluster.as_ref().map(|cluster| &cluster.name);
        let principal = |pick: fn(&TlsFacts) -> &Option<Arc<str>>| tls.and_then(|tls| pick(tls).clone());
        let key = Key {
            reporter,
            grpc: facts.grpc,
            standard: chain.filters.iter().any(|filter| matches!(filter, Filter::Stats { .. })),
            catch_all: match facts.rule.as_ref().map(|rule| &*rule.name) {
                Some("block_all") => CatchAll::Block,
                Some("allow_any") => CatchAll::Allow,
                _ => CatchAll::No,
            },
            status: facts.status,
            grpc_status: facts.grpc_status,
            flags: flags::bits(&facts.failures),
            pointers: [
                address(Some(&chain.stat_prefix)),
                address(peer.as_ref()),
                address(service),
                address(cluster),
            ],
            own_principal: principal(|tls| &tls.local_principal),
            peer_principal: principal(|tls| &tls.peer_principal),
            authority: (service.is_none() && self.by_authority(reporter)).then(|| facts.authority.clone()),
        };
        let mut handles = self.handles.borrow_mut();
        let standard = key.standard;
        let handle = handles.get_or(key, || Handle {
            standard: standard.then(|| self.request_series(reporter, peer.as_deref(), tls, facts)),
            cluster: cluster.map(|name| {
                let series = self.store.cluster(name);
                let code = series.code(facts.status);
                (series, code)
            }),
            manager: self.store.http(&chain.stat_prefix),
            _held: Held {
                _prefix: chain.stat_prefix.clone(),
                _peer: peer.clone(),
                _service: service.cloned(),
                _cluster: cluster.cloned(),
            },
        });
        add(handle, facts);
    }

    /// Whether the Host header may name the destination: only where our own workload chose it. Elsewhere anybody could
    /// make as many series as they like.
    fn by_authority(&self, reporter: Reporter) -> bool {
        reporter == Reporter::Source && !self.ends.own.gateway
    }

    fn request_series(
        &self,
        reporter: Reporter,
        peer: Option<&Peer>,
        tls: Option<&TlsFacts>,
        facts: &Facts,
    ) -> Arc<RequestSeries> {
        let labels = Labels {
            own: &self.ends.own.peer,
            reporter,
            peer,
            tls,
            cluster: facts.cluster.as_deref(),
            cluster_name: None,
            route: facts.rule.as_ref().map(|rule| &*rule.name).unwrap_or_default(),
            authority: if self.by_authority(reporter) { &facts.authority } else { "" },
            protocol: if facts.grpc { "grpc" } else { "http" },
            http: Some((facts.status, facts.grpc_status.filter(|_| facts.grpc))),
            failures: &facts.failures,
        };
        self.store.request(&labels.render())
    }

    fn tcp_series(&self, facts: &TcpFacts) -> Arc<TcpSeries> {
        let reporter = Reporter::of(facts.conn.direction);
        let said = facts.conn.tcp_peer.lock().clone();
        let downstream = facts.downstream_peer.as_ref().or(said.as_ref());
        let peer = self.peer(reporter, downstream, facts.upstream_peer.as_ref(), facts.endpoint.as_ref());
        let labels = Labels {
            own: &self.ends.own.peer,
            reporter,
            peer: peer.as_deref(),
            tls: match reporter {
                Reporter::Destination => facts.conn.tls.as_ref(),
                Reporter::Source => facts.upstream_tls.as_deref(),
            },
            cluster: facts.cluster.as_deref(),
            cluster_name: facts.cluster_name.as_deref(),
            route: "",
            authority: "",
            protocol: "tcp",
            http: None,
            failures: &facts.failures,
        };
        self.store.tcp(&labels.render())
    }

    /// Labels are fixed when a connection is first reported: once its peer is known, or will not be.
    fn count_tcp(&self, facts: &TcpFacts, when: Moment) {
        let mut flows = self.flows.borrow_mut();
        if when != Moment::Closed && !flows.contains_key(&facts.conn.id) && peer_pending(facts) {
            return;
        }
        let flow = flows.entry(facts.conn.id).or_insert_with(|| {
            let series = self.tcp_series(facts);
            series.opened.add(1);
            Flow { series, sent: 0, received: 0 }
        });
        flow.series.sent.add(facts.bytes_sent.saturating_sub(flow.sent));
        flow.series.received.add(facts.bytes_received.saturating_sub(flow.received));
        (flow.sent, flow.received) = (facts.bytes_sent, facts.bytes_received);
        if when == Moment::Closed {
            flow.series.closed.add(1);
            flows.remove(&facts.conn.id);
        }
    }
}

/// One request into its series.
fn add(handle: &Handle, facts: &Facts) {
    let ended = facts.ended.map(millis);
    if let Some(series) = &handle.standard {
        series.requests.add(1);
        if let Some(ended) = ended {
            series.duration.record(ended);
        }
        series.request_bytes.record(facts.bytes_received + facts.request_head_bytes);
        series.response_bytes.record(facts.bytes_sent + facts.response_head_bytes);
        if facts.grpc {
            series.request_messages.add(facts.request_messages);
            series.response_messages.add(facts.response_messages);
        }
    }
    if let Some((series, code)) = &handle.cluster {
        series.requests.add(u64::from(facts.attempts.max(1)));
        series.retries.add(u64::from(facts.attempts.saturating_sub(1)));
        if facts.failures.contains(&Failure::UpstreamTimeout) {
            series.timeouts.add(1);
        }
        code.add(1);
        if let (Some(started), Some(head)) = (facts.upstream_started, facts.upstream_head) {
            series.time.record(millis(head.saturating_duration_since(started)));
        }
    }
    let series = &handle.manager;
    series.requests.add(1);
    if let Some(class) = series.classes.get(usize::from(facts.status / 100)) {
        class.add(1);
    }
    if let Some(ended) = ended {
        series.time.record(ended);
    }
    if (handle.cluster.is_none() || !facts.failures.is_empty())
        && let Some(details) = &facts.details
        && is_refusal(details)
    {
        series.refuse(details, facts.status);
    }
}

/// Details of requests that break the rules of HTTP or of their path: a closed list, so that what clients send makes
/// no series.
fn is_refusal(details: &str) -> bool {
    let named = [
        "low_version",
        "missing_host_header",
        "absolute_path_rejected",
        "path_normalization_failed",
        "query_missing_content_type",
    ];
    details.starts_with("http1.") || details.starts_with("http.") || named.contains(&details)
}

/// The peer said that it will introduce itself and has not yet.
fn peer_pending(facts: &TcpFacts) -> bool {
    let exchanges =
        |tls: Option<&TlsFacts>| tls.is_some_and(|tls| tls.alpn.as_deref() == Some(wire::peer::ALPN));
    match Reporter::of(facts.conn.direction) {
        Reporter::Destination => {
            let said = facts.downstream_peer.is_some() || facts.conn.tcp_peer.lock().is_some();
            exchanges(facts.conn.tls.as_ref()) && !said
        }
        Reporter::Source => exchanges(facts.upstream_tls.as_deref()) && facts.upstream_peer.is_none(),
    }
}

impl Observer for Shard {
    fn request(&self, chain: &HttpChain, facts: &Facts) {
        self.count(chain, facts);
        self.log(&chain.access_logs, &Subject::Http(facts), &facts.failures);
        if let Some(tracing) = &chain.tracing
            && let Some(span) = span::span(&self.ends.own, tracing, facts)
        {
            let exported = Exported {
                cluster: tracing.cluster.clone(),
                path: tracing.path.clone(),
                host: tracing.hostname.clone(),
                span,
            };
            // A full queue means a collector that does not answer: spans are lost, requests are not.
            drop(self.ends.spans.try_send(exported));
        }
    }

    fn connection(&self, chain: &TcpChain, facts: &TcpFacts, when: Moment) {
        if chain.stats {
            self.count_tcp(facts, when);
        }
        if when == Moment::Closed {
            self.log(&chain.access_logs, &Subject::Tcp(facts), &facts.failures);
        }
    }

    fn peer_of_headers(&self, id: &[u8], metadata: &[u8]) -> Option<Arc<Peer>> {
        self.peers.headers(id, metadata)
    }

    fn peer_of_frame(&self, body: &[u8]) -> Option<Arc<Peer>> {
        self.peers.frame(body)
    }
}

impl Refusals for Shard {
    fn refused(&self, listener: &Listener, facts: &TcpFacts) {
        self.log(&listener.access_logs, &Subject::Tcp(facts), &facts.failures);
    }
}

fn address<T: ?Sized>(shared: Option<&Arc<T>>) -> usize {
    shared.map_or(0, |shared| Arc::as_ptr(shared).cast::<()>() as usize)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
