//! Where a request goes and what its route does to its head: the pure steps of the pipeline, called in order.
//!
//! In: an [`Exchange`], the Config of this moment, dice. Out: a [`Plan`]; then the same exchange with headers, path
//! and host as the upstream gets them. Called by `serve`, and by `relay` for the response's headers.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::context::{Exchange, Reply, Session, Stop};
use super::marks::Marks;
use super::mirror::Copy;
use crate::config::{HeaderOp, HeaderOps, HeaderText, HostRewrite, PathRewrite};
use crate::fail::Failure;
use crate::filter::{self, Step, cors_of, request_steps};
use crate::observe::{Subject, TextFormat};
use crate::router::{Decision, ForwardTo, decide};

const PEER_ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");
const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const PEER: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");

/// What routing and filters made of a request.
pub(crate) struct Plan {
    pub(crate) decision: Decision,
    pub(crate) steps: Vec<Step>,
    pub(crate) copies: Vec<Copy>,
    /// For balancers that hash.
    pub(crate) hash: Option<u64>,
}

/// Reads and takes away the client's metadata.
pub(crate) fn read_peer(session: &Session, exchange: &mut Exchange) {
    let Some(peers) = session.peers.as_ref().filter(|_| exchange.marks.has(Marks::ENVOY)) else { return };
    let headers = &mut exchange.facts.request_headers;
    let (id, metadata) = (headers.remove(&PEER_ID), headers.remove(&PEER));
    exchange.peer_asked = id.is_some() || metadata.is_some();
    if let (true, Some(id), Some(metadata)) = (peers.downstream_discovery, id, metadata) {
        let observer = &session.worker.observer;
        exchange.facts.downstream_peer = observer.peer_of_headers(id.as_bytes(), metadata.as_bytes());
    }
}

/// Decides with one Config, which is not kept.
pub(crate) fn plan(session: &Session, exchange: &mut Exchange) -> Plan {
    let (http, conn) = (&*session.http, &*session.conn);
    let plan = session.worker.config.with(|config| {
        let mut picker = session.worker.picker.borrow_mut();
        let dice = picker.dice();
        let head = exchange.head();
        let decision = decide(config, http, conn, &head, dice);
        let asked = filter::Asked::new(http, conn, &head);
        let steps = request_steps(&asked, &decision, dice);
        let mut plan = Plan { decision, steps, copies: Vec::new(), hash: None };
        if let Decision::Forward(to) = &plan.decision {
            let forward = to.forward();
            if !forward.mirrors.is_empty() {
                let mirrors = filter::mirrors(config, to, dice).into_iter();
                plan.copies =
                    mirrors.map(|(mirror, cluster)| Copy { cluster, shadow: mirror.shadow_suffix }).collect();
            }
            if !forward.hash.is_empty() {
                let hashed = crate::balance::hash_request(&forward.hash, &head, conn);
                plan.hash = hashed.hash;
                exchange.set_cookie = hashed.set_cookie;
            }
        }
        plan
    });
    exchange.facts.rule = plan.decision.rule().cloned();
    if let Decision::Forward(to) = &plan.decision {
        exchange.facts.cluster = Some(to.cluster.clone());
    }
    let origin = exchange.facts.request_headers.get(header::ORIGIN);
    let cors = cors_of(&plan.decision).filter(|_| filter::reaches_cors(&session.http.filters, &plan.steps));
    if let (Some(cors), Some(origin)) = (cors, origin) {
        exchange.cors = Some((cors.clone(), origin.clone()));
    }
    plan
}

/// The endpoint of the pipeline for everything that is not forwarded.
pub(crate) fn forwarded(exchange: &mut Exchange, decision: Decision) -> Result<Box<ForwardTo>, Stop> {
    let (rule, host, table, mut reply) = match decision {
        Decision::Forward(to) => return Ok(to),
        Decision::Redirect { location, status, rule, host, table } => {
            let mut reply = Reply::text(status, "", "direct_response");
            if let Ok(location) = HeaderValue::try_from(location) {
                reply.headers.insert(header::LOCATION, location);
            }
            (rule, host, table, reply)
        }
        Decision::Respond { status, body, rule, host, table } => {
            (Some(rule), host, table, Reply::text(status, body, "direct_response"))
        }
        Decision::Fail { failure, status, missing, .. } => {
            if let Some(name) = missing {
                tracing::debug!(%name, ?failure, "a route names what is not here");
            }
            return Err(Reply { status, ..Reply::failure(failure, "") }.into());
        }
    };
    let rule_ops = rule.as_ref().map(|rule| &rule.header_ops);
    let formats = rule_ops.into_iter().chain([&host.headers, &table.headers]).any(has_response_format);
    with_fill(exchange, formats, |_, fill| {
        filter::response_headers_of(rule.as_deref(), &host, &table, &mut reply.headers, fill);
    });
    Err(reply.into())
}

/// What the route does to the request: headers, path, host. Once, before the first attempt.
pub(crate) fn rewrite(session: &Session, exchange: &mut Exchange, to: &ForwardTo) {
    let formats = ops_of(to).any(|ops| ops.request_set.iter().any(is_format));
    with_fill(exchange, formats, |headers, fill| filter::request_headers(to, headers, fill));
    let forward = to.forward();
    let share_host = to.share().is_some_and(|share| share.host_rewrite.is_some());
    let keeps_host = matches!(forward.rewrite.host, HostRewrite::Keep | HostRewrite::Auto);
    if !matches!(forward.rewrite.path, PathRewrite::Keep) || !keeps_host || share_host {
        let (mut path, mut authority) = (exchange.path.to_string(), exchange.authority.to_string());
        let tell = !session.http.suppress_envoy_headers;
        filter::rewrite(to, &mut path, &mut authority, tell, &mut exchange.facts.request_headers);
        exchange.path = path.into();
        exchange.authority = authority.into();
    }
    let headers = &mut exchange.facts.request_headers;
    if session.peers.as_ref().is_some_and(|peers| peers.upstream_propagation) {
        headers.insert(PEER_ID, session.worker.node.peer_id.clone());
        headers.insert(PEER, session.worker.node.peer_metadata.clone());
    }
}

/// What the route does to the response.
pub(crate) fn response_headers(exchange: &mut Exchange, to: &ForwardTo, headers: &mut HeaderMap) {
    let formats = ops_of(to).any(has_response_format);
    if formats {
        exchange.facts.response_headers = headers.clone();
    }
    with_fill(exchange, formats, |_, fill| filter::response_headers(to, headers, fill));
}

/// What the route does to an answer of our own in place of the upstream's.
pub(crate) fn local_reply(exchange: &mut Exchange, to: &ForwardTo, mut stop: Stop) -> Stop {
    if let Stop::Reply(reply) = &mut stop {
        if to.host.attempt_count_in_response {
            reply.headers.insert(ATTEMPT_COUNT, HeaderValue::from(exchange.facts.attempts));
        }
        response_headers(exchange, to, &mut reply.headers);
    }
    stop
}

/// The answer of a fault, of CORS or of authorization.
pub(crate) fn step_reply(exchange: &mut Exchange, decision: &Decision, step: Step) -> Reply {
    match step {
        Step::Preflight(headers) => Reply { headers, ..Reply::text(StatusCode::OK, "", "cors_response") },
        Step::Deny(policy) => {
            Reply::text(StatusCode::FORBIDDEN, "RBAC: access denied", &filter::rbac_details(&policy))
        }
        Step::Abort { status, grpc } => {
            let failure = Failure::FaultAbort;
            let reply = Reply::text(status, "fault filter abort", failure.row().details);
            let mut reply = Reply { grpc, failure: Some(failure), ..reply };
            if let Decision::Forward(to) = decision {
                response_headers(exchange, to, &mut reply.headers);
            }
            reply
        }
        Step::Delay(_) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "", "delay_is_no_answer"),
    }
}

fn ops_of(to: &ForwardTo) -> impl Iterator<Item = &HeaderOps> {
    let share = to.share().map(|share| &share.headers);
    share.into_iter().chain([&to.rule.header_ops, &to.host.headers, &to.table.headers])
}

fn has_response_format(ops: &HeaderOps) -> bool {
    ops.response_set.iter().any(is_format)
}

fn is_format(op: &HeaderOp) -> bool {
    matches!(op.value, HeaderText::Format(_))
}

/// Runs `change` on the request's headers with a way to fill in formats. Formats look at the headers as they
/// were, so these are copied only where there is one.
fn with_fill(
    exchange: &mut Exchange,
    formats: bool,
    change: impl FnOnce(&mut HeaderMap, &mut filter::Fill<'_>),
) {
    let mut headers = match formats {
        true => exchange.facts.request_headers.clone(),
        false => std::mem::take(&mut exchange.facts.request_headers),
    };
    let facts = &exchange.facts;
    let mut fill = |format: &TextFormat| {
        let text = format.header(&Subject::Http(facts));
        HeaderValue::try_from(text).ok().filter(|text| !text.is_empty())
    };
    change(&mut headers, &mut fill);
    exchange.facts.request_headers = headers;
}

/// Shares the name of a decorated operation in headers: the span's name for the next proxy.
pub(crate) fn operation(exchange: &Exchange) -> Option<Arc<str>> {
    exchange.facts.rule.as_ref()?.operation.clone()
}
