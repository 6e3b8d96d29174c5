//! A filter chain: its match, its transport socket, its network filters, and for HTTP the connection manager.
//!
//! Made by `compile`, read by `listen` (match), `tls`, `http` and `tcp`. Plain data; a connection holds the `Arc` of
//! its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{ClusterSlot, RouteSlot, RouteTable};
use crate::filter::Filter;
use crate::tls::{ClientTls, ServerTls};

/// One filter chain (`envoy.config.listener.v3.FilterChain`).
#[derive(Debug)]
pub struct Chain {
    pub name: Arc<str>,
    pub matches: ChainMatch,
    /// Terminate TLS first; `None`: plain bytes.
    pub tls: Option<Arc<ServerTls>>,
    pub app: App,
    /// Peer metadata over TCP is expected and answered when ALPN `istio-peer-exchange` was agreed on.
    pub tcp_peer_exchange: bool,
    /// TLS handshake and first bytes must be done by then; zero: no limit (`transport_socket_connect_timeout`).
    pub handshake_timeout: Duration,
    /// Hash of the chain as it was received: connections of an unchanged chain survive a change of their listener.
    pub version: u128,
}

/// What a connection must look like (`FilterChainMatch`); empty fields match all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainMatch {
    pub destination_port: Option<u16>,
    pub destination: Vec<ipnet::IpNet>,
    /// Lower case; `*.example.com` for suffixes.
    pub server_names: Vec<String>,
    /// `Some("tls")`, `Some("raw_buffer")` or none.
    pub transport: Option<Arc<str>>,
    pub application_protocols: Vec<String>,
    pub source: Vec<ipnet::IpNet>,
}

/// What a chain ends in.
#[derive(Debug)]
pub enum App {
    Http(Arc<HttpChain>),
    Tcp(Arc<TcpChain>),
    /// Nothing to do here: close (an empty chain).
    Close,
}

/// Protocol of the downstream side (`HttpConnectionManager.codec_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Auto,
    Http1,
    Http2,
}

/// Where an HTTP chain finds its routes.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// Inline `route_config`.
    Inline(Arc<RouteTable>),
    /// `rds`: look the slot up in this request's Config.
    Named(RouteSlot),
}

/// Everything of an HTTP connection manager that the data path needs.
#[derive(Debug)]
pub struct HttpChain {
    pub stat_prefix: Arc<str>,
    pub codec: Codec,
    pub routes: RouteSource,
    /// Name of the route configuration, for messages.
    pub route_name: Arc<str>,
    /// The HTTP filters in order, without the router.
    pub filters: Vec<Filter>,
    /// The router's `suppress_envoy_headers`: it adds no `x-envoy-` headers of its own. Default false.
    pub suppress_envoy_headers: bool,
    pub access_logs: Vec<Arc<AccessLog>>,
    pub tracing: Option<Arc<Tracing>>,
    /// `server` header of responses; empty: pass the upstream's through. Default `envoy`, Istio says `istio-envoy`.
    pub server_name: Arc<str>,
    /// `server_header_transformation` PASS_THROUGH.
    pub server_pass_through: bool,
    /// `use_remote_address`: this is the edge; append the peer to X-Forwarded-For.
    pub use_remote_address: bool,
    /// `xff_num_trusted_hops`.
    pub xff_trusted_hops: u32,
    /// `skip_xff_append`
    pub skip_xff_append: bool,
    pub forward_client_cert: ForwardClientCert,
    /// `generate_request_id`, default true.
    pub generate_request_id: bool,
    /// `preserve_external_request_id`
    pub preserve_request_id: bool,
    pub paths: PathRules,
    pub underscores: Underscores,
    /// `strip_any_host_port` or `strip_matching_host_port`.
    pub strip_host_port: bool,
    /// `proxy_100_continue`: an expectation is the upstream's to meet; else it is met here, at once. Default false, Istio
    /// sets it.
    pub proxy_continue: bool,
    /// HTTP/1.0 is answered 426 unless true (`accept_http_10`).
    pub accept_http10: bool,
    pub upgrades: Vec<Arc<str>>,
    /// Whole stream without traffic; zero off. Default 5 min (`stream_idle_timeout`).
    pub stream_idle_timeout: Duration,
    /// Connection without streams; default 1 h (`common_http_protocol_options.idle_timeout`).
    pub idle_timeout: Duration,
    /// Receive of the whole request; zero off (`request_timeout`).
    pub request_timeout: Duration,
    /// Head must be complete by then; zero off (`request_headers_timeout`).
    pub request_headers_timeout: Duration,
    /// Longest a drained connection lives on, default 5 s (`drain_timeout`).
    pub drain_timeout: Duration,
    /// `common_http_protocol_options.max_connection_duration`; zero: none.
    pub max_connection_duration: Duration,
    /// How long a connection that we end stays for the client to read the end of it. Default 1 s, zero: not at all
    /// (`delayed_close_timeout`).
    pub delayed_close: Duration,
    /// Bytes of a request head, default 60 KiB (`max_request_headers_kb`).
    pub max_request_head: usize,
    /// `common_http_protocol_options.max_headers_count`, default 100.
    pub max_request_headers: usize,
    pub h2: H2Options,
}

/// What is done to the path of a request before anything looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PathRules {
    /// `normalize_path`: RFC 3986, default false; Istio sets it.
    pub normalize: bool,
    /// `merge_slashes`, default false.
    pub merge_slashes: bool,
    /// `path_with_escaped_slashes_action`
    pub escaped_slashes: EscapedSlashes,
}

/// What `%2F` and `%5C` in a path mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EscapedSlashes {
    /// KEEP_UNCHANGED
    #[default]
    Keep,
    /// REJECT_REQUEST: 400.
    Reject,
    /// UNESCAPE_AND_REDIRECT: 307 to the path with slashes.
    Redirect,
    /// UNESCAPE_AND_FORWARD
    Forward,
}

/// `headers_with_underscores_action`: what is done about request headers whose names applications may take for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Underscores {
    /// ALLOW
    #[default]
    Keep,
    /// REJECT_REQUEST: 400, and HTTP/2 resets the stream.
    Reject,
    /// DROP_HEADER
    Drop,
}

/// HTTP/2 settings of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct H2Options {
    pub max_concurrent_streams: u32,
    pub stream_window: u32,
    pub connection_window: u32,
    /// `hpack_table_size`: what the other side's compression may remember here. Default 4096 bytes.
    pub header_table: u32,
    /// `connection_keepalive`: a PING after each interval, whose answer must come within the timeout.
    pub ping: Option<(Duration, Duration)>,
    pub frames: FrameLimits,
}

/// Bounds on frames that cost who sends them little. A connection that goes beyond one of them is closed with
/// ENHANCE_YOUR_CALM and counted by that bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameLimits {
    /// Frames that wait for a peer that does not read (`max_outbound_frames`). Default 10,000.
    pub outbound: u32,
    /// PING and SETTINGS among them (`max_outbound_control_frames`). Default 1,000.
    pub outbound_control: u32,
    /// Frames in a row without payload (`max_consecutive_inbound_frames_with_empty_payload`). Default 1.
    pub empty: u32,
    /// `max_inbound_priority_frames_per_stream`, default 100.
    pub priority_per_stream: u32,
    /// `max_inbound_window_update_frames_per_data_frame_sent`, default 10.
    pub window_updates_per_data: u32,
}

impl Default for FrameLimits {
    fn default() -> Self {
        FrameLimits {
            outbound: 10_000,
            outbound_control: 1_000,
            empty: 1,
            priority_per_stream: 100,
            window_updates_per_data: 10,
        }
    }
}

impl H2Options {
    /// The connection's window in force: at least 4 stream windows, so that one unread stream does not stop its
    /// neighbours, within what the protocol allows. It is also what a peer can make us hold whose data nobody takes.
    pub fn connection(&self) -> u32 {
        self.connection_window.max(self.stream_window.saturating_mul(4)).min(i32::MAX as u32)
    }
}

impl Default for H2Options {
    /// As Envoy 1.40 without `http2_protocol_options`: 1024 streams, 16 MiB and 24 MiB of window.
    fn default() -> Self {
        H2Options {
            max_concurrent_streams: 1024,
            stream_window: 16 << 20,
            connection_window: 24 << 20,
            header_table: 4096,
            ping: None,
            frames: FrameLimits::default(),
        }
    }
}

/// `forward_client_cert_details` with the details that are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ForwardClientCert {
    pub mode: Xfcc,
    pub subject: bool,
    pub uri: bool,
    pub dns: bool,
    pub cert: bool,
    pub chain: bool,
}

/// What happens to `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Xfcc {
    #[default]
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}

/// A TCP proxy (`envoy.filters.network.tcp_proxy`).
#[derive(Debug)]
pub struct TcpChain {
    pub stat_prefix: Arc<str>,
    /// Weighted targets; one of weight 1 in the simple case. Empty: close.
    pub targets: Vec<(ClusterSlot, u32)>,
    /// Both directions silent; default 1 h, zero off.
    pub idle_timeout: Duration,
    pub access_logs: Vec<Arc<AccessLog>>,
    /// `istio.stats` is in the chain: count `istio_tcp_*`.
    pub stats: bool,
    /// Take the destination cluster's SNI from the ClientHello (`sni_cluster`).
    pub sni_cluster: bool,
    /// `hash_policy: source_ip`.
    pub hash_source_ip: bool,
}

/// A file access log, text or JSON; the format was parsed once.
#[derive(Debug)]
pub struct AccessLog {
    /// `/dev/stdout`, `/dev/stderr` or a path.
    pub path: Arc<str>,
    pub format: crate::observe::LogFormat,
    /// `response_flag_filter` of the listener log: only these flags. Empty: all requests.
    pub only_flags: Vec<Arc<str>>,
}

/// Tracing of one connection manager.
#[derive(Debug)]
pub struct Tracing {
    /// Collector cluster (Zipkin v2 JSON over HTTP/1.1).
    pub cluster: Arc<str>,
    /// `collector_endpoint`, default `/api/v2/spans`.
    pub path: Arc<str>,
    pub hostname: Arc<str>,
    /// Parts of 10 000 (`random_sampling` x `overall_sampling`).
    pub sampling: u32,
    pub trace_id_128bit: bool,
    /// Custom tags: name and literal.
    pub tags: Vec<(Arc<str>, TagValue)>,
    pub max_path_len: usize,
}

/// Value of a custom span tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagValue {
    Literal(Arc<str>),
    Header { name: Arc<str>, default: Arc<str> },
}

/// Client side TLS of an upstream or of a match in it: shared so that pools compare by pointer.
pub type UpstreamTls = Option<Arc<ClientTls>>;

/// Addresses an inbound cluster binds before it connects (`upstream_bind_config`), by the family of the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindSource {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl BindSource {
    /// The one for a destination; none: the kernel's choice.
    pub fn toward(self, destination: IpAddr) -> Option<IpAddr> {
        match destination {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }
}

/// The client's address, borrowed for connections upstream (`envoy.filters.listener.original_src`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Borrowed {
    pub address: IpAddr,
    /// `SO_MARK`, by which the answers find back; 0: none.
    pub mark: u32,
}
