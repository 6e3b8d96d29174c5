//! Access logs: files and standard streams, text and JSON.
//!
//! In: the access logs of a listener or a connection manager. Out: sinks with parsed formats; an operator that is
//! unknown is refused by name.

use std::sync::Arc;

use wire::pb::envoy::config::accesslog::v3 as log;
use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::extensions::access_loggers::{file::v3 as file, stream::v3 as stream};
use wire::pb::google::protobuf::Struct;

use super::read::{At, Lower, Refusal, done, harmless, refuse, text, type_name, unpack};
use crate::config::AccessLog;
use crate::observe::{JsonFormat, LogFormat, TextFormat};

/// Envoy's own format, used where none is given.
const DEFAULT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// All logs of a list.
pub(super) fn access_logs(list: Vec<log::AccessLog>) -> Lower<Vec<Arc<AccessLog>>> {
    let one = |(index, log): (usize, log::AccessLog)| access_log(log).item("access_log", index).map(Arc::new);
    list.into_iter().enumerate().map(one).collect()
}

fn access_log(mut log: log::AccessLog) -> Lower<AccessLog> {
    let only_flags = match log.filter.take().and_then(|filter| filter.filter_specifier) {
        None => Vec::new(),
        Some(log::access_log_filter::FilterSpecifier::ResponseFlagFilter(filter)) => {
            filter.flags.into_iter().map(text).collect()
        }
        Some(other) => {
            let message = log::AccessLogFilter { filter_specifier: Some(other) };
            return done(&message).at("filter").map(|()| unreachable!("the filter is set"));
        }
    };
    let Some(log::access_log::ConfigType::TypedConfig(any)) = log.config_type.take() else {
        return refuse("typed_config", "missing");
    };
    let (path, format) = match type_name(&any.type_url) {
        "envoy.extensions.access_loggers.file.v3.FileAccessLog" => {
            use file::file_access_log::AccessLogFormat as F;
            let config: file::FileAccessLog = unpack(&any).at("typed_config")?;
            let format = match config.access_log_format {
                None => None,
                Some(F::LogFormat(format)) => Some(format),
                Some(F::Format(text)) => Some(text_format(text)),
                Some(F::JsonFormat(json) | F::TypedJsonFormat(json)) => Some(json_format(json)),
            };
            (text(config.path), format)
        }
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog" => {
            let config: stream::StdoutAccessLog = unpack(&any).at("typed_config")?;
            let stream::stdout_access_log::AccessLogFormat::LogFormat(format) = match config.access_log_format
            {
                Some(format) => format,
                None => {
                    stream::stdout_access_log::AccessLogFormat::LogFormat(text_format(DEFAULT.to_owned()))
                }
            };
            ("/dev/stdout".into(), Some(format))
        }
        "envoy.extensions.access_loggers.stream.v3.StderrAccessLog" => {
            let config: stream::StderrAccessLog = unpack(&any).at("typed_config")?;
            let stream::stderr_access_log::AccessLogFormat::LogFormat(format) = match config.access_log_format
            {
                Some(format) => format,
                None => {
                    stream::stderr_access_log::AccessLogFormat::LogFormat(text_format(DEFAULT.to_owned()))
                }
            };
            ("/dev/stderr".into(), Some(format))
        }
        name => return refuse("typed_config", format!("access log {name} is not supported")),
    };
    let format = format.unwrap_or_else(|| text_format(DEFAULT.to_owned()));
    Ok(AccessLog { path, format: substitution(format).at("typed_config.log_format")?, only_flags })
}

fn text_format(text: String) -> core::SubstitutionFormatString {
    let source = core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(text)),
        ..Default::default()
    };
    let format = Some(core::substitution_format_string::Format::TextFormatSource(source));
    core::SubstitutionFormatString { format, ..Default::default() }
}

fn json_format(json: Struct) -> core::SubstitutionFormatString {
    let format = Some(core::substitution_format_string::Format::JsonFormat(json));
    core::SubstitutionFormatString { format, ..Default::default() }
}

fn substitution(mut format: core::SubstitutionFormatString) -> Lower<LogFormat> {
    use core::substitution_format_string::Format as F;
    // Formatter extensions only add operators: one that is used and unknown is refused by the parser below.
    harmless!(format; formatters, content_type, json_format_options);
    let parsed = match format.format.take() {
        Some(F::TextFormat(text)) => LogFormat::Text(parse(&text)?),
        Some(F::TextFormatSource(source)) => {
            let bytes = super::read::inline(source).at("text_format_source")?;
            LogFormat::Text(parse(&String::from_utf8_lossy(&bytes))?)
        }
        Some(F::JsonFormat(json)) => LogFormat::Json(json_of(&json)?),
        None => return Err(Refusal::new("no format")),
    };
    done(&format)?;
    Ok(parsed)
}

fn json_of(json: &Struct) -> Lower<JsonFormat> {
    let mut fields = Vec::new();
    let map = wire::structs::to_map(json);
    for (key, value) in &map {
        let format = match value {
            serde_json::Value::Object(_) | serde_json::Value::Array(_) => {
                return refuse(format!("json_format.{key}"), "nested values are not supported");
            }
            serde_json::Value::String(text) => parse(text)?,
            other => parse(&other.to_string())?,
        };
        fields.push((key.as_str(), format));
    }
    Ok(JsonFormat::new(fields))
}

fn parse(text: &str) -> Lower<TextFormat> {
    TextFormat::parse(text).map_err(Refusal::new)
}
