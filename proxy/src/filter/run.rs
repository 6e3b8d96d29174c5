//! The request side of a chain as a list of steps, in order, up to the first answer.
//!
//! In: the chain, the connection, the route with its overlays, the head, dice. Out: what the pipeline must do before it
//! forwards. Peer metadata, ALPN and stats are not steps: they have their own places in the pipeline.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Asked, Cors, Fault, Filter, cors, fault};
use crate::dice::Dice;
use crate::router::Decision;

/// One thing to do before the request goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait, and note `Failure::FaultDelay`.
    Delay(Duration),
    /// Answer with `fault filter abort` and note `Failure::FaultAbort`. The last step.
    Abort { status: StatusCode, grpc: Option<u16> },
    /// Answer 403, refused by this policy; an empty name: no policy allowed it. The last step.
    Deny(Arc<str>),
    /// Answer 200 with these headers and no body. The last step.
    Preflight(HeaderMap),
}

/// What the filters ask for. Usually nothing: the list does not allocate then.
pub fn request_steps(asked: &Asked<'_, '_>, decision: &Decision, dice: &mut Dice) -> Vec<Step> {
    let head = asked.head;
    let mut steps = Vec::new();
    for filter in asked.filters {
        match filter {
            Filter::Fault(listener) => {
                let Some(fault) = fault_of(decision).or(listener.as_ref()) else { continue };
                let cluster = match decision {
                    Decision::Forward(to) => Some(&*to.cluster.name),
                    _ => None,
                };
                let injected = fault::inject(fault, head, cluster, dice);
                steps.extend(injected.delay.map(Step::Delay));
                if let Some((status, grpc)) = injected.abort {
                    steps.push(Step::Abort { status, grpc });
                    break;
                }
            }
            Filter::Cors => {
                let answer = cors_of(decision).and_then(|cors| cors::preflight(cors, head, dice));
                if let Some(headers) = answer {
                    steps.push(Step::Preflight(headers));
                    break;
                }
            }
            Filter::Rbac(rbac) => {
                if let Some(policy) = rbac.refuses(asked) {
                    steps.push(Step::Deny(policy.into()));
                    break;
                }
            }
            Filter::PeerMetadata(_) | Filter::Alpn(_) | Filter::Stats { .. } | Filter::GrpcStats => {}
        }
    }
    steps
}

/// The response side: CORS marks. `origin` is the request's `Origin`; `cors` comes from [`cors_of`], kept by the
/// pipeline while the request is under way.
pub fn respond(
    filters: &[Filter],
    cors: Option<&Cors>,
    origin: Option<&HeaderValue>,
    response: &mut HeaderMap,
) {
    let on = filters.iter().any(|filter| matches!(filter, Filter::Cors));
    if let (true, Some(cors), Some(origin)) = (on, cors, origin) {
        cors::mark(cors, origin, response);
    }
}

/// Whether the request comes as far as the CORS filter, which then marks the answer whoever makes it.
pub fn reaches_cors(filters: &[Filter], steps: &[Step]) -> bool {
    let first = match steps.last() {
        Some(Step::Abort { .. }) => {
            filters.iter().find(|filter| matches!(filter, Filter::Cors | Filter::Fault(_)))
        }
        Some(Step::Deny(_)) => filters.iter().find(|filter| matches!(filter, Filter::Cors | Filter::Rbac(_))),
        _ => return true,
    };
    matches!(first, Some(Filter::Cors))
}

/// The CORS policy in force where a request is forwarded: of the weighted share, the rule, or the virtual host.
/// Redirects and direct responses have none, as in Envoy.
pub fn cors_of(decision: &Decision) -> Option<&Arc<Cors>> {
    match decision {
        Decision::Forward(to) => {
            let share = to.share().and_then(|share| share.cors.as_ref());
            share.or(to.rule.cors.as_ref()).or(to.host.cors.as_ref())
        }
        Decision::Fail { rule, .. } => rule.as_ref().and_then(|rule| rule.cors.as_ref()),
        Decision::Redirect { .. } | Decision::Respond { .. } => None,
    }
}

fn fault_of(decision: &Decision) -> Option<&Arc<Fault>> {
    let share = match decision {
        Decision::Forward(to) => to.share().and_then(|share| share.fault.as_ref()),
        _ => None,
    };
    share.or_else(|| decision.rule().and_then(|rule| rule.fault.as_ref()))
}
