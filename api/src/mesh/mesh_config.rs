//! MeshConfig: what holds for the whole mesh unless something closer says otherwise.
//!
//! Defaults are laid under what is written by `read.rs`, so that fields here have their effective value.

use super::{DefaultProviders, ExtensionProvider, ProxyConfig};
use crate::meta::LabelSelector;
use crate::networking::{
    ClientTlsSettings, Destination, H2UpgradePolicy, HttpRetry, LocalityLbSetting, OutboundMode,
    TcpKeepalive, TlsProtocol, TrafficPolicy,
};
use crate::time::Duration;

spec! {
    pub struct MeshConfig {
        /// Outbound port; 15001.
        proxy_listen_port: i32,
        /// Inbound port; 15006.
        proxy_inbound_listen_port: i32,
        /// Port of the HTTP proxy listener; 0: none.
        proxy_http_port: i32,
        /// 10 s.
        connect_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        /// `istio`.
        ingress_class: String,
        /// `istio-ingressgateway`.
        ingress_service: String,
        ingress_controller_mode: IngressControllerMode,
        /// `ingressgateway`.
        ingress_selector: String,
        /// True.
        enable_tracing: bool,
        /// `/dev/stdout` or a file; empty: no log.
        access_log_file: String,
        /// Empty: Istio's format.
        access_log_format: String,
        access_log_encoding: AccessLogEncoding,
        enable_envoy_access_log_service: bool,
        /// Connections that match no chain are not logged.
        disable_envoy_listener_log: bool,
        default_config: ProxyConfig,
        /// `ALLOW_ANY`.
        outbound_traffic_policy: Option<MeshOutboundTrafficPolicy>,
        inbound_traffic_policy: Option<InboundTrafficPolicy>,
        config_sources: Vec<ConfigSource>,
        /// True: clients choose mutual TLS by themselves.
        enable_auto_mtls: Option<bool>,
        /// `cluster.local`.
        trust_domain: String,
        trust_domain_aliases: Vec<String>,
        ca_certificates: Vec<CertificateData>,
        default_service_export_to: Vec<String>,
        default_virtual_service_export_to: Vec<String>,
        default_destination_rule_export_to: Vec<String>,
        /// `istio-system`.
        root_namespace: String,
        locality_lb_setting: Option<LocalityLbSetting>,
        /// 60 s.
        dns_refresh_rate: Option<Duration>,
        h2_upgrade_policy: H2UpgradePolicy,
        inbound_cluster_stat_name: String,
        outbound_cluster_stat_name: String,
        /// Deprecated.
        certificates: Vec<Certificate>,
        service_settings: Vec<ServiceSettings>,
        service_scope_configs: Vec<ServiceScopeConfig>,
        service_entry_visibility: serde_json::Value,
        /// True.
        enable_prometheus_merge: Option<bool>,
        /// Deprecated, always on.
        verify_certificate_at_client: Option<bool>,
        ca: Option<Ca>,
        extension_providers: Vec<ExtensionProvider>,
        default_providers: Option<DefaultProviders>,
        /// Namespaces that are looked at; none: all.
        discovery_selectors: Vec<LabelSelector>,
        path_normalization: Option<PathNormalization>,
        default_http_retry_policy: Option<HttpRetry>,
        default_inbound_http_retry_policy: Option<HttpRetry>,
        default_traffic_policy: Option<TrafficPolicy>,
        #[serde(rename = "meshMTLS")]
        mesh_mtls: Option<MeshTls>,
        tls_defaults: Option<MeshTls>,
        /// 0: no limit.
        protocol_detection_timeout: Option<Duration>,
    }

    pub struct MeshOutboundTrafficPolicy {
        mode: OutboundMode,
        egress_proxy: Option<Destination>,
    }

    pub struct InboundTrafficPolicy {
        mode: InboundMode,
    }

    pub struct ConfigSource {
        /// `fs:///path`, `k8s://` or `xds://host`.
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        subscribed_resources: Vec<String>,
    }

    /// Further roots that are trusted.
    pub struct CertificateData {
        pem: Option<String>,
        spiffe_bundle_url: Option<String>,
        cert_signers: Vec<String>,
        trust_domains: Vec<String>,
    }

    pub struct Certificate {
        secret_name: String,
        dns_names: Vec<String>,
    }

    pub struct ServiceSettings {
        settings: Option<ServiceScopeSettings>,
        hosts: Vec<String>,
    }

    pub struct ServiceScopeSettings {
        cluster_local: bool,
    }

    pub struct ServiceScopeConfig {
        namespace_selector: Option<LabelSelector>,
        services_selector: Option<LabelSelector>,
        /// `LOCAL` (default) or `GLOBAL`.
        scope: String,
    }

    /// An external CA.
    pub struct Ca {
        address: String,
        tls_settings: Option<ClientTlsSettings>,
        /// 10 s where absent.
        request_timeout: Option<Duration>,
        /// True where absent.
        istiod_side: Option<bool>,
    }

    pub struct PathNormalization {
        normalization: NormalizationType,
    }

    pub struct MeshTls {
        min_protocol_version: TlsProtocol,
        cipher_suites: Vec<String>,
        ecdh_curves: Vec<String>,
    }
}

choice! {
    pub enum IngressControllerMode {
        #[default]
        Unspecified = "UNSPECIFIED",
        Off = "OFF",
        Default = "DEFAULT",
        Strict = "STRICT",
    }

    pub enum AccessLogEncoding {
        #[default]
        Text = "TEXT",
        Json = "JSON",
    }

    pub enum InboundMode {
        #[default]
        Passthrough = "PASSTHROUGH",
        Localhost = "LOCALHOST",
    }

    pub enum NormalizationType {
        #[default]
        Default = "DEFAULT",
        None = "NONE",
        Base = "BASE",
        MergeSlashes = "MERGE_SLASHES",
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES",
    }
}
