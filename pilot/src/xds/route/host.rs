//! One virtual host: the unit of a route change.
//!
//! Comes in: names it answers to, the rules that hold for a class of clients with their clusters already chosen,
//! and the default where there is no rule. Goes out: a VirtualHost.

use envoy_types::pb::envoy::config::route::v3::route::Action as PbAction;
use envoy_types::pb::envoy::config::route::v3::virtual_host::TlsRequirementType;
use envoy_types::pb::envoy::config::route::v3::{Decorator, Route, VirtualHost};
use serde_json::json;

use super::{action, rule};
use crate::model::hashed::Hashed;
use crate::model::policy::HashBalance;
use crate::model::routes::route::{HttpRule, Retries};
use crate::xds::names::ClusterName;
use crate::xds::proto::metadata;

/// All that a virtual host may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    pub name: String,
    pub domains: Vec<String>,
    /// Port that clients address.
    pub port: u16,
    pub rules: Vec<Placed>,
    /// Where everything goes if there are no rules at all.
    pub default: Option<DefaultRoute>,
    /// Answer 301 to https.
    pub require_tls: bool,
    /// `defaultHttpRetryPolicy` of the mesh.
    pub retries: Option<Retries>,
    /// Say file and line of each rule.
    pub origin: bool,
}

/// A rule, and what pilot has decided about it for this class of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placed {
    pub rule: Hashed<HttpRule>,
    /// Name of the object, for spans.
    pub object: String,
    /// Which of its matches hold; None: it has none and takes everything.
    pub matches: Option<Vec<usize>>,
    /// Clusters of its destinations, in order.
    pub targets: Vec<String>,
    /// Clusters of its mirrors, in order.
    pub mirrors: Vec<String>,
    pub hash: Option<HashBalance>,
}

/// A service without rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DefaultRoute {
    pub cluster: ClusterName,
    pub hash: Option<HashBalance>,
}

/// Builds the virtual host.
pub fn build(input: &Host) -> VirtualHost {
    let routes = match &input.default {
        Some(default) if input.rules.is_empty() => vec![default_route(default, input)],
        _ => rules(input),
    };
    VirtualHost {
        name: input.name.clone(),
        domains: input.domains.clone(),
        routes,
        require_tls: if input.require_tls { TlsRequirementType::All as i32 } else { 0 },
        include_request_attempt_count: true,
        ..Default::default()
    }
}

/// One route per match, up to the first that takes everything.
fn rules(input: &Host) -> Vec<Route> {
    let mut routes = Vec::new();
    for placed in &input.rules {
        let before = routes.len();
        match &placed.matches {
            None => routes.push(route(placed, None, input)),
            Some(which) => routes.extend(which.iter().map(|&index| route(placed, Some(index), input))),
        }
        let ends = |route: &Route| route.r#match.as_ref().is_some_and(rule::takes_everything);
        if let Some(last) = routes[before..].iter().position(ends) {
            routes.truncate(before + last + 1);
            break;
        }
    }
    routes
}

fn route(placed: &Placed, index: Option<usize>, input: &Host) -> Route {
    let rule = &*placed.rule;
    let entry = index.map(|index| &rule.matches[index]);
    let matched = entry.map_or_else(rule::always, rule::route_match);
    let name = match entry {
        Some(entry) if !entry.name.is_empty() => format!("{}.{}", rule.name, entry.name),
        _ => rule.name.clone(),
    };
    let source = entry.map(|e| &e.source).filter(|s| !s.file.is_empty()).unwrap_or(&rule.source);
    let mut about = vec![("istio", json!({ "config": rule.config }))];
    if let Some(text) = source.text().filter(|_| input.origin) {
        about.push(("mesh", json!({ "origin": text })));
    }
    let operation = match &placed.targets[..] {
        [only] => format!("{}{}", destination(only), rule::path_text(&matched)),
        _ => format!("{}:{}{}", placed.object, input.port, rule::path_text(&matched)),
    };
    let mut route = Route {
        name,
        r#match: Some(matched),
        metadata: Some(metadata(about)),
        stat_prefix: entry.map(|e| e.stat_prefix.clone()).unwrap_or_default(),
        ..Default::default()
    };
    action::fill(&mut route, placed, input);
    if matches!(route.action, Some(PbAction::Route(_))) {
        route.decorator = Some(Decorator { operation, propagate: None });
    }
    route
}

fn default_route(default: &DefaultRoute, input: &Host) -> Route {
    let cluster = default.cluster.to_string();
    Route {
        name: "default".to_owned(),
        r#match: Some(rule::always()),
        decorator: Some(Decorator { operation: format!("{}/*", destination(&cluster)), propagate: None }),
        action: Some(PbAction::Route(action::forward_plain(&cluster, default.hash.as_ref(), input))),
        ..Default::default()
    }
}

/// `HOST:PORT` of a cluster, as spans say it.
fn destination(cluster: &str) -> String {
    match cluster.parse() {
        Ok(ClusterName::Outbound { port, host, .. }) => format!("{host}:{port}"),
        _ => cluster.to_owned(),
    }
}
