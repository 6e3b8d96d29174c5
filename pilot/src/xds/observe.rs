//! Access logs and spans, as the mesh config asks for them.
//!
//! Called by the connection manager, the TCP chains and the listeners. The default texts are Istio's.

use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, ResponseFlagFilter, access_log, access_log_filter::FilterSpecifier,
};
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, data_source::Specifier, substitution_format_string::Format,
};
use envoy_types::pb::envoy::config::trace::v3::zipkin_config::{CollectorEndpointVersion, TraceContextOption};
use envoy_types::pb::envoy::config::trace::v3::{ZipkinConfig, tracing as provider};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing as PbTracing;
use envoy_types::pb::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use envoy_types::pb::envoy::r#type::v3::Percent;

use super::names::ClusterName;
use super::proto::{any, boolean, structure, uint32};
use crate::model::mesh::{AccessLog as Setting, Observe, Tag, TagValue, Tracing};

/// Istio's text format.
const TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% ",
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ",
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Istio's JSON keys.
const JSON: [(&str, &str); 24] = [
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

/// Log of every request or connection.
pub fn access_logs(observe: &Observe) -> Vec<AccessLog> {
    observe.access_logs.iter().map(|setting| log(setting, None)).collect()
}

/// Log of connections that no chain takes.
pub fn listener_logs(observe: &Observe) -> Vec<AccessLog> {
    let unmatched = || AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
            flags: vec!["NR".to_owned()],
        })),
    };
    observe.access_logs.iter().map(|setting| log(setting, Some(unmatched()))).collect()
}

fn log(setting: &Setting, filter: Option<AccessLogFilter>) -> AccessLog {
    let format = if setting.json {
        let object = setting.format.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let object =
            object.unwrap_or_else(|| JSON.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect());
        Format::JsonFormat(structure(serde_json::Value::Object(object)))
    } else {
        let mut text = setting.format.clone().unwrap_or_else(|| TEXT.to_owned());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Format::TextFormatSource(DataSource {
            specifier: Some(Specifier::InlineString(text)),
            ..Default::default()
        })
    };
    let file = FileAccessLog {
        path: setting.path.clone(),
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
            format: Some(format),
            ..Default::default()
        })),
    };
    AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        filter,
        config_type: Some(access_log::ConfigType::TypedConfig(any(&file))),
    }
}

/// Spans of a connection manager.
pub fn tracing(setting: &Tracing) -> PbTracing {
    let context =
        if setting.w3c { TraceContextOption::UseB3WithW3cPropagation } else { TraceContextOption::UseB3 };
    let zipkin = ZipkinConfig {
        collector_cluster: ClusterName::outbound(setting.port, "", &setting.host).to_string(),
        collector_endpoint: setting.path.clone(),
        collector_endpoint_version: CollectorEndpointVersion::HttpJson as i32,
        collector_hostname: setting.host.clone(),
        trace_id_128bit: true,
        shared_span_context: Some(boolean(false)),
        trace_context_option: context as i32,
        ..Default::default()
    };
    let all = || Some(Percent { value: 100.0 });
    PbTracing {
        client_sampling: all(),
        random_sampling: Some(Percent { value: f64::from(setting.sampling) / 100.0 }),
        overall_sampling: all(),
        max_path_tag_length: setting.max_tag_length.map(uint32),
        custom_tags: setting.tags.iter().map(custom_tag).collect(),
        provider: Some(provider::Http {
            name: "envoy.tracers.zipkin".to_owned(),
            config_type: Some(provider::http::ConfigType::TypedConfig(any(&zipkin))),
        }),
        ..Default::default()
    }
}

fn custom_tag(tag: &Tag) -> CustomTag {
    let value = match &tag.value {
        TagValue::Literal(value) => custom_tag::Type::Literal(custom_tag::Literal { value: value.clone() }),
        TagValue::Header { name, default } => custom_tag::Type::RequestHeader(custom_tag::Header {
            name: name.clone(),
            default_value: default.clone(),
        }),
    };
    CustomTag { tag: tag.name.clone(), r#type: Some(value) }
}
