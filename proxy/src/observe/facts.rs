//! `Facts`: everything known about one request or TCP connection. Filled along the pipeline, read once at
//! the end by log, metrics and span. Plain data, owned by one task, no locks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{Cluster, Direction, Endpoint, Rule};
use crate::fail::Failure;

/// What is known about one downstream connection; shared by its requests.
#[derive(Debug)]
pub struct Conn {
    pub id: u64,
    pub peer: SocketAddr,
    /// The address the client dialled (original destination where intercepted).
    pub local: SocketAddr,
    pub direction: Direction,
    /// Port of the listener, for virtual host lookups by `host:port`.
    pub listener: Arc<str>,
    /// The client's address, where connections upstream take it over.
    pub borrowed: Option<crate::config::Borrowed>,
    pub tls: Option<TlsFacts>,
    /// From TLS or the TLS inspector.
    pub server_name: Option<Arc<str>>,
    /// Metadata the peer sent over TCP (`istio-peer-exchange`).
    pub tcp_peer: parking_lot::Mutex<Option<Arc<Peer>>>,
    pub started: Instant,
}

/// TLS of one connection.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    pub version: Arc<str>,
    pub cipher: Arc<str>,
    pub alpn: Option<Arc<str>>,
    /// SPIFFE id (or first URI SAN) of the peer's certificate.
    pub peer_principal: Option<Arc<str>>,
    /// Our own.
    pub local_principal: Option<Arc<str>>,
    pub peer_subject: Option<Arc<str>>,
    pub peer_dns: Vec<Arc<str>>,
    /// SHA-256 of the peer's certificate, hex.
    pub peer_hash: Option<Arc<str>>,
    /// DER of the peer's chain, leaf first, for XFCC `Cert`/`Chain`.
    pub peer_chain: Vec<bytes::Bytes>,
}

/// Who the other side is, from peer metadata or endpoint metadata: the labels of the standard metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    pub workload: Arc<str>,
    pub namespace: Arc<str>,
    pub canonical_name: Arc<str>,
    pub canonical_revision: Arc<str>,
    pub app: Arc<str>,
    pub version: Arc<str>,
    pub cluster: Arc<str>,
    pub principal: Arc<str>,
}

/// One HTTP request as seen so far.
#[derive(Debug)]
pub struct Facts {
    pub conn: Arc<Conn>,
    pub start: Instant,
    pub start_wall: SystemTime,
    pub protocol: http::Version,
    pub method: http::Method,
    /// As the client sent it, before rewrites (`X-ENVOY-ORIGINAL-PATH?:PATH`).
    pub path: Arc<str>,
    pub authority: Arc<str>,
    pub scheme: Arc<str>,
    /// Headers as they went to the upstream, for `%REQ()%`; `None` until known.
    pub request_headers: http::HeaderMap,
    pub response_headers: http::HeaderMap,
    pub trailers: http::HeaderMap,
    pub rule: Option<Arc<Rule>>,
    /// Name of the operation that the calling proxy gave (`x-envoy-decorator-operation`), before the rule's.
    pub operation: Option<Arc<str>>,
    pub cluster: Option<Arc<Cluster>>,
    /// The endpoint of the last attempt: its `workload` stands in where the peer sent no metadata.
    pub endpoint: Option<Arc<Endpoint>>,
    pub upstream: Option<SocketAddr>,
    pub upstream_local: Option<SocketAddr>,
    /// TLS of the upstream connection.
    pub upstream_tls: Option<Arc<TlsFacts>>,
    pub upstream_failure: Option<Arc<str>>,
    /// Status sent downstream; 0: none was sent.
    pub status: u16,
    pub failures: Vec<Failure>,
    /// `%RESPONSE_CODE_DETAILS%`, `via_upstream` where the upstream answered.
    pub details: Option<Arc<str>>,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Head bytes, which the standard size metrics include.
    pub request_head_bytes: u64,
    pub response_head_bytes: u64,
    /// gRPC messages counted, zero elsewhere.
    pub request_messages: u64,
    pub response_messages: u64,
    pub grpc: bool,
    pub grpc_status: Option<u16>,
    pub attempts: u32,
    /// First byte sent upstream, and response head received.
    pub upstream_started: Option<Instant>,
    pub upstream_head: Option<Instant>,
    pub ended: Option<Duration>,
    /// The client (inbound) or the server (outbound), as far as known.
    pub downstream_peer: Option<Arc<Peer>>,
    pub upstream_peer: Option<Arc<Peer>>,
    pub trace: Option<SpanContext>,
}

/// Identity of the span that this request makes, if sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanContext {
    pub trace_id: u128,
    pub span_id: u64,
    pub parent_id: Option<u64>,
    pub sampled: bool,
}

/// One TCP connection as seen so far; totals since its start.
#[derive(Debug)]
pub struct TcpFacts {
    pub conn: Arc<Conn>,
    pub start: Instant,
    pub start_wall: SystemTime,
    pub cluster: Option<Arc<Cluster>>,
    /// The cluster that was asked for, known or not.
    pub cluster_name: Option<Arc<str>>,
    pub endpoint: Option<Arc<Endpoint>>,
    pub upstream: Option<SocketAddr>,
    pub upstream_local: Option<SocketAddr>,
    pub upstream_tls: Option<Arc<TlsFacts>>,
    pub upstream_failure: Option<Arc<str>>,
    pub failures: Vec<Failure>,
    /// `%RESPONSE_CODE_DETAILS%`, empty for most connections.
    pub details: Option<Arc<str>>,
    /// From the client.
    pub bytes_received: u64,
    /// To the client.
    pub bytes_sent: u64,
    pub ended: Option<Duration>,
    pub downstream_peer: Option<Arc<Peer>>,
    pub upstream_peer: Option<Arc<Peer>>,
}
