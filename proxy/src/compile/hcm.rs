//! HTTP connection managers.
//!
//! In: an HttpConnectionManager message. Out: `config::HttpChain`. Called by `chain`.

use std::sync::Arc;
use std::time::Duration;

use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::config::trace::v3 as trace;
use wire::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use wire::pb::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;
use wire::pb::envoy::r#type::tracing::v3 as tags;

use super::access_log::access_logs;
use super::filter::filters;
use super::http2::{downstream_h2, h2_options};
use super::read::{
    At, Lower, apart, done, duration_or, flag, harmless, number, refuse, text, type_name, unpack,
};
use super::slots::Slots;
use crate::config::{
    Codec, EscapedSlashes, ForwardClientCert, HttpChain, PathRules, RouteSource, TagValue, Tracing,
    Underscores, Xfcc,
};

use hcm::http_connection_manager as m;

/// The field `route_config`, which can be nearly all of it.
const ROUTE_CONFIG: u32 = 4;

/// Lowers an encoded connection manager.
pub(super) fn http_chain(bytes: &[u8], slots: &mut Slots) -> Lower<HttpChain> {
    let (mut one, route_config) = apart::<hcm::HttpConnectionManager>(bytes, ROUTE_CONFIG)?;
    // A wrong message always ends an HTTP/1 connection.
    harmless!(one; stream_error_on_invalid_http_message);
    harmless!(one; http3_protocol_options, stream_flush_timeout);
    let codec = match one.codec_type() {
        m::CodecType::Auto => Codec::Auto,
        m::CodecType::Http1 => Codec::Http1,
        m::CodecType::Http2 => Codec::Http2,
        m::CodecType::Http3 => return refuse("codec_type", "HTTP/3 is not supported"),
    };
    one.codec_type = 0;
    let (routes, route_name) = routes(one.route_specifier.take(), &route_config, slots)?;
    let server_pass_through = match one.server_header_transformation() {
        m::ServerHeaderTransformation::Overwrite => false,
        m::ServerHeaderTransformation::PassThrough => true,
        m::ServerHeaderTransformation::AppendIfAbsent => {
            return refuse("server_header_transformation", "APPEND_IF_ABSENT is not supported");
        }
    };
    one.server_header_transformation = 0;
    let paths = path_rules(&mut one);
    if let Some(extension) = one.request_id_extension.take().and_then(|extension| extension.typed_config) {
        // The sampling decision is packed into the id as it is by default.
        unpack::<UuidRequestIdConfig>(&extension).at("request_id_extension")?;
    }
    let common =
        common_options(one.common_http_protocol_options.take()).at("common_http_protocol_options")?;
    let strip_any = matches!(one.strip_port_mode.take(), Some(m::StripPortMode::StripAnyHostPort(true)));
    let upgrades = std::mem::take(&mut one.upgrade_configs).into_iter().enumerate();
    let upgrades = upgrades.filter_map(|(i, config)| upgrade(config).item("upgrade_configs", i).transpose());
    let upgrades = upgrades.collect::<Lower<_>>()?;
    let tracing = one.tracing.take().map(tracing).transpose().at("tracing")?.flatten();
    let server_name = std::mem::take(&mut one.server_name);
    let (filters, router) = filters(std::mem::take(&mut one.http_filters))?;
    let chain = HttpChain {
        stat_prefix: text(std::mem::take(&mut one.stat_prefix)),
        codec,
        routes,
        route_name,
        filters,
        suppress_envoy_headers: router.suppress_envoy_headers,
        access_logs: access_logs(std::mem::take(&mut one.access_log))?,
        tracing: tracing.map(Arc::new),
        server_name: if server_name.is_empty() { "envoy".into() } else { text(server_name) },
        server_pass_through,
        use_remote_address: flag(one.use_remote_address.take(), false),
        xff_trusted_hops: std::mem::take(&mut one.xff_num_trusted_hops),
        skip_xff_append: std::mem::take(&mut one.skip_xff_append),
        forward_client_cert: client_cert(&mut one)?,
        generate_request_id: flag(one.generate_request_id.take(), true),
        preserve_request_id: std::mem::take(&mut one.preserve_external_request_id),
        paths,
        underscores: common.underscores,
        proxy_continue: std::mem::take(&mut one.proxy_100_continue),
        strip_host_port: std::mem::take(&mut one.strip_matching_host_port) || strip_any,
        accept_http10: http1_options(one.http_protocol_options.take()).at("http_protocol_options")?,
        upgrades,
        stream_idle_timeout: duration_or(one.stream_idle_timeout.take(), Duration::from_secs(300))
            .at("stream_idle_timeout")?,
        idle_timeout: common.idle_timeout,
        request_timeout: duration_or(one.request_timeout.take(), Duration::ZERO).at("request_timeout")?,
        request_headers_timeout: duration_or(one.request_headers_timeout.take(), Duration::ZERO)
            .at("request_headers_timeout")?,
        drain_timeout: duration_or(one.drain_timeout.take(), Duration::from_secs(5)).at("drain_timeout")?,
        max_connection_duration: common.max_duration,
        delayed_close: duration_or(one.delayed_close_timeout.take(), Duration::from_secs(1))
            .at("delayed_close_timeout")?,
        max_request_head: number(one.max_request_headers_kb.take(), 60) as usize * 1024,
        max_request_headers: common.max_headers,
        h2: downstream_h2(h2_options(one.http2_protocol_options.take())).at("http2_protocol_options")?,
    };
    done(&one)?;
    Ok(chain)
}

/// Without a runtime, what the implementation chooses is to keep escaped slashes.
fn path_rules(one: &mut hcm::HttpConnectionManager) -> PathRules {
    use m::PathWithEscapedSlashesAction as E;
    let escaped_slashes = match one.path_with_escaped_slashes_action() {
        E::ImplementationSpecificDefault | E::KeepUnchanged => EscapedSlashes::Keep,
        E::RejectRequest => EscapedSlashes::Reject,
        E::UnescapeAndRedirect => EscapedSlashes::Redirect,
        E::UnescapeAndForward => EscapedSlashes::Forward,
    };
    one.path_with_escaped_slashes_action = 0;
    PathRules {
        normalize: flag(one.normalize_path.take(), false),
        merge_slashes: std::mem::take(&mut one.merge_slashes),
        escaped_slashes,
    }
}

fn routes(
    other: Option<m::RouteSpecifier>,
    inline: &[&[u8]],
    slots: &mut Slots,
) -> Lower<(RouteSource, Arc<str>)> {
    match other {
        None if !inline.is_empty() => {
            // Parts of a message make the message.
            let part = super::route::table(&inline.concat(), "", slots).at("route_config")?;
            if part.vhds {
                return refuse("route_config.vhds", "an inline route configuration cannot have vhds");
            }
            let name = part.table.name.clone();
            Ok((RouteSource::Inline(Arc::new(part.table)), name))
        }
        Some(_) if !inline.is_empty() => refuse("route_config", "excludes other sources of routes"),
        // Taken out above.
        Some(m::RouteSpecifier::RouteConfig(_)) => refuse("route_config", "is no message"),
        Some(m::RouteSpecifier::Rds(rds)) => {
            use core::config_source::ConfigSourceSpecifier as S;
            match rds.config_source.and_then(|source| source.config_source_specifier) {
                Some(S::Path(_) | S::PathConfigSource(_)) => {
                    refuse("rds.config_source", "routes from files are not supported")
                }
                _ => {
                    Ok((RouteSource::Named(slots.route(&rds.route_config_name)), text(rds.route_config_name)))
                }
            }
        }
        Some(m::RouteSpecifier::ScopedRoutes(_)) => refuse("scoped_routes", "not supported by this proxy"),
        None => refuse("route_specifier", "missing"),
    }
}

/// What connection managers and clusters have in common.
pub(super) struct CommonOptions {
    pub(super) idle_timeout: Duration,
    pub(super) max_duration: Duration,
    pub(super) max_headers: usize,
    pub(super) max_requests: u32,
    /// Of requests; clusters do not look at it, as Envoy's do not.
    pub(super) underscores: Underscores,
}

pub(super) fn common_options(options: Option<core::HttpProtocolOptions>) -> Lower<CommonOptions> {
    let mut options = options.unwrap_or_default();
    use core::http_protocol_options::HeadersWithUnderscoresAction as U;
    let underscores = match options.headers_with_underscores_action() {
        U::Allow => Underscores::Keep,
        U::RejectRequest => Underscores::Reject,
        U::DropHeader => Underscores::Drop,
    };
    options.headers_with_underscores_action = 0;
    let lowered = CommonOptions {
        idle_timeout: duration_or(options.idle_timeout.take(), Duration::from_secs(3600))
            .at("idle_timeout")?,
        max_duration: duration_or(options.max_connection_duration.take(), Duration::ZERO)
            .at("max_connection_duration")?,
        max_headers: number(options.max_headers_count.take(), 100) as usize,
        max_requests: number(options.max_requests_per_connection.take(), 0),
        underscores,
    };
    done(&options)?;
    Ok(lowered)
}

/// `accept_http_10`; trailers and absolute URLs are always understood.
fn http1_options(options: Option<core::Http1ProtocolOptions>) -> Lower<bool> {
    let mut options = options.unwrap_or_default();
    harmless!(options; allow_absolute_url, enable_trailers, use_balsa_parser);
    let accept = std::mem::take(&mut options.accept_http_10);
    done(&options)?;
    Ok(accept)
}

fn client_cert(one: &mut hcm::HttpConnectionManager) -> Lower<ForwardClientCert> {
    let mode = match one.forward_client_cert_details() {
        m::ForwardClientCertDetails::Sanitize => Xfcc::Sanitize,
        m::ForwardClientCertDetails::ForwardOnly => Xfcc::ForwardOnly,
        m::ForwardClientCertDetails::AppendForward => Xfcc::AppendForward,
        m::ForwardClientCertDetails::SanitizeSet => Xfcc::SanitizeSet,
        m::ForwardClientCertDetails::AlwaysForwardOnly => Xfcc::AlwaysForwardOnly,
    };
    one.forward_client_cert_details = 0;
    let mut details = one.set_current_client_cert_details.take().unwrap_or_default();
    let lowered = ForwardClientCert {
        mode,
        subject: flag(details.subject.take(), false),
        uri: std::mem::take(&mut details.uri),
        dns: std::mem::take(&mut details.dns),
        cert: std::mem::take(&mut details.cert),
        chain: std::mem::take(&mut details.chain),
    };
    done(&details).at("set_current_client_cert_details")?;
    Ok(lowered)
}

/// `None`: switched off here.
fn upgrade(mut config: m::UpgradeConfig) -> Lower<Option<Arc<str>>> {
    let name = std::mem::take(&mut config.upgrade_type).to_ascii_lowercase();
    let enabled = flag(config.enabled.take(), true);
    done(&config)?;
    Ok(enabled.then(|| text(name)))
}

/// `None`: nothing collects spans.
fn tracing(mut one: m::Tracing) -> Lower<Option<Tracing>> {
    harmless!(one; verbose, client_sampling);
    let percent =
        |value: Option<wire::pb::envoy::r#type::v3::Percent>| value.map_or(100.0, |value| value.value);
    let sampling = percent(one.random_sampling.take()) * percent(one.overall_sampling.take());
    let custom = std::mem::take(&mut one.custom_tags).into_iter().enumerate();
    let custom =
        custom.map(|(index, tag)| custom_tag(tag).item("custom_tags", index)).collect::<Lower<_>>()?;
    if !flag(one.spawn_upstream_span, false) {
        harmless!(one; spawn_upstream_span);
    }
    let max_path_len = number(one.max_path_tag_length.take(), 256) as usize;
    let provider = one.provider.take();
    done(&one)?;
    let Some(provider) = provider else { return Ok(None) };
    let Some(trace::tracing::http::ConfigType::TypedConfig(any)) = provider.config_type else {
        return refuse("provider", format!("{} has no typed_config", provider.name));
    };
    if type_name(&any.type_url) != "envoy.config.trace.v3.ZipkinConfig" {
        return refuse("provider", format!("{} is not supported", type_name(&any.type_url)));
    }
    let mut zipkin: trace::ZipkinConfig = unpack(&any).at("provider")?;
    // Client and server spans are always separate; JSON is all that is spoken.
    if zipkin.collector_endpoint_version() == trace::zipkin_config::CollectorEndpointVersion::HttpJson {
        zipkin.collector_endpoint_version = 0;
    }
    if !flag(zipkin.shared_span_context, true) {
        zipkin.shared_span_context = None;
    }
    let cluster = text(std::mem::take(&mut zipkin.collector_cluster));
    let path = text(std::mem::take(&mut zipkin.collector_endpoint));
    let hostname = Some(std::mem::take(&mut zipkin.collector_hostname)).filter(|name| !name.is_empty());
    let trace_id_128bit = std::mem::take(&mut zipkin.trace_id_128bit);
    done(&zipkin).at("provider.typed_config")?;
    Ok(Some(Tracing {
        hostname: hostname.map_or_else(|| cluster.clone(), text),
        cluster,
        path: if path.is_empty() { "/api/v2/spans".into() } else { path },
        sampling: sampling.round().clamp(0.0, 10_000.0) as u32,
        trace_id_128bit,
        tags: custom,
        max_path_len,
    }))
}

fn custom_tag(tag: tags::CustomTag) -> Lower<(Arc<str>, TagValue)> {
    use tags::custom_tag::Type as T;
    let value = match tag.r#type {
        Some(T::Literal(literal)) => TagValue::Literal(text(literal.value)),
        Some(T::RequestHeader(header)) => TagValue::Header {
            name: text(header.name.to_ascii_lowercase()),
            default: text(header.default_value),
        },
        Some(other) => {
            let rest = tags::CustomTag { tag: String::new(), r#type: Some(other) };
            return done(&rest).map(|()| unreachable!("the type is set"));
        }
        None => return refuse("type", "missing"),
    };
    Ok((text(tag.tag), value))
}
