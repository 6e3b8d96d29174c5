//! Telemetry: access logs, metrics and traces of a mesh, a namespace or some workloads.
//!
//! Root namespace, namespace, workload: the lower level replaces what it sets.

use std::collections::BTreeMap;

use crate::selector::{TargetRef, WorkloadSelector};
use crate::time::Duration;

spec! {
    pub struct Telemetry {
        selector: Option<WorkloadSelector>,
        /// Deprecated form of `target_refs`.
        target_ref: Option<TargetRef>,
        target_refs: Vec<TargetRef>,
        tracing: Vec<Tracing>,
        metrics: Vec<Metrics>,
        access_logging: Vec<AccessLogging>,
    }

    /// Name of one of the mesh's extension providers.
    pub struct ProviderRef {
        name: String,
    }

    pub struct Tracing {
        #[serde(rename = "match")]
        matches: Option<TracingSelector>,
        /// Only the first counts.
        providers: Vec<ProviderRef>,
        /// 0 to 100; absent: inherited.
        random_sampling_percentage: Option<f64>,
        disable_span_reporting: Option<bool>,
        custom_tags: BTreeMap<String, CustomTag>,
        /// Absent: true.
        use_request_id_for_trace_sampling: Option<bool>,
        /// Absent: true.
        enable_istio_tags: Option<bool>,
        disable_context_propagation: Option<bool>,
    }

    pub struct TracingSelector {
        mode: WorkloadMode,
    }

    /// One source of the value.
    pub struct CustomTag {
        literal: Option<LiteralTag>,
        environment: Option<EnvironmentTag>,
        header: Option<HeaderTag>,
        formatter: Option<FormatterTag>,
    }

    pub struct LiteralTag {
        value: String,
    }

    pub struct EnvironmentTag {
        name: String,
        default_value: String,
    }

    pub struct HeaderTag {
        name: String,
        default_value: String,
    }

    /// Envoy's command operators.
    pub struct FormatterTag {
        value: String,
    }

    pub struct Metrics {
        providers: Vec<ProviderRef>,
        overrides: Vec<MetricsOverrides>,
        /// For TCP and gRPC message counts; 5 s where absent.
        reporting_interval: Option<Duration>,
    }

    pub struct MetricsOverrides {
        #[serde(rename = "match")]
        matches: Option<MetricSelector>,
        disabled: Option<bool>,
        tag_overrides: BTreeMap<String, TagOverride>,
    }

    /// `metric` or `custom_metric`.
    pub struct MetricSelector {
        metric: Option<IstioMetric>,
        custom_metric: Option<String>,
        mode: WorkloadMode,
    }

    pub struct TagOverride {
        operation: TagOperation,
        /// Expression over attributes; for `UPSERT`.
        value: String,
    }

    pub struct AccessLogging {
        #[serde(rename = "match")]
        matches: Option<LogSelector>,
        providers: Vec<ProviderRef>,
        disabled: Option<bool>,
        filter: Option<LogFilter>,
    }

    pub struct LogSelector {
        mode: WorkloadMode,
    }

    pub struct LogFilter {
        /// CEL, such as `response.code >= 400`.
        expression: String,
    }
}

choice! {
    /// Which side of a call.
    pub enum WorkloadMode {
        #[default]
        ClientAndServer = "CLIENT_AND_SERVER",
        Client = "CLIENT",
        Server = "SERVER",
    }

    pub enum IstioMetric {
        #[default]
        AllMetrics = "ALL_METRICS",
        RequestCount = "REQUEST_COUNT",
        RequestDuration = "REQUEST_DURATION",
        RequestSize = "REQUEST_SIZE",
        ResponseSize = "RESPONSE_SIZE",
        TcpOpenedConnections = "TCP_OPENED_CONNECTIONS",
        TcpClosedConnections = "TCP_CLOSED_CONNECTIONS",
        TcpSentBytes = "TCP_SENT_BYTES",
        TcpReceivedBytes = "TCP_RECEIVED_BYTES",
        GrpcRequestMessages = "GRPC_REQUEST_MESSAGES",
        GrpcResponseMessages = "GRPC_RESPONSE_MESSAGES",
    }

    pub enum TagOperation {
        #[default]
        Upsert = "UPSERT",
        Remove = "REMOVE",
    }
}
