//! What a route does: forward, redirect, respond; with retries, mirrors, hashes and rewrites.
//!
//! In: a RouteAction, Redirect or DirectResponse. Out: `config::Action`, clusters as slots. Called by `route` for each
//! rule.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::config::route::v3 as route;

use super::filter::overlay;
use super::headers::{operations, take_lists};
use super::read::{
    At, Lower, Refusal, done, duration, duration_or, flag, harmless, refuse, runtime_parts, text,
};
use super::retry::retry_policy;
use super::slots::Slots;
use super::text::{header_name, substitution};
use crate::config::{
    Action, Forward, HashPolicy, HostRewrite, Mirror, PathRewrite, Redirect, RetryPolicy, Rewrite, Split,
    Target,
};

/// What actions take from the places around them.
pub(super) struct ActionContext {
    pub(super) max_body: u32,
    /// Of the virtual host, for routes that have none.
    pub(super) retry: Option<Arc<RetryPolicy>>,
}

pub(super) fn action(
    action: route::route::Action,
    context: &ActionContext,
    slots: &mut Slots,
) -> Lower<Action> {
    use route::route::Action as A;
    match action {
        A::Route(one) => Ok(Action::Forward(Arc::new(forward(one, context, slots).at("route")?))),
        A::Redirect(one) => Ok(Action::Redirect(redirect(one).at("redirect")?)),
        A::DirectResponse(one) => respond(one, context.max_body).at("direct_response"),
        A::FilterAction(_) => refuse("filter_action", "not supported by this proxy"),
        // What a gRPC server does with its own requests; as a proxy there is nothing to forward to.
        A::NonForwardingAction(_) => {
            Ok(Action::Respond { status: StatusCode::NOT_FOUND, body: bytes::Bytes::new() })
        }
    }
}

/// A status between 100 and 599.
pub(super) fn status(code: u32) -> Lower<StatusCode> {
    let parsed = u16::try_from(code).ok().filter(|code| (200..600).contains(code));
    parsed
        .and_then(|code| StatusCode::from_u16(code).ok())
        .map_or_else(|| Err(Refusal::new(format!("{code} is no status of a response"))), Ok)
}

fn respond(mut one: route::DirectResponseAction, max_body: u32) -> Lower<Action> {
    let status = status(std::mem::take(&mut one.status)).at("status")?;
    let body = one.body.take().map(super::read::inline).transpose().at("body")?.unwrap_or_default();
    done(&one)?;
    if body.len() > max_body as usize {
        return refuse("body", format!("{} bytes, at most {max_body} are allowed", body.len()));
    }
    Ok(Action::Respond { status, body: body.into() })
}

fn redirect(mut one: route::RedirectAction) -> Lower<Redirect> {
    use route::redirect_action::{
        PathRewriteSpecifier as P, RedirectResponseCode as C, SchemeRewriteSpecifier as S,
    };
    let status = match one.response_code() {
        C::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
        C::Found => StatusCode::FOUND,
        C::SeeOther => StatusCode::SEE_OTHER,
        C::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
        C::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
    };
    one.response_code = 0;
    let (scheme, https) = match one.scheme_rewrite_specifier.take() {
        None => (None, false),
        Some(S::HttpsRedirect(https)) => (None, https),
        Some(S::SchemeRedirect(scheme)) => (Some(text(scheme)), false),
    };
    let path = match one.path_rewrite_specifier.take() {
        None => PathRewrite::Keep,
        Some(P::PathRedirect(path)) => PathRewrite::Full(text(path)),
        Some(P::PrefixRewrite(prefix)) => PathRewrite::Prefix(text(prefix)),
        Some(P::RegexRewrite(rewrite)) => {
            let (regex, with) = substitution(rewrite).at("regex_rewrite")?;
            PathRewrite::Regex(regex, text(with))
        }
        Some(P::PathRewrite(_)) => return refuse("path_rewrite", "not supported by this proxy"),
    };
    let port = match std::mem::take(&mut one.port_redirect) {
        0 => None,
        port => Some(u16::try_from(port).or_else(|_| refuse("port_redirect", format!("{port} is no port")))?),
    };
    let redirect = Redirect {
        status,
        scheme,
        https,
        host: Some(std::mem::take(&mut one.host_redirect)).filter(|host| !host.is_empty()).map(text),
        port,
        path,
        strip_query: std::mem::take(&mut one.strip_query),
    };
    done(&one)?;
    Ok(redirect)
}

fn forward(mut one: route::RouteAction, context: &ActionContext, slots: &mut Slots) -> Lower<Forward> {
    harmless!(one; include_vh_rate_limits, early_data_policy);
    let target = match one.cluster_specifier.take() {
        Some(specifier) => target(specifier, slots)?,
        None => return refuse("cluster_specifier", "a route needs a cluster"),
    };
    let cluster_not_found = match one.cluster_not_found_response_code() {
        route::route_action::ClusterNotFoundResponseCode::ServiceUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        route::route_action::ClusterNotFoundResponseCode::NotFound => StatusCode::NOT_FOUND,
        route::route_action::ClusterNotFoundResponseCode::InternalServerError => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    one.cluster_not_found_response_code = 0;
    let rewrite = rewrite(&mut one)?;
    let retry = one.retry_policy.take().map(retry_policy).transpose().at("retry_policy")?.map(Arc::new);
    let mirrors = std::mem::take(&mut one.request_mirror_policies).into_iter().enumerate();
    let mirrors = mirrors.map(|(index, policy)| mirror(policy, slots).item("request_mirror_policies", index));
    let mirrors = mirrors.collect::<Lower<_>>()?;
    let hash = std::mem::take(&mut one.hash_policy).into_iter().enumerate();
    let hash = hash.filter_map(|(index, policy)| hash_policy(policy).item("hash_policy", index).transpose());
    let hash = hash.collect::<Lower<_>>()?;
    let upgrades = std::mem::take(&mut one.upgrade_configs).into_iter().enumerate();
    let upgrades = upgrades.map(|(index, config)| upgrade(config).item("upgrade_configs", index));
    let upgrades = upgrades.collect::<Lower<_>>()?;
    let forward = Forward {
        target,
        timeout: duration_or(one.timeout.take(), Duration::from_secs(15)).at("timeout")?,
        idle_timeout: one.idle_timeout.take().map(|value| duration(&value)).transpose().at("idle_timeout")?,
        retry: retry.or_else(|| context.retry.clone()),
        rewrite,
        mirrors,
        hash,
        upgrades,
        cluster_not_found,
        grpc_timeout_max: grpc_timeout(&mut one)?,
    };
    done(&one)?;
    Ok(forward)
}

fn grpc_timeout(one: &mut route::RouteAction) -> Lower<Option<Duration>> {
    let old = one.max_grpc_timeout.take().map(|value| duration(&value)).transpose().at("max_grpc_timeout")?;
    let Some(mut limits) = one.max_stream_duration.take() else { return Ok(old) };
    let new = limits.grpc_timeout_header_max.take().map(|value| duration(&value)).transpose();
    // Zero means: no limit.
    if limits.max_stream_duration.as_ref().is_some_and(|value| value.seconds == 0 && value.nanos == 0) {
        limits.max_stream_duration = None;
    }
    done(&limits).at("max_stream_duration")?;
    Ok(new.at("max_stream_duration.grpc_timeout_header_max")?.or(old))
}

fn target(specifier: route::route_action::ClusterSpecifier, slots: &mut Slots) -> Lower<Target> {
    use route::route_action::ClusterSpecifier as C;
    match specifier {
        C::Cluster(name) => Ok(Target::Cluster(slots.cluster(&name))),
        C::ClusterHeader(name) => Ok(Target::Header(header_name(&name).at("cluster_header")?)),
        C::WeightedClusters(clusters) => weighted(clusters, slots).at("weighted_clusters"),
        C::ClusterSpecifierPlugin(_) | C::InlineClusterSpecifierPlugin(_) => {
            refuse("cluster_specifier_plugin", "not supported by this proxy")
        }
    }
}

fn weighted(mut clusters: route::WeightedCluster, slots: &mut Slots) -> Lower<Target> {
    // The sum is taken from the weights; runtime keys could only override them.
    harmless!(clusters; total_weight, runtime_key_prefix);
    let list = std::mem::take(&mut clusters.clusters).into_iter().enumerate();
    let splits =
        list.map(|(index, one)| split(one, slots).item("clusters", index)).collect::<Lower<Vec<_>>>()?;
    done(&clusters)?;
    let total = splits.iter().try_fold(0_u32, |sum, split| sum.checked_add(split.weight));
    match total {
        None => refuse("clusters", "the weights add up to more than 2^32-1"),
        Some(0) => refuse("clusters", "all weights are zero"),
        Some(total) => Ok(Target::Weighted { total, splits }),
    }
}

fn split(mut one: route::weighted_cluster::ClusterWeight, slots: &mut Slots) -> Lower<Split> {
    let overlay = overlay(std::mem::take(&mut one.typed_per_filter_config))?;
    let host_rewrite = one.host_rewrite_specifier.take().map(|specifier| {
        let route::weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host) =
            specifier;
        text(host)
    });
    let name = std::mem::take(&mut one.name);
    let split = Split {
        weight: one.weight.take().map_or(0, |weight| weight.value),
        headers: operations(take_lists!(one))?,
        host_rewrite,
        fault: overlay.fault,
        cors: overlay.cors,
        cluster: slots.cluster(&name),
    };
    done(&one)?;
    if name.is_empty() {
        return refuse("name", "a share needs a cluster");
    }
    Ok(split)
}

fn rewrite(one: &mut route::RouteAction) -> Lower<Rewrite> {
    use route::route_action::HostRewriteSpecifier as H;
    let host = match one.host_rewrite_specifier.take() {
        None => HostRewrite::Keep,
        Some(H::HostRewriteLiteral(host)) => HostRewrite::Literal(text(host)),
        Some(H::AutoHostRewrite(auto)) if auto.value => HostRewrite::Auto,
        Some(H::AutoHostRewrite(_)) => HostRewrite::Keep,
        Some(H::HostRewriteHeader(name)) => {
            HostRewrite::Header(header_name(&name).at("host_rewrite_header")?)
        }
        Some(H::HostRewritePathRegex(_)) => {
            return refuse("host_rewrite_path_regex", "not supported by this proxy");
        }
        Some(H::HostRewrite(_)) => return refuse("host_rewrite", "not supported by this proxy"),
    };
    let prefix = std::mem::take(&mut one.prefix_rewrite);
    let path = match one.regex_rewrite.take() {
        Some(value) => {
            let (regex, with) = substitution(value).at("regex_rewrite")?;
            PathRewrite::Regex(regex, text(with))
        }
        None if prefix.is_empty() => PathRewrite::Keep,
        None => PathRewrite::Prefix(text(prefix)),
    };
    Ok(Rewrite { path, host, append_forwarded_host: std::mem::take(&mut one.append_x_forwarded_host) })
}

fn mirror(mut policy: route::route_action::RequestMirrorPolicy, slots: &mut Slots) -> Lower<Mirror> {
    // Copies are not traced here, sampled or not.
    harmless!(policy; trace_sampled);
    let name = std::mem::take(&mut policy.cluster);
    let fraction = policy.runtime_fraction.take().map_or(1_000_000, |value| parts_of(&value));
    let shadow_suffix = !std::mem::take(&mut policy.disable_shadow_host_suffix_append);
    done(&policy)?;
    Ok(Mirror { cluster: slots.cluster(&name), fraction, shadow_suffix })
}

fn parts_of(value: &core::RuntimeFractionalPercent) -> u32 {
    runtime_parts(value, 1_000_000)
}

/// `None`: a policy that says no (`source_ip: false`).
fn hash_policy(mut policy: route::route_action::HashPolicy) -> Lower<Option<HashPolicy>> {
    use route::route_action::hash_policy::PolicySpecifier as P;
    let hashed = match policy.policy_specifier.take() {
        Some(P::Header(header)) if header.regex_rewrite.is_none() => {
            Some(HashPolicy::Header(header_name(&header.header_name).at("header.header_name")?))
        }
        Some(P::Header(_)) => return refuse("header.regex_rewrite", "not supported by this proxy"),
        Some(P::Cookie(cookie)) => Some(HashPolicy::Cookie {
            name: text(cookie.name),
            ttl: cookie.ttl.map(|ttl| duration(&ttl)).transpose().at("cookie.ttl")?,
            path: text(cookie.path),
            attributes: cookie.attributes.into_iter().map(|one| (text(one.name), text(one.value))).collect(),
        }),
        Some(P::ConnectionProperties(properties)) => properties.source_ip.then_some(HashPolicy::SourceIp),
        Some(P::QueryParameter(query)) => Some(HashPolicy::Query(text(query.name))),
        Some(P::FilterState(_)) => return refuse("filter_state", "not supported by this proxy"),
        None => return Err(Refusal::new("an empty hash policy")),
    };
    done(&policy)?;
    Ok(hashed)
}

fn upgrade(mut config: route::route_action::UpgradeConfig) -> Lower<(Arc<str>, bool)> {
    let name = text(std::mem::take(&mut config.upgrade_type).to_ascii_lowercase());
    let enabled = flag(config.enabled.take(), true);
    done(&config)?;
    Ok((name, enabled))
}
