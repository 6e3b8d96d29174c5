//! `decide`: from a request head to what happens to it. The one place where the order of routing is written.
//!
//! In: the Config of this request, the chain it came through, its connection, its head, dice. Out: a Decision.
//! Called by `http` for every request (again after a filter cleared the route), by admin, by `meshctl x decide`
//! and by paper tests. Promises: no I/O, no clock, the same dice give the same answer.

use std::sync::Arc;

use http::StatusCode;

use super::{Decision, ForwardTo, Head, host, matching, redirect, split};
use crate::config::{
    Action, ClusterSlot, Config, Forward, HttpChain, RouteSource, RouteTable, Rule, Target, VirtualHost,
};
use crate::dice::Dice;
use crate::fail::Failure;
use crate::observe::Conn;

/// What happens to the request.
pub fn decide(
    config: &Config,
    chain: &HttpChain,
    _conn: &Conn,
    head: &Head<'_>,
    dice: &mut Dice,
) -> Decision {
    let Some(table) = table_of(config, chain) else {
        return fail(Failure::NoRoute, None, Some(chain.route_name.clone()));
    };
    let Some(host) = host::find_host(table, head.authority) else {
        return fail(Failure::NoRoute, None, None);
    };
    if host.require_tls && head.scheme != "https" {
        return Decision::Redirect {
            location: format!("https://{}{}", head.authority, head.path),
            status: StatusCode::MOVED_PERMANENTLY,
            rule: None,
            host: host.clone(),
            table: table.clone(),
        };
    }
    match first_rule(host, head, dice) {
        Some(rule) => act(config, Place { table, host, rule }, head, dice),
        None => fail(Failure::NoRoute, None, None),
    }
}

/// The first rule that matches.
fn first_rule<'a>(host: &'a VirtualHost, head: &Head<'_>, dice: &mut Dice) -> Option<&'a Arc<Rule>> {
    let Some(paths) = &host.paths else {
        return host.rules.iter().find(|rule| matching::rule_matches(rule, head, dice));
    };
    let mut candidates = paths.candidates(matching::bare_path(head.path));
    candidates
        .find_map(|number| host.rules.get(number).filter(|rule| matching::rule_matches(rule, head, dice)))
}

/// The routes that a chain uses now.
pub(super) fn table_of<'a>(config: &'a Config, chain: &'a HttpChain) -> Option<&'a Arc<RouteTable>> {
    match &chain.routes {
        RouteSource::Inline(table) => Some(table),
        RouteSource::Named(slot) => config.route_table(*slot),
    }
}

/// Where a rule was found.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'a Arc<RouteTable>,
    pub(super) host: &'a Arc<VirtualHost>,
    pub(super) rule: &'a Arc<Rule>,
}

/// What a rule does once it won.
pub(super) fn act(config: &Config, place: Place<'_>, head: &Head<'_>, dice: &mut Dice) -> Decision {
    let Place { table, host, rule } = place;
    match &rule.action {
        Action::Forward(forward) => forward_to(config, place, forward, head, dice),
        Action::Redirect(to) => Decision::Redirect {
            location: redirect::location(to, &rule.path, head),
            status: to.status,
            rule: Some(rule.clone()),
            host: host.clone(),
            table: table.clone(),
        },
        Action::Respond { status, body } => Decision::Respond {
            status: *status,
            body: body.clone(),
            rule: rule.clone(),
            host: host.clone(),
            table: table.clone(),
        },
    }
}

fn forward_to(
    config: &Config,
    place: Place<'_>,
    forward: &Forward,
    head: &Head<'_>,
    dice: &mut Dice,
) -> Decision {
    let Place { table, host, rule } = place;
    let missing = |name: Arc<str>| match fail(Failure::NoCluster, Some(rule), Some(name)) {
        Decision::Fail { failure, rule, missing, .. } => {
            Decision::Fail { failure, status: forward.cluster_not_found, rule, missing }
        }
        other => other,
    };
    let (slot, split): (ClusterSlot, _) = match &forward.target {
        Target::Cluster(slot) => (*slot, None),
        Target::Weighted { total, splits } => match split::draw(splits, *total, dice) {
            Some(index) => (splits[index].cluster, Some(index)),
            None => return fail(Failure::NoRoute, Some(rule), None),
        },
        Target::Header(name) => {
            let Some(wanted) = head.headers.get(name).and_then(|value| value.to_str().ok()) else {
                return fail(Failure::NoRoute, Some(rule), None);
            };
            match config.cluster_slots.get(wanted) {
                Some(slot) => (*slot, None),
                None => return missing(wanted.into()),
            }
        }
    };
    match config.cluster(slot) {
        Some(cluster) => Decision::Forward(Box::new(ForwardTo {
            table: table.clone(),
            host: host.clone(),
            rule: rule.clone(),
            cluster: cluster.clone(),
            split,
        })),
        None => missing(config.cluster_names.get(slot.0 as usize).cloned().unwrap_or_default()),
    }
}

fn fail(failure: Failure, rule: Option<&Arc<Rule>>, missing: Option<Arc<str>>) -> Decision {
    let status = StatusCode::from_u16(failure.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Decision::Fail { failure, status, rule: rule.cloned(), missing }
}
