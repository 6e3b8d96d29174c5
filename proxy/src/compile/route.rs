//! Route configurations, virtual hosts and routes: the match side. What a route does is in `action`.
//!
//! In: RouteConfiguration and VirtualHost messages. Out: a [`RoutePart`] or a virtual host of its own; `link` joins
//! them. Called by `lower`.

use std::sync::Arc;

use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::config::route::v3 as route;

use super::action::{self, ActionContext};
use super::filter::{cors_field, overlay};
use super::headers::{operations, take_lists};
use super::read::{
    At, Lower, Refusal, apart, decode, done, flag, harmless, number, refuse, runtime_parts, text,
};
use super::slots::Slots;
use super::text::{grpc_condition, headers, queries, regex};
use crate::config::{PathMatch, RouteTable, Rule, VirtualHost};
use crate::router::PathIndex;

/// Envoy's limit for bodies of direct responses where the configuration names none.
const MAX_BODY: u32 = 4096;

/// A route configuration without its on-demand virtual hosts.
#[derive(Debug)]
pub struct RoutePart {
    /// With the inline virtual hosts, indexed.
    pub table: RouteTable,
    /// More virtual hosts come by VHDS.
    pub vhds: bool,
}

/// Fields that are taken apart.
const VIRTUAL_HOSTS: u32 = 2;
const ROUTES: u32 = 3;

/// Lowers an encoded route configuration, one route after another.
pub(super) fn table(config: &[u8], version: &str, slots: &mut Slots) -> Lower<RoutePart> {
    let (mut config, hosts) = apart::<route::RouteConfiguration>(config, VIRTUAL_HOSTS)?;
    // Missing clusters fail in place; whether the control plane wanted them checked changes nothing.
    harmless!(config; validate_clusters, metadata);
    let max_body = number(config.max_direct_response_body_size_bytes.take(), MAX_BODY);
    let hosts = hosts.into_iter().enumerate().map(|(index, host)| {
        virtual_host(host, version, max_body, slots).item("virtual_hosts", index).map(Arc::new)
    });
    let hosts = hosts.collect::<Lower<Vec<_>>>()?;
    let mut table = RouteTable {
        name: text(std::mem::take(&mut config.name)),
        hosts,
        ignore_port: std::mem::take(&mut config.ignore_port_in_host_matching),
        headers: operations(take_lists!(config))?,
        version: version.into(),
        ..Default::default()
    };
    let vhds = config.vhds.take().is_some();
    done(&config)?;
    if let Some(domain) = table.index().first() {
        return refuse("virtual_hosts", format!("domain {domain} is in two virtual hosts"));
    }
    Ok(RoutePart { table, vhds })
}

/// Lowers one encoded virtual host, inline or by VHDS.
pub(super) fn virtual_host(
    host: &[u8],
    version: &str,
    max_body: u32,
    slots: &mut Slots,
) -> Lower<VirtualHost> {
    let (mut host, routes) = apart::<route::VirtualHost>(host, ROUTES)?;
    // Virtual clusters only name further metrics; buffers for retries have their own limit here.
    harmless!(host; virtual_clusters, metadata, per_request_buffer_limit_bytes, request_body_buffer_limit);
    let overlay = overlay(std::mem::take(&mut host.typed_per_filter_config))?;
    if overlay.fault.is_some() {
        return refuse(
            "typed_per_filter_config",
            "a fault of a virtual host is not supported: put it on its routes",
        );
    }
    let field = host.cors.take().map(cors_field).transpose().at("cors")?;
    let require_tls = host.require_tls() != route::virtual_host::TlsRequirementType::None;
    host.require_tls = 0;
    let retry = host
        .retry_policy
        .take()
        .map(super::retry::retry_policy)
        .transpose()
        .at("retry_policy")?
        .map(Arc::new);
    let context = ActionContext { max_body, retry: retry.clone() };
    let rules = routes.into_iter().enumerate().map(|(index, one)| {
        decode(one).and_then(|one| rule(one, &context, slots)).item("routes", index).map(Arc::new)
    });
    let rules = rules.collect::<Lower<Vec<_>>>()?;
    let lowered = VirtualHost {
        paths: PathIndex::new(&rules),
        rules,
        name: text(std::mem::take(&mut host.name)),
        domains: std::mem::take(&mut host.domains).into_iter().map(text).collect(),
        headers: operations(take_lists!(host))?,
        attempt_count: std::mem::take(&mut host.include_request_attempt_count),
        attempt_count_in_response: std::mem::take(&mut host.include_attempt_count_in_response),
        require_tls,
        cors: overlay.cors.or(field.map(Arc::new)),
        retry,
        version: version.into(),
    };
    done(&host)?;
    Ok(lowered)
}

fn rule(mut one: route::Route, context: &ActionContext, slots: &mut Slots) -> Lower<Rule> {
    harmless!(one; stat_prefix, per_request_buffer_limit_bytes, request_body_buffer_limit);
    let matches = one.r#match.take().ok_or_else(|| Refusal::new("no match"))?;
    let Matched { path, headers, query, fraction } = matched(matches).at("match")?;
    let overlay = overlay(std::mem::take(&mut one.typed_per_filter_config))?;
    let mut cors = overlay.cors;
    if let Some(route::route::Action::Route(forward)) = &mut one.action
        && let Some(field) = forward.cors.take()
    {
        cors = cors.or(Some(Arc::new(cors_field(field).at("route.cors")?)));
    }
    let action = match one.action.take() {
        Some(action) => action::action(action, context, slots)?,
        None => return refuse("action", "a route needs an action"),
    };
    let metadata = one.metadata.take().unwrap_or_default();
    let named = |filter: &str, key: &str| -> Option<Arc<str>> {
        metadata
            .filter_metadata
            .get(filter)
            .and_then(|data| wire::structs::get_text(data, key))
            .map(Into::into)
    };
    let rule = Rule {
        name: text(std::mem::take(&mut one.name)),
        path,
        headers,
        query,
        fraction,
        action,
        header_ops: operations(take_lists!(one))?,
        fault: overlay.fault,
        cors,
        config: named("istio", "config"),
        origin: named("mesh", "origin"),
        operation: one
            .decorator
            .take()
            .map(|decorator| text(decorator.operation))
            .filter(|name| !name.is_empty()),
    };
    done(&one)?;
    Ok(rule)
}

struct Matched {
    path: PathMatch,
    headers: Vec<crate::config::HeaderMatch>,
    query: Vec<crate::config::QueryMatch>,
    fraction: Option<u32>,
}

fn matched(mut one: route::RouteMatch) -> Lower<Matched> {
    use route::route_match::PathSpecifier as P;
    let ignore_case = !flag(one.case_sensitive.take(), true);
    let path = match one.path_specifier.take() {
        Some(P::Prefix(prefix)) => PathMatch::Prefix { text: text(prefix), ignore_case },
        Some(P::Path(path)) => PathMatch::Exact { text: text(path), ignore_case },
        Some(P::PathSeparatedPrefix(prefix)) => PathMatch::Element { text: text(prefix), ignore_case },
        Some(P::SafeRegex(expression)) => PathMatch::Regex(regex(&expression).at("safe_regex")?),
        Some(P::ConnectMatcher(_)) => PathMatch::Connect,
        Some(P::PathMatchPolicy(policy)) => {
            return refuse("path_match_policy", format!("{} is not supported", policy.name));
        }
        None => return refuse("path_specifier", "a route needs a path condition"),
    };
    let mut conditions = headers(std::mem::take(&mut one.headers), "headers")?;
    if one.grpc.take().is_some() {
        conditions.push(grpc_condition()?);
    }
    let query = queries(std::mem::take(&mut one.query_parameters))?;
    let fraction = one.runtime_fraction.take().map(|value| fraction(&value));
    done(&one)?;
    Ok(Matched { path, headers: conditions, query, fraction })
}

fn fraction(value: &core::RuntimeFractionalPercent) -> u32 {
    runtime_parts(value, 1_000_000)
}

/// A virtual host that came alone may have bodies up to what its table would allow at most.
pub(super) const VHDS_MAX_BODY: u32 = 1 << 20;
