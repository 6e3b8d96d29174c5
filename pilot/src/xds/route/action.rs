//! What a route does: forward (to one cluster or by weight), redirect, respond; and what rides along with it:
//! header edits, rewrites, mirrors, faults, cross-origin rules.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route::Action as PbAction;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HashPolicy, HostRewriteSpecifier, RequestMirrorPolicy, hash_policy,
};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{ClusterWeight, cluster_weight};
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RedirectAction, Route, RouteAction, WeightedCluster, route_action,
};
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::{
    FaultDelay, fault_delay::FaultDelaySecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::{
    FaultAbort, HttpFault, fault_abort::ErrorType,
};
use envoy_types::pb::google::protobuf::Any;

use super::edits::{Lists, lists};
use super::host::{Host, Placed};
use super::retry;
use crate::model::policy::{HashBalance, HashKey};
use crate::model::routes::route::{Abort, Action, Cors, Fault, Redirect, RedirectPort, Rewrite, Split};
use crate::xds::filters::{CORS, FAULT};
use crate::xds::proto::{
    any, boolean, duration, fraction, runtime_fraction, secs, string_matcher, substitute, uint32,
};

/// Fills the action of a route, and its header lists.
pub(super) fn fill(route: &mut Route, placed: &Placed, host: &Host) {
    let rule = &*placed.rule;
    let request = lists(&rule.headers.request);
    let response = lists(&rule.headers.response);
    let authority = request.authority.clone();
    extend(route, request, response);
    route.action = Some(match &rule.action {
        Action::Redirect(redirect_to) => PbAction::Redirect(redirect(redirect_to, host.port)),
        Action::Respond { status, body } => PbAction::DirectResponse(respond(*status, body.clone())),
        Action::Broken => PbAction::DirectResponse(respond(503, b"no usable destination".to_vec())),
        Action::Forward(splits) => {
            let mut forward = forward(placed, host);
            if let Some(value) = authority {
                forward.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(value));
            }
            if let Some(rewrite) = &rule.rewrite {
                apply_rewrite(&mut forward, rewrite);
            }
            targets(route, &mut forward, splits, placed);
            PbAction::Route(forward)
        }
    });
    route.typed_per_filter_config = per_filter(rule.fault.as_ref(), rule.cors.as_ref());
}

fn extend(route: &mut Route, request: Lists, response: Lists) {
    route.request_headers_to_add.extend(request.add);
    route.request_headers_to_remove.extend(request.remove);
    route.response_headers_to_add.extend(response.add);
    route.response_headers_to_remove.extend(response.remove);
}

/// A forwarding action without its cluster.
fn forward(placed: &Placed, host: &Host) -> RouteAction {
    let rule = &*placed.rule;
    let default = host.retries.clone().unwrap_or_else(retry::default_retries);
    RouteAction {
        timeout: Some(rule.timeout.map_or_else(|| secs(0), duration)),
        retry_policy: retry::policy(rule.retries.as_ref().unwrap_or(&default), placed.hash.is_some()),
        request_mirror_policies: rule
            .mirrors
            .iter()
            .zip(&placed.mirrors)
            .map(|(mirror, cluster)| RequestMirrorPolicy {
                cluster: cluster.clone(),
                runtime_fraction: Some(runtime_fraction(mirror.share)),
                trace_sampled: Some(boolean(false)),
                disable_shadow_host_suffix_append: true,
                ..Default::default()
            })
            .collect(),
        hash_policy: placed.hash.iter().map(hash_policy).collect(),
        ..Default::default()
    }
}

/// A forwarding action to one cluster, with defaults for everything else.
pub(super) fn forward_plain(cluster: &str, hash: Option<&HashBalance>, host: &Host) -> RouteAction {
    let default = host.retries.clone().unwrap_or_else(retry::default_retries);
    RouteAction {
        timeout: Some(secs(0)),
        retry_policy: retry::policy(&default, hash.is_some()),
        hash_policy: hash.map(hash_policy).into_iter().collect(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    }
}

/// One destination gets everything whatever its weight; of several, those without weight get nothing.
fn targets(route: &mut Route, forward: &mut RouteAction, splits: &[Split], placed: &Placed) {
    if let [only] = splits {
        let (request, response) = (lists(&only.headers.request), lists(&only.headers.response));
        if let Some(value) = request.authority.clone() {
            forward.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(value));
        }
        extend(route, request, response);
        forward.cluster_specifier = Some(ClusterSpecifier::Cluster(placed.targets[0].clone()));
        return;
    }
    let nothing = splits.iter().all(|s| s.weight == 0);
    let clusters = splits
        .iter()
        .zip(&placed.targets)
        .filter(|(split, _)| nothing || split.weight > 0)
        .map(|(split, cluster)| {
            let (request, response) = (lists(&split.headers.request), lists(&split.headers.response));
            ClusterWeight {
                name: cluster.clone(),
                weight: Some(uint32(if nothing { 1 } else { split.weight })),
                host_rewrite_specifier: request
                    .authority
                    .map(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral),
                request_headers_to_add: request.add,
                request_headers_to_remove: request.remove,
                response_headers_to_add: response.add,
                response_headers_to_remove: response.remove,
                ..Default::default()
            }
        })
        .collect();
    forward.cluster_specifier =
        Some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters, ..Default::default() }));
}

fn apply_rewrite(forward: &mut RouteAction, rewrite: &Rewrite) {
    if let Some((pattern, replacement)) = &rewrite.regex {
        forward.regex_rewrite = Some(substitute(pattern, replacement));
    } else {
        forward.prefix_rewrite.clone_from(&rewrite.uri);
    }
    if !rewrite.authority.is_empty() {
        forward.host_rewrite_specifier =
            Some(HostRewriteSpecifier::HostRewriteLiteral(rewrite.authority.clone()));
    }
}

fn redirect(from: &Redirect, port: u16) -> RedirectAction {
    let code = match from.code {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    let path = if !from.prefix.is_empty() {
        Some(PathRewriteSpecifier::PrefixRewrite(from.prefix.clone()))
    } else if !from.uri.is_empty() {
        Some(PathRewriteSpecifier::PathRedirect(from.uri.clone()))
    } else {
        None
    };
    RedirectAction {
        host_redirect: from.authority.clone(),
        port_redirect: match from.port {
            RedirectPort::Number(number) => number.into(),
            RedirectPort::ByRequest => port.into(),
            RedirectPort::Unset | RedirectPort::ByProtocol => 0,
        },
        response_code: code as i32,
        scheme_rewrite_specifier: (!from.scheme.is_empty())
            .then(|| SchemeRewriteSpecifier::SchemeRedirect(from.scheme.clone())),
        path_rewrite_specifier: path,
        ..Default::default()
    }
}

/// An answer of the proxy itself.
pub(super) fn respond(status: u16, body: Vec<u8>) -> DirectResponseAction {
    let body = match String::from_utf8(body) {
        Ok(text) if text.is_empty() => None,
        Ok(text) => Some(Specifier::InlineString(text)),
        Err(bytes) => Some(Specifier::InlineBytes(bytes.into_bytes())),
    };
    DirectResponseAction {
        status: status.into(),
        body: body.map(|specifier| DataSource { specifier: Some(specifier), ..Default::default() }),
        body_format: None,
    }
}

fn hash_policy(balance: &HashBalance) -> HashPolicy {
    use hash_policy::PolicySpecifier;
    let specifier = match &balance.key {
        HashKey::Header(name) => {
            PolicySpecifier::Header(hash_policy::Header { header_name: name.clone(), ..Default::default() })
        }
        HashKey::Cookie { name, path, ttl, attributes } => PolicySpecifier::Cookie(hash_policy::Cookie {
            name: name.clone(),
            ttl: ttl.map(duration),
            path: path.clone(),
            attributes: attributes
                .iter()
                .map(|(name, value)| hash_policy::CookieAttribute {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        }),
        HashKey::SourceIp => {
            PolicySpecifier::ConnectionProperties(hash_policy::ConnectionProperties { source_ip: true })
        }
        HashKey::Query(name) => {
            PolicySpecifier::QueryParameter(hash_policy::QueryParameter { name: name.clone() })
        }
    };
    route_action::HashPolicy { terminal: false, policy_specifier: Some(specifier) }
}

fn per_filter(fault: Option<&Fault>, cors: Option<&Cors>) -> HashMap<String, Any> {
    let mut out = HashMap::new();
    out.extend(fault.map(|fault| (FAULT.to_owned(), any(&fault_config(fault)))));
    out.extend(cors.map(|cors| (CORS.to_owned(), any(&cors_config(cors)))));
    out
}

fn fault_config(fault: &Fault) -> HttpFault {
    HttpFault {
        delay: fault.delay.map(|(time, share)| FaultDelay {
            percentage: Some(fraction(share)),
            fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(duration(time))),
        }),
        abort: fault.abort.map(|(abort, share)| FaultAbort {
            percentage: Some(fraction(share)),
            error_type: Some(match abort {
                Abort::Http(status) => ErrorType::HttpStatus(status.into()),
                Abort::Grpc(code) => ErrorType::GrpcStatus(code),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn cors_config(cors: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: cors.origins.iter().map(|text| string_matcher(text, false)).collect(),
        allow_methods: cors.methods.join(","),
        allow_headers: cors.headers.join(","),
        expose_headers: cors.expose.join(","),
        max_age: cors.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: cors.credentials.map(boolean),
        forward_not_matching_preflights: cors.forward_unmatched.map(boolean),
        ..Default::default()
    }
}
