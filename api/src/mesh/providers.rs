//! Extension providers: named services for access control, logs, metrics and traces.
//!
//! Telemetry and AuthorizationPolicy refer to them by name. Exactly one type is set in each.

use std::collections::BTreeMap;

use crate::time::Duration;

spec! {
    pub struct ExtensionProvider {
        name: String,
        envoy_ext_authz_http: Option<ExtAuthzHttp>,
        envoy_ext_authz_grpc: Option<ExtAuthzGrpc>,
        zipkin: Option<ZipkinProvider>,
        lightstep: Option<LightstepProvider>,
        datadog: Option<DatadogProvider>,
        stackdriver: Option<StackdriverProvider>,
        opencensus: Option<OpenCensusProvider>,
        skywalking: Option<SkyWalkingProvider>,
        opentelemetry: Option<OpenTelemetryProvider>,
        prometheus: Option<PrometheusProvider>,
        envoy_file_access_log: Option<FileAccessLogProvider>,
        envoy_http_als: Option<GrpcAccessLogProvider>,
        envoy_tcp_als: Option<GrpcAccessLogProvider>,
        envoy_otel_als: Option<OtelAccessLogProvider>,
        sds: Option<SdsProvider>,
    }

    /// Providers for what names none.
    pub struct DefaultProviders {
        tracing: Vec<String>,
        metrics: Vec<String>,
        access_logging: Vec<String>,
    }

    pub struct ExtAuthzHttp {
        /// `namespace/host` or host.
        service: String,
        port: u32,
        /// 600 s where absent.
        timeout: Option<Duration>,
        path_prefix: String,
        fail_open: bool,
        clear_route_cache: bool,
        /// 403 where empty.
        status_on_error: String,
        /// Deprecated form of `include_request_headers_in_check`.
        include_headers_in_check: Vec<String>,
        include_request_headers_in_check: Vec<String>,
        include_additional_headers_in_check: BTreeMap<String, String>,
        include_request_body_in_check: Option<RequestBody>,
        headers_to_upstream_on_allow: Vec<String>,
        headers_to_downstream_on_allow: Vec<String>,
        headers_to_downstream_on_deny: Vec<String>,
    }

    pub struct ExtAuthzGrpc {
        service: String,
        port: u32,
        /// 600 s where absent.
        timeout: Option<Duration>,
        fail_open: bool,
        clear_route_cache: bool,
        /// 403 where empty.
        status_on_error: String,
        include_request_body_in_check: Option<RequestBody>,
    }

    pub struct RequestBody {
        max_request_bytes: u32,
        allow_partial_message: bool,
        pack_as_bytes: bool,
    }

    pub struct ZipkinProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        #[serde(rename = "enable64bitTraceId")]
        enable_64bit_trace_id: bool,
        /// `/api/v2/spans` where empty.
        path: String,
        /// 5 s where absent.
        timeout: Option<Duration>,
        trace_context_option: TraceContextOption,
        headers: Vec<ProviderHeader>,
    }

    /// A value, or the name of an environment variable that holds it.
    pub struct ProviderHeader {
        name: String,
        value: Option<String>,
        env_name: Option<String>,
    }

    pub struct LightstepProvider {
        service: String,
        port: u32,
        access_token: String,
        max_tag_length: u32,
    }

    pub struct DatadogProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
    }

    pub struct StackdriverProvider {
        debug: bool,
        max_number_of_attributes: Option<i64>,
        max_number_of_annotations: Option<i64>,
        max_number_of_message_events: Option<i64>,
        max_tag_length: u32,
        logging: Option<StackdriverLogging>,
    }

    pub struct StackdriverLogging {
        labels: BTreeMap<String, String>,
    }

    pub struct OpenCensusProvider {
        service: String,
        port: u32,
        context: Vec<String>,
        max_tag_length: u32,
    }

    pub struct SkyWalkingProvider {
        service: String,
        port: u32,
        access_token: String,
    }

    pub struct OpenTelemetryProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        http: Option<OtelHttp>,
        grpc: Option<OtelGrpc>,
        resource_detectors: Option<ResourceDetectors>,
        dynatrace_sampler: Option<DynatraceSampler>,
        service_attribute_enrichment: ServiceAttributeEnrichment,
    }

    pub struct OtelHttp {
        path: String,
        timeout: Option<Duration>,
        headers: Vec<ProviderHeader>,
    }

    pub struct OtelGrpc {
        timeout: Option<Duration>,
        initial_metadata: Vec<ProviderHeader>,
    }

    pub struct ResourceDetectors {
        environment: Option<serde_json::Value>,
        dynatrace: Option<serde_json::Value>,
    }

    pub struct DynatraceSampler {
        tenant: String,
        cluster_id: i32,
        root_spans_per_minute: u32,
        http_service: Option<DynatraceApi>,
    }

    pub struct DynatraceApi {
        service: String,
        port: u32,
        http: Option<OtelHttp>,
    }

    pub struct PrometheusProvider {}

    pub struct FileAccessLogProvider {
        /// `/dev/stdout` where empty.
        path: String,
        log_format: Option<LogFormat>,
        omit_empty_values: bool,
    }

    /// `text` or `labels`.
    pub struct LogFormat {
        text: Option<String>,
        labels: Option<serde_json::Map<String, serde_json::Value>>,
    }

    pub struct GrpcAccessLogProvider {
        service: String,
        port: u32,
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
        additional_request_headers_to_log: Vec<String>,
        additional_response_headers_to_log: Vec<String>,
        additional_response_trailers_to_log: Vec<String>,
    }

    pub struct OtelAccessLogProvider {
        service: String,
        port: u32,
        log_name: String,
        log_format: Option<LogFormat>,
        filter_state_objects_to_log: Vec<String>,
    }

    pub struct SdsProvider {
        name: String,
        service: String,
        port: u32,
    }
}

choice! {
    pub enum TraceContextOption {
        #[default]
        UseB3 = "USE_B3",
        UseB3WithW3cPropagation = "USE_B3_WITH_W3C_PROPAGATION",
    }

    pub enum ServiceAttributeEnrichment {
        #[default]
        Default = "DEFAULT",
        OtelSemanticConventions = "OTEL_SEMANTIC_CONVENTIONS",
    }
}
