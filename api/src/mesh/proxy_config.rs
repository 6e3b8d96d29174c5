//! ProxyConfig (the settings): how one proxy runs. Part of the mesh settings, overridden per pod by the annotation
//! `proxy.istio.io/config`.

use std::collections::BTreeMap;

use crate::networking::{ClientTlsSettings, ProxyImage, ReadinessProbe, TcpKeepalive};
use crate::telemetry::CustomTag;
use crate::time::Duration;

spec! {
    pub struct ProxyConfig {
        /// `./etc/istio/proxy`.
        config_path: String,
        binary_path: String,
        /// Excludes `tracing_service_name`.
        service_cluster: Option<String>,
        tracing_service_name: TracingServiceName,
        /// 45 s.
        drain_duration: Option<Duration>,
        /// Ignored.
        parent_shutdown_duration: Option<Duration>,
        /// `istiod.istio-system.svc:15012`.
        discovery_address: String,
        /// Deprecated form of `tracing.zipkin.address`.
        zipkin_address: String,
        statsd_udp_address: String,
        /// 15000.
        proxy_admin_port: i32,
        control_plane_auth_policy: AuthenticationPolicy,
        custom_config_file: String,
        /// 189.
        stat_name_length: i32,
        /// Worker threads; absent: the CPU limit; 0: all cores.
        concurrency: Option<i32>,
        proxy_bootstrap_template_path: String,
        interception_mode: InterceptionMode,
        tracing: Option<TracingConfig>,
        sds: serde_json::Value,
        envoy_access_log_service: Option<RemoteService>,
        envoy_metrics_service: Option<RemoteService>,
        /// Environment; `ISTIO_META_*` become node metadata.
        proxy_metadata: BTreeMap<String, String>,
        runtime_values: BTreeMap<String, String>,
        /// 15020.
        status_port: i32,
        extra_stat_tags: Vec<String>,
        gateway_topology: Option<GatewayTopology>,
        /// 5 s.
        termination_drain_duration: Option<Duration>,
        mesh_id: String,
        readiness_probe: Option<ReadinessProbe>,
        proxy_stats_matcher: Option<ProxyStatsMatcher>,
        hold_application_until_proxy_starts: Option<bool>,
        ca_certificates_pem: Vec<String>,
        image: Option<ProxyImage>,
        private_key_provider: Option<PrivateKeyProvider>,
        proxy_headers: Option<ProxyHeaders>,
        /// 1 s.
        file_flush_interval: Option<Duration>,
        /// 64.
        file_flush_min_size_kb: Option<u32>,
        stats_compression: Option<bool>,
        connection_settings: Option<ConnectionSettings>,
    }

    pub struct TracingConfig {
        zipkin: Option<ZipkinTracer>,
        lightstep: Option<LightstepTracer>,
        datadog: Option<DatadogTracer>,
        stackdriver: Option<serde_json::Value>,
        open_census_agent: Option<serde_json::Value>,
        custom_tags: BTreeMap<String, CustomTag>,
        /// 256 where absent.
        max_path_tag_length: Option<u32>,
        /// Percent; 1 where absent.
        sampling: Option<f64>,
        tls_settings: Option<ClientTlsSettings>,
        /// True where absent.
        enable_istio_tags: Option<bool>,
    }

    pub struct ZipkinTracer {
        /// `host:port`.
        address: String,
    }

    pub struct LightstepTracer {
        address: String,
        access_token: String,
    }

    pub struct DatadogTracer {
        address: String,
    }

    pub struct RemoteService {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        tcp_keepalive: Option<TcpKeepalive>,
    }

    pub struct GatewayTopology {
        /// Trusted hops in front; 0 where absent.
        num_trusted_proxies: u32,
        forward_client_cert_details: ForwardClientCertDetails,
        /// Present: the PROXY protocol is read.
        proxy_protocol: Option<ProxyProtocolConfiguration>,
    }

    pub struct ProxyProtocolConfiguration {}

    pub struct ProxyStatsMatcher {
        inclusion_prefixes: Vec<String>,
        inclusion_suffixes: Vec<String>,
        inclusion_regexps: Vec<String>,
    }

    pub struct PrivateKeyProvider {
        cryptomb: Option<CryptoMb>,
        qat: Option<Qat>,
    }

    pub struct CryptoMb {
        poll_delay: Option<Duration>,
        fallback: Option<bool>,
    }

    pub struct Qat {
        poll_delay: Option<Duration>,
        fallback: Option<bool>,
    }

    pub struct ProxyHeaders {
        forwarded_client_cert: ForwardClientCertDetails,
        set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
        request_id: Option<HeaderSwitch>,
        server: Option<ServerHeader>,
        attempt_count: Option<HeaderSwitch>,
        envoy_debug_headers: Option<HeaderSwitch>,
        metadata_exchange_headers: Option<MetadataExchangeHeaders>,
        preserve_http1_header_case: Option<bool>,
        x_forwarded_host: Option<HeaderEnable>,
        x_forwarded_port: Option<HeaderEnable>,
    }

    pub struct SetCurrentClientCertDetails {
        subject: Option<bool>,
        cert: Option<bool>,
        chain: Option<bool>,
        dns: Option<bool>,
        uri: Option<bool>,
    }

    pub struct HeaderSwitch {
        disabled: Option<bool>,
    }

    pub struct HeaderEnable {
        enabled: Option<bool>,
    }

    pub struct ServerHeader {
        disabled: Option<bool>,
        /// `istio-envoy` where empty.
        value: String,
    }

    pub struct MetadataExchangeHeaders {
        mode: MetadataExchangeMode,
    }

    pub struct ConnectionSettings {
        profile: ConnectionProfile,
    }
}

choice! {
    pub enum TracingServiceName {
        #[default]
        AppLabelAndNamespace = "APP_LABEL_AND_NAMESPACE",
        CanonicalNameOnly = "CANONICAL_NAME_ONLY",
        CanonicalNameAndNamespace = "CANONICAL_NAME_AND_NAMESPACE",
    }

    pub enum AuthenticationPolicy {
        #[default]
        None = "NONE",
        MutualTls = "MUTUAL_TLS",
        Inherit = "INHERIT",
    }

    pub enum InterceptionMode {
        #[default]
        Redirect = "REDIRECT",
        Tproxy = "TPROXY",
        None = "NONE",
    }

    pub enum ForwardClientCertDetails {
        #[default]
        Undefined = "UNDEFINED",
        Sanitize = "SANITIZE",
        ForwardOnly = "FORWARD_ONLY",
        AppendForward = "APPEND_FORWARD",
        SanitizeSet = "SANITIZE_SET",
        AlwaysForwardOnly = "ALWAYS_FORWARD_ONLY",
    }

    pub enum MetadataExchangeMode {
        #[default]
        Undefined = "UNDEFINED",
        InMesh = "IN_MESH",
    }

    pub enum ConnectionProfile {
        #[default]
        Unspecified = "UNSPECIFIED",
        Edge = "EDGE",
    }
}
