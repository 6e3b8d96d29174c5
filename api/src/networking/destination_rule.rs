//! DestinationRule: how a service is reached once a route has chosen it.
//!
//! Read by pilot's traffic section. The same policy type stands at the top, in a subset and (smaller) per port; the
//! mesh settings hold one as the baseline.

use std::collections::BTreeMap;

use crate::selector::WorkloadSelector;
use crate::time::Duration;

spec! {
    pub struct DestinationRule {
        /// Host name, short name of this namespace, or `*.suffix`.
        host: String,
        traffic_policy: Option<TrafficPolicy>,
        subsets: Vec<Subset>,
        /// As in VirtualService.
        export_to: Vec<String>,
        /// Only for clients with these labels.
        workload_selector: Option<WorkloadSelector>,
    }

    /// A named part of the endpoints of a service.
    pub struct Subset {
        name: String,
        labels: BTreeMap<String, String>,
        /// Replaces the blocks of the top policy that it sets.
        traffic_policy: Option<TrafficPolicy>,
    }

    pub struct TrafficPolicy {
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
        /// Nothing is inherited into them.
        port_level_settings: Vec<PortTrafficPolicy>,
        tunnel: Option<TunnelSettings>,
        proxy_protocol: Option<ProxyProtocol>,
        retry_budget: Option<RetryBudget>,
    }

    pub struct PortTrafficPolicy {
        port: Option<PortSelector>,
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
    }

    pub struct PortSelector {
        number: u32,
    }

    /// `simple` or `consistent_hash`.
    pub struct LoadBalancerSettings {
        /// Absent: `LEAST_REQUEST`.
        simple: Option<SimpleLb>,
        consistent_hash: Option<ConsistentHashLb>,
        locality_lb_setting: Option<LocalityLbSetting>,
        zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
        /// Deprecated form of `warmup.duration`.
        warmup_duration_secs: Option<Duration>,
        warmup: Option<WarmupConfiguration>,
        backend_utilization: Option<BackendUtilization>,
    }

    /// One key (header, cookie, source address or query parameter) and one algorithm (ring by default).
    pub struct ConsistentHashLb {
        http_header_name: Option<String>,
        http_cookie: Option<HttpCookie>,
        use_source_ip: Option<bool>,
        http_query_parameter_name: Option<String>,
        ring_hash: Option<RingHash>,
        maglev: Option<MagLev>,
        /// Deprecated form of `ring_hash.minimum_ring_size`.
        minimum_ring_size: Option<u64>,
    }

    pub struct HttpCookie {
        name: String,
        path: String,
        /// Set: the proxy makes the cookie where it is missing; 0s makes a session cookie.
        ttl: Option<Duration>,
        attributes: Vec<CookieAttribute>,
    }

    pub struct CookieAttribute {
        name: String,
        value: String,
    }

    pub struct RingHash {
        /// 1024 where absent.
        minimum_ring_size: Option<u64>,
    }

    pub struct MagLev {
        /// A prime up to 5000011; 65537 where absent.
        table_size: Option<u64>,
    }

    pub struct LocalityLbSetting {
        distribute: Vec<Distribute>,
        failover: Vec<Failover>,
        failover_priority: Vec<String>,
        /// Absent: the mesh's setting.
        enabled: Option<bool>,
    }

    pub struct Distribute {
        /// `region/zone/subzone`, with `*`.
        from: String,
        /// Percentages, 100 in sum.
        to: BTreeMap<String, u32>,
    }

    /// From region to region.
    pub struct Failover {
        from: String,
        to: String,
    }

    pub struct ZoneAwareLbSetting {
        enabled: Option<bool>,
        failover: Vec<Failover>,
        failover_priority: Vec<String>,
        /// 6 where absent.
        min_cluster_size: Option<u64>,
    }

    pub struct WarmupConfiguration {
        duration: Option<Duration>,
        /// 10 where absent.
        minimum_percent: Option<f64>,
        /// 1.0 where absent.
        aggression: Option<f64>,
    }

    /// Weights from the load that endpoints report.
    pub struct BackendUtilization {
        error_utilization_penalty_percent: Option<u32>,
        metric_names_for_computing_utilization: Vec<String>,
        weight_expiration_period: Option<Duration>,
        weight_stabilization_period: Option<Duration>,
        weight_update_period: Option<Duration>,
    }

    pub struct ConnectionPoolSettings {
        tcp: Option<TcpSettings>,
        http: Option<HttpSettings>,
    }

    pub struct TcpSettings {
        /// 0 or absent: no limit.
        max_connections: i32,
        /// 10 s where absent.
        connect_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        max_connection_duration: Option<Duration>,
        /// 1 h where absent; 0s: none.
        idle_timeout: Option<Duration>,
    }

    pub struct TcpKeepalive {
        /// The system's default where absent, as the others.
        probes: u32,
        time: Option<Duration>,
        interval: Option<Duration>,
    }

    pub struct HttpSettings {
        /// Requests that wait for a connection; 0: no limit.
        http1_max_pending_requests: i32,
        /// Requests at the same time, HTTP/1.1 too; 0: no limit.
        http2_max_requests: i32,
        /// 0: no limit; 1: no keep-alive.
        max_requests_per_connection: i32,
        /// Retries at the same time; 0: no limit.
        max_retries: i32,
        /// 1 h where absent.
        idle_timeout: Option<Duration>,
        h2_upgrade_policy: H2UpgradePolicy,
        /// The client's protocol is kept; wins over `h2_upgrade_policy`.
        use_client_protocol: bool,
        /// Per HTTP/2 connection; 0: no limit.
        max_concurrent_streams: i32,
        #[serde(rename = "http2KeepAlive")]
        http2_keep_alive: Option<Http2KeepAlive>,
    }

    /// Pings.
    pub struct Http2KeepAlive {
        interval: Option<Duration>,
        timeout: Option<Duration>,
    }

    /// Ejection of endpoints that fail. An absent block ejects nobody.
    pub struct OutlierDetection {
        /// Deprecated.
        consecutive_errors: i32,
        split_external_local_origin_errors: bool,
        /// 5 where absent.
        consecutive_local_origin_failures: Option<u32>,
        /// 502, 503, 504; absent or 0: off.
        consecutive_gateway_errors: Option<u32>,
        /// 5 where absent; 0: off.
        #[serde(rename = "consecutive5xxErrors")]
        consecutive_5xx_errors: Option<u32>,
        /// 10 s where absent.
        interval: Option<Duration>,
        /// 30 s where absent, times the number of ejections.
        base_ejection_time: Option<Duration>,
        /// 10 where 0 or absent.
        max_ejection_percent: i32,
        /// Below it, ejection is ignored; 0: never.
        min_health_percent: i32,
        /// Codes that count as errors.
        outlier_detection_http_error_codes: Vec<u32>,
    }

    pub struct ClientTlsSettings {
        mode: ClientTlsMode,
        /// File of the chain, for `MUTUAL`.
        client_certificate: String,
        private_key: String,
        /// File of the CAs; empty: the system's.
        ca_certificates: String,
        /// Secret, instead of files.
        credential_name: String,
        subject_alt_names: Vec<String>,
        sni: String,
        insecure_skip_verify: Option<bool>,
        ca_crl: String,
    }

    /// Wraps outbound TCP in a request to a forward proxy.
    pub struct TunnelSettings {
        /// `CONNECT` (default) or `POST`.
        protocol: String,
        target_host: String,
        target_port: u32,
    }

    pub struct ProxyProtocol {
        version: ProxyProtocolVersion,
    }

    pub struct RetryBudget {
        /// Of the active requests; 20 where absent.
        percent: Option<f64>,
        /// 3 where absent.
        min_retry_concurrency: Option<u32>,
        budget_interval: Option<Duration>,
    }
}

choice! {
    pub enum SimpleLb {
        /// As `LeastRequest`.
        #[default]
        Unspecified = "UNSPECIFIED",
        /// Deprecated name of `LeastRequest`.
        LeastConn = "LEAST_CONN",
        Random = "RANDOM",
        /// To where the client connected.
        Passthrough = "PASSTHROUGH",
        RoundRobin = "ROUND_ROBIN",
        /// The less busy of two.
        LeastRequest = "LEAST_REQUEST",
    }

    pub enum H2UpgradePolicy {
        /// As the mesh says, which is not to upgrade.
        #[default]
        Default = "DEFAULT",
        DoNotUpgrade = "DO_NOT_UPGRADE",
        Upgrade = "UPGRADE",
    }

    pub enum ClientTlsMode {
        #[default]
        Disable = "DISABLE",
        Simple = "SIMPLE",
        /// With a client certificate from files or a secret.
        Mutual = "MUTUAL",
        /// With the mesh's certificate.
        IstioMutual = "ISTIO_MUTUAL",
    }

    pub enum ProxyProtocolVersion {
        #[default]
        V1 = "V1",
        V2 = "V2",
    }
}
