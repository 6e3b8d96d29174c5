//! HTTP filters of a chain, and their overlays on routes. Unknown filters are refused by name.
//!
//! In: the HTTP filters of a connection manager; `typed_per_filter_config` of routes. Out: `filter::Filter`s, and
//! overlays. Istio's own filters are read from TypedStructs and from their typed forms.

use std::collections::HashMap;
use std::sync::Arc;

use prost::{Message, Name};
use serde_json::{Map, Value};
use wire::pb::envoy::config::route::v3 as route;
use wire::pb::envoy::extensions::filters::common::fault::v3 as delays;
use wire::pb::envoy::extensions::filters::http::{
    cors::v3 as cors, fault::v3 as fault, router::v3 as router,
};
use wire::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use wire::pb::google::protobuf as google;

use super::read::{
    At, Lower, Refusal, done, duration, flag, harmless, parts, refuse, runtime_parts, text, type_name, unpack,
};
use super::text::{headers, string};
use crate::filter::{AlpnOverride, Cors, Fault, Filter, PeerMetadata};

const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
const CORS_POLICY: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";

/// What the router says of the whole chain.
pub(super) struct Router {
    pub(super) suppress_envoy_headers: bool,
}

/// The filters of a chain, without the router, which must be the last.
pub(super) fn filters(list: Vec<hcm::HttpFilter>) -> Lower<(Vec<Filter>, Router)> {
    let mut filters = Vec::new();
    let count = list.len();
    for (index, filter) in list.into_iter().enumerate() {
        match http_filter(filter).item("http_filters", index)? {
            Step::Filter(filter) => filters.push(filter),
            Step::Router(router) if index + 1 == count => return Ok((filters, router)),
            Step::Router(_) => {
                return refuse(format!("http_filters[{index}]"), "the router must be the last filter");
            }
            Step::Nothing => {}
        }
    }
    refuse("http_filters", "the last filter must be envoy.filters.http.router")
}

enum Step {
    Filter(Filter),
    Router(Router),
    /// A filter that has nothing to do in this proxy.
    Nothing,
}

fn http_filter(mut filter: hcm::HttpFilter) -> Lower<Step> {
    let optional = std::mem::take(&mut filter.is_optional);
    let name = std::mem::take(&mut filter.name);
    let any = match filter.config_type.take() {
        Some(hcm::http_filter::ConfigType::TypedConfig(any)) => any,
        Some(hcm::http_filter::ConfigType::ConfigDiscovery(_)) => {
            return refuse(
                "config_discovery",
                format!("filter {name}: extension discovery is not supported"),
            );
        }
        None => return refuse("typed_config", format!("filter {name} has no typed_config")),
    };
    done(&filter)?;
    match known(&any).at("typed_config")? {
        Some(step) => Ok(step),
        None if optional => {
            tracing::warn!(filter = name, "optional HTTP filter is not supported and left out");
            Ok(Step::Nothing)
        }
        None => refuse("", format!("HTTP filter {name} ({}) is not supported", type_name(&any.type_url))),
    }
}

fn known(any: &google::Any) -> Lower<Option<Step>> {
    let filter = match type_name(&any.type_url) {
        "envoy.extensions.filters.http.router.v3.Router" => {
            let mut config: router::Router = unpack(any)?;
            harmless!(config; dynamic_stats, start_child_span, respect_expected_rq_timeout);
            harmless!(config; suppress_grpc_request_failure_code_stats, reject_connect_request_early_data);
            let suppress_envoy_headers = std::mem::take(&mut config.suppress_envoy_headers);
            done(&config)?;
            return Ok(Some(Step::Router(Router { suppress_envoy_headers })));
        }
        FAULT => Filter::Fault(fault_filter(any)?),
        "envoy.extensions.filters.http.cors.v3.Cors" => {
            done(&unpack::<cors::Cors>(any)?)?;
            Filter::Cors
        }
        RBAC => match super::rbac::rules(any)? {
            Some(rules) => Filter::Rbac(Arc::new(rules)),
            None => return Ok(Some(Step::Nothing)),
        },
        // Message counts are always taken here, its options only name further metrics.
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig" => Filter::GrpcStats,
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig" => {
            Filter::Alpn(Arc::new(alpn_message(any)?))
        }
        name if is_typed_struct(name) => return struct_filter(any).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(Step::Filter(filter)))
}

pub(super) fn is_typed_struct(name: &str) -> bool {
    wire::structs::TypedStruct::TYPE_URLS.iter().any(|url| type_name(url) == name)
}

/// Type and value of a `TypedStruct`.
pub(super) fn typed_struct(any: &google::Any) -> Lower<(String, Map<String, Value>)> {
    let value = wire::structs::TypedStruct::decode(any.value.as_slice())
        .map_err(|error| Refusal::new(format!("TypedStruct does not decode: {error}")))?;
    let map = value.value.as_ref().map(wire::structs::to_map).unwrap_or_default();
    Ok((type_name(&value.type_url).to_owned(), map))
}

fn struct_filter(any: &google::Any) -> Lower<Step> {
    let (name, value) = typed_struct(any)?;
    let filter = match name.as_str() {
        "io.istio.http.peer_metadata.Config" => {
            Filter::PeerMetadata(Arc::new(peer_metadata(&value).at("value")?))
        }
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig" => {
            Filter::Alpn(Arc::new(alpn_struct(&value).at("value")?))
        }
        "stats.PluginConfig" => Filter::Stats { server: stats_server(&value).at("value")? },
        name => return Err(Refusal::new(format!("HTTP filter of type {name} is not supported"))),
    };
    Ok(Step::Filter(filter))
}

/// `reporter` of `stats.PluginConfig`; true for a gateway that reports as a server.
pub(super) fn stats_server(value: &Map<String, Value>) -> Lower<bool> {
    let mut server = false;
    for (key, value) in value {
        match (key.as_str(), value.as_str()) {
            ("reporter", Some("SERVER_GATEWAY")) => server = true,
            ("reporter", _) => {}
            // Housekeeping of Istio's own implementation.
            (
                "disable_host_header_fallback"
                | "tcp_reporting_duration"
                | "rotation_interval"
                | "graceful_deletion_interval",
                _,
            ) => {}
            _ => return refuse(key, "not supported by this proxy"),
        }
    }
    Ok(server)
}

fn peer_metadata(value: &Map<String, Value>) -> Lower<PeerMetadata> {
    let mut config = PeerMetadata::default();
    for (key, methods) in value {
        let field = match key.as_str() {
            "downstream_discovery" => &mut config.downstream_discovery,
            "upstream_discovery" => &mut config.upstream_discovery,
            "downstream_propagation" => &mut config.downstream_propagation,
            "upstream_propagation" => &mut config.upstream_propagation,
            "shared_with_upstream" if methods.as_bool() == Some(false) => continue,
            _ => return refuse(key, "not supported by this proxy"),
        };
        for (index, method) in methods.as_array().into_iter().flatten().enumerate() {
            let name = method.as_object().and_then(|map| map.keys().next());
            match name.map(String::as_str) {
                Some("istio_headers") => *field = true,
                // The address table is asked wherever headers say nothing.
                Some("workload_discovery") => {}
                other => {
                    return refuse(format!("{key}[{index}]"), format!("method {other:?} is not supported"));
                }
            }
        }
    }
    Ok(config)
}

fn alpn_struct(value: &Map<String, Value>) -> Lower<AlpnOverride> {
    let mut over = AlpnOverride::default();
    for (key, list) in value {
        if key != "alpn_override" {
            return refuse(key, "not supported by this proxy");
        }
        for one in list.as_array().into_iter().flatten() {
            let protocol = one.get("upstream_protocol").and_then(Value::as_str).unwrap_or("HTTP10");
            let names = one.get("alpn_override").and_then(Value::as_array).into_iter().flatten();
            let names = names.filter_map(Value::as_str).map(Arc::from).collect();
            match protocol {
                "HTTP10" => over.http10 = names,
                "HTTP11" => over.http11 = names,
                "HTTP2" => over.http2 = names,
                other => return refuse("alpn_override", format!("upstream_protocol {other} is not known")),
            }
        }
    }
    Ok(over)
}

/// `istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig`, as Istio's own control plane sends it.
#[derive(Clone, PartialEq, prost::Message)]
struct AlpnConfig {
    #[prost(message, repeated, tag = "1")]
    alpn_override: Vec<AlpnEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AlpnEntry {
    /// 0: HTTP/1.0, 1: HTTP/1.1, 2: HTTP/2.
    #[prost(int32, tag = "1")]
    upstream_protocol: i32,
    #[prost(string, repeated, tag = "2")]
    alpn_override: Vec<String>,
}

fn alpn_message(any: &google::Any) -> Lower<AlpnOverride> {
    let config = AlpnConfig::decode(any.value.as_slice()).map_err(|error| Refusal::new(error.to_string()))?;
    let mut over = AlpnOverride::default();
    for entry in config.alpn_override {
        let names = entry.alpn_override.into_iter().map(text).collect();
        match entry.upstream_protocol {
            0 => over.http10 = names,
            1 => over.http11 = names,
            2 => over.http2 = names,
            other => return refuse("alpn_override", format!("upstream_protocol {other} is not known")),
        }
    }
    Ok(over)
}

/// What a route, share or virtual host lays over the chain's filters.
#[derive(Default)]
pub(super) struct Overlay {
    pub(super) fault: Option<Arc<Fault>>,
    pub(super) cors: Option<Arc<Cors>>,
}

/// `typed_per_filter_config`.
pub(super) fn overlay(map: HashMap<String, google::Any>) -> Lower<Overlay> {
    let mut overlay = Overlay::default();
    for (filter, any) in map {
        let field = format!("typed_per_filter_config.{filter}");
        let Some(any) = unwrap_filter_config(any).at(&field)? else { continue };
        match type_name(&any.type_url) {
            FAULT => overlay.fault = fault_filter(&any).at(&field)?,
            CORS_POLICY => overlay.cors = Some(Arc::new(cors_policy(unpack(&any)?).at(&field)?)),
            name => return refuse(field, format!("{name} is not supported")),
        }
    }
    Ok(overlay)
}

/// `envoy.config.route.v3.FilterConfig` around the configuration proper; `None` for an optional one without content.
fn unwrap_filter_config(any: google::Any) -> Lower<Option<google::Any>> {
    if type_name(&any.type_url) != route::FilterConfig::full_name() {
        return Ok(Some(any));
    }
    let mut wrapper: route::FilterConfig = unpack(&any)?;
    let inner = wrapper.config.take();
    harmless!(wrapper; is_optional);
    done(&wrapper)?;
    Ok(inner)
}

fn fault_filter(any: &google::Any) -> Lower<Option<Arc<Fault>>> {
    let mut config: fault::HttpFault = unpack(any)?;
    // Only a metric less.
    harmless!(config; disable_downstream_cluster_stats);
    let mut fault = Fault {
        delay: None,
        abort_status: None,
        abort_grpc: None,
        headers: headers(std::mem::take(&mut config.headers), "headers")?,
        upstream_cluster: Some(std::mem::take(&mut config.upstream_cluster))
            .filter(|name| !name.is_empty())
            .map(text),
    };
    if let Some(mut delay) = config.delay.take() {
        let parts = delay.percentage.take().map_or(0, |percentage| parts(&percentage));
        match delay.fault_delay_secifier.take() {
            Some(delays::fault_delay::FaultDelaySecifier::FixedDelay(fixed)) => {
                fault.delay = Some((duration(&fixed).at("delay.fixed_delay")?, parts));
            }
            Some(delays::fault_delay::FaultDelaySecifier::HeaderDelay(_)) => {
                return refuse("delay.header_delay", "not supported by this proxy");
            }
            None => {}
        }
        done(&delay).at("delay")?;
    }
    if let Some(mut abort) = config.abort.take() {
        let parts = abort.percentage.take().map_or(0, |percentage| parts(&percentage));
        match abort.error_type.take() {
            Some(fault::fault_abort::ErrorType::HttpStatus(status)) => {
                fault.abort_status = Some((super::action::status(status).at("abort.http_status")?, parts));
            }
            Some(fault::fault_abort::ErrorType::GrpcStatus(code)) => {
                fault.abort_grpc = Some((u16::try_from(code).unwrap_or(2), parts));
            }
            Some(fault::fault_abort::ErrorType::HeaderAbort(_)) => {
                return refuse("abort.header_abort", "not supported by this proxy");
            }
            None => {}
        }
        done(&abort).at("abort")?;
    }
    done(&config)?;
    let active = fault.delay.is_some() || fault.abort_status.is_some() || fault.abort_grpc.is_some();
    Ok(active.then(|| Arc::new(fault)))
}

fn cors_policy(mut policy: cors::CorsPolicy) -> Lower<Cors> {
    let origins = std::mem::take(&mut policy.allow_origin_string_match);
    let origins =
        origins.into_iter().enumerate().map(|(i, one)| string(one).item("allow_origin_string_match", i));
    let cors = Cors {
        origins: origins.collect::<Lower<_>>()?,
        allow_methods: text(std::mem::take(&mut policy.allow_methods)),
        allow_headers: text(std::mem::take(&mut policy.allow_headers)),
        expose_headers: text(std::mem::take(&mut policy.expose_headers)),
        max_age: text(std::mem::take(&mut policy.max_age)),
        allow_credentials: flag(policy.allow_credentials.take(), false),
        forward_not_matching_preflights: flag(policy.forward_not_matching_preflights.take(), true),
        enabled: policy.filter_enabled.take().map_or(1_000_000, |enabled| runtime_parts(&enabled, 1_000_000)),
    };
    done(&policy)?;
    Ok(cors)
}

/// The old place of the policy, on virtual hosts and routes.
pub(super) fn cors_field(mut policy: route::CorsPolicy) -> Lower<Cors> {
    let enabled = policy
        .enabled_specifier
        .take()
        .map(|route::cors_policy::EnabledSpecifier::FilterEnabled(enabled)| enabled);
    cors_policy(cors::CorsPolicy {
        allow_origin_string_match: policy.allow_origin_string_match,
        allow_methods: policy.allow_methods,
        allow_headers: policy.allow_headers,
        expose_headers: policy.expose_headers,
        max_age: policy.max_age,
        allow_credentials: policy.allow_credentials,
        filter_enabled: enabled,
        shadow_enabled: policy.shadow_enabled,
        allow_private_network_access: policy.allow_private_network_access,
        forward_not_matching_preflights: policy.forward_not_matching_preflights,
    })
}
