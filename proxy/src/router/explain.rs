//! Why a request was decided as it was: the rules that were tried, and the one that won.
//!
//! In: the same as `decide`. Out: data for admin, `meshctl x decide` and failing paper tests. Not on the request path.

use std::sync::Arc;

use super::{Decision, Head, decide, host};
use crate::config::{Config, HttpChain, Rule};
use crate::dice::Dice;
use crate::observe::Conn;

/// One rule that was looked at.
#[derive(Clone, Debug)]
pub struct Tried {
    pub rule: Arc<Rule>,
    /// Position in the virtual host, from 0.
    pub index: usize,
    pub matched: bool,
    /// The first condition that failed: `path`, `header NAME`, `query NAME` or `fraction`; empty if it matched.
    pub failed: String,
}

/// How a decision came about.
#[derive(Debug)]
pub struct Explanation {
    pub decision: Decision,
    /// Name of the route table that was used.
    pub table: Arc<str>,
    /// Name and domains of the virtual host that was chosen.
    pub host: Option<(Arc<str>, Vec<Arc<str>>)>,
    /// Rules up to and including the winner.
    pub tried: Vec<Tried>,
    /// `filter_metadata.istio.config` of the winner.
    pub config: Option<Arc<str>>,
    /// `FILE:LINE` of the winner, where known.
    pub origin: Option<Arc<str>>,
}

/// Decides, and tells why.
pub fn explain(
    config: &Config,
    chain: &HttpChain,
    conn: &Conn,
    head: &Head<'_>,
    dice: &mut Dice,
) -> Explanation {
    let decision = decide(config, chain, conn, head, dice);
    let table = super::decide::table_of(config, chain);
    let host = table.and_then(|table| host::find_host(table, head.authority));
    let winner = decision.rule().cloned();
    let mut tried = Vec::new();
    for (index, rule) in host.iter().flat_map(|host| &host.rules).enumerate() {
        let matched = winner.as_ref().is_some_and(|winner| Arc::ptr_eq(winner, rule));
        let failed = if matched { String::new() } else { first_failure(rule, head) };
        tried.push(Tried { rule: rule.clone(), index, matched, failed });
        if matched {
            break;
        }
    }
    Explanation {
        table: table.map_or_else(|| chain.route_name.clone(), |table| table.name.clone()),
        host: host.map(|host| (host.name.clone(), host.domains.clone())),
        tried,
        config: winner.as_ref().and_then(|rule| rule.config.clone()),
        origin: winner.as_ref().and_then(|rule| rule.origin.clone()),
        decision,
    }
}

fn first_failure(rule: &Rule, head: &Head<'_>) -> String {
    super::matching::first_failure(rule, head).unwrap_or_else(|| "fraction".to_owned())
}
