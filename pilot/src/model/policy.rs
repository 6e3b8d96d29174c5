//! How to talk to a destination: the effective form of a DestinationRule's `trafficPolicy`.
//!
//! Made by `traffic.rs`, which also merges; read by `xds/cluster` and `xds/route` (hash policies). Absent means
//! that the built-in default holds, which the builder writes.

use std::time::Duration;

/// One set of policy blocks, as they stand at the top, at a port or at a subset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    pub balance: Option<Balance>,
    pub pool: Option<Pool>,
    pub outlier: Option<Outlier>,
    pub tls: Option<ClientTls>,
    /// PROXY protocol towards the endpoint: 1 or 2.
    pub proxy_protocol: Option<u8>,
    pub retry_budget: Option<RetryBudget>,
}

impl Policy {
    /// Block by block: what `over` says wins.
    pub fn overlaid(&self, over: &Policy) -> Policy {
        Policy {
            balance: over.balance.clone().or_else(|| self.balance.clone()),
            pool: over.pool.clone().or_else(|| self.pool.clone()),
            outlier: over.outlier.clone().or_else(|| self.outlier.clone()),
            tls: over.tls.clone().or_else(|| self.tls.clone()),
            proxy_protocol: over.proxy_protocol.or(self.proxy_protocol),
            retry_budget: over.retry_budget.or(self.retry_budget),
        }
    }
}

/// `loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Balance {
    pub algorithm: Algorithm,
    /// Slow start.
    pub warmup: Option<Warmup>,
    /// None: the mesh's setting.
    pub locality: Option<Locality>,
}

/// Which endpoint is picked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Not said: least requests.
    #[default]
    Default,
    RoundRobin,
    LeastRequest,
    Random,
    /// The address that the client chose.
    Passthrough,
    Hash(HashBalance),
}

/// Consistent hashing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HashBalance {
    pub key: HashKey,
    pub table: HashTable,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HashKey {
    Header(String),
    Cookie { name: String, path: String, ttl: Option<Duration>, attributes: Vec<(String, String)> },
    SourceIp,
    Query(String),
}

/// How the hash finds an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashTable {
    /// Ring with at least this many entries.
    Ring(u64),
    /// Maglev table of this size.
    Maglev(u64),
}

/// Slow start of new endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Warmup {
    pub duration: Duration,
    /// First share, in parts per million.
    pub minimum: u32,
    /// Aggression in millionths; 1 is linear.
    pub aggression: u32,
}

/// Locality preference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locality {
    pub enabled: bool,
    pub failover: Vec<(String, String)>,
    pub failover_labels: Vec<String>,
    pub distribute: Vec<(String, Vec<(String, u32)>)>,
}

/// `connectionPool`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pool {
    pub max_connections: Option<u32>,
    pub connect_timeout: Option<Duration>,
    pub keepalive: Option<Keepalive>,
    pub max_connection_duration: Option<Duration>,
    pub tcp_idle_timeout: Option<Duration>,
    pub max_pending_requests: Option<u32>,
    pub max_requests: Option<u32>,
    pub max_requests_per_connection: Option<u32>,
    pub max_retries: Option<u32>,
    pub http_idle_timeout: Option<Duration>,
    pub upgrade: Upgrade,
    pub use_client_protocol: bool,
    pub max_concurrent_streams: Option<u32>,
    /// Interval and timeout of HTTP/2 pings.
    pub http2_keepalive: Option<(Option<Duration>, Option<Duration>)>,
}

/// `h2UpgradePolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Upgrade {
    /// As the mesh says.
    #[default]
    Default,
    Never,
    Always,
}

/// TCP keep-alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keepalive {
    pub probes: Option<u32>,
    pub time: Option<Duration>,
    pub interval: Option<Duration>,
}

/// `outlierDetection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outlier {
    pub consecutive_5xx: Option<u32>,
    pub consecutive_gateway: Option<u32>,
    pub split_local: bool,
    pub consecutive_local: Option<u32>,
    pub interval: Option<Duration>,
    pub base_ejection: Option<Duration>,
    /// Percent.
    pub max_ejection: Option<u32>,
    /// Percent below which health is ignored; 0: never.
    pub min_health: u32,
}

/// `tls` of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    pub mode: TlsMode,
    pub certificate: String,
    pub key: String,
    pub ca: String,
    pub credential: String,
    pub sans: Vec<String>,
    pub sni: String,
    pub skip_verify: bool,
}

/// Mode of client TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    #[default]
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// `retryBudget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// Millionths of a percent.
    pub percent: u64,
    pub min_concurrency: u32,
}
