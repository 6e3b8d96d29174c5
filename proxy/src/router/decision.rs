//! What happens to one request, and why.

use std::sync::Arc;

use crate::config::{Cluster, Rule, VirtualHost};
use crate::fail::Failure;

/// The part of a request that routing looks at. Borrowed from the codec.
#[derive(Debug)]
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
    Redirect { location: String, status: http::StatusCode, rule: Arc<Rule> },
    Respond { status: http::StatusCode, body: bytes::Bytes, rule: Arc<Rule> },
    Fail { failure: Failure, rule: Option<Arc<Rule>>, missing: Option<Arc<str>> },
}

/// The chosen rule and cluster. `split` is the index of the weighted share that won, if the target has shares.
#[derive(Debug)]
pub struct ForwardTo {
    pub host: Arc<VirtualHost>,
    pub rule: Arc<Rule>,
    pub cluster: Arc<Cluster>,
    pub split: Option<usize>,
}
