//! What happens to one request, and why.
//!
//! In: made by `decide`. Out: read by `http::route`, admin, `meshctl x decide` and paper tests. A decision holds the
//! `Arc`s that its request goes on with, and never the Config.

use std::sync::Arc;

use crate::config::{Cluster, RouteTable, Rule, VirtualHost};
use crate::fail::Failure;

/// The part of a request that routing looks at. Borrowed from the codec.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub method: &'a http::Method,
    /// `http` or `https` as the downstream connection (or trusted X-Forwarded-Proto) says.
    pub scheme: &'a str,
    pub authority: &'a str,
    /// Path with query.
    pub path: &'a str,
    pub headers: &'a http::HeaderMap,
}

/// What happens to a request.
#[derive(Debug)]
pub enum Decision {
    Forward(Box<ForwardTo>),
    Redirect {
        location: String,
        status: http::StatusCode,
        /// `None`: the virtual host asks for TLS (`require_tls`).
        rule: Option<Arc<Rule>>,
        host: Arc<VirtualHost>,
        table: Arc<RouteTable>,
    },
    Respond {
        status: http::StatusCode,
        body: bytes::Bytes,
        rule: Arc<Rule>,
        host: Arc<VirtualHost>,
        table: Arc<RouteTable>,
    },
    Fail {
        failure: Failure,
        /// The failure's own status, unless the route names another (`cluster_not_found_response_code`).
        status: http::StatusCode,
        rule: Option<Arc<Rule>>,
        /// Name of the route table or cluster that was referenced and is not there.
        missing: Option<Arc<str>>,
    },
}

/// The chosen rule and cluster. `split` is the index of the weighted share that won, if the target has shares.
#[derive(Clone, Debug)]
pub struct ForwardTo {
    pub table: Arc<RouteTable>,
    pub host: Arc<VirtualHost>,
    pub rule: Arc<Rule>,
    pub cluster: Arc<Cluster>,
    pub split: Option<usize>,
}

impl Decision {
    /// The rule that won, if one did.
    pub fn rule(&self) -> Option<&Arc<Rule>> {
        match self {
            Decision::Forward(to) => Some(&to.rule),
            Decision::Respond { rule, .. } => Some(rule),
            Decision::Redirect { rule, .. } | Decision::Fail { rule, .. } => rule.as_ref(),
        }
    }
}

impl ForwardTo {
    /// The forwarding action of the rule.
    pub fn forward(&self) -> &Arc<crate::config::Forward> {
        match &self.rule.action {
            crate::config::Action::Forward(forward) => forward,
            _ => unreachable!("a ForwardTo is only made from a rule that forwards"),
        }
    }

    /// The weighted share that won.
    pub fn share(&self) -> Option<&crate::config::Split> {
        match &self.forward().target {
            crate::config::Target::Weighted { splits, .. } => splits.get(self.split?),
            _ => None,
        }
    }
}
