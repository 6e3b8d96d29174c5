//! `envoy.filters.http.fault`: delay first, then abort, each for its share of the requests that match.
//!
//! In: the fault in force, the head, dice. Out: a delay, an abort, both or neither; waiting and answering are the
//! pipeline's. Called by `run`.

use std::time::Duration;

use http::StatusCode;

use super::Fault;
use crate::dice::Dice;
use crate::router::{Head, headers_match};

/// What is injected into one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) delay: Option<Duration>,
    /// HTTP status, and the gRPC status where the fault names one.
    pub(super) abort: Option<(StatusCode, Option<u16>)>,
}

/// Decides by the fault's own conditions and percentages. `cluster` is where the request would go.
pub(super) fn inject(fault: &Fault, head: &Head<'_>, cluster: Option<&str>, dice: &mut Dice) -> Injected {
    let elsewhere = fault.upstream_cluster.as_deref().is_some_and(|wanted| cluster != Some(wanted));
    if elsewhere || !headers_match(&fault.headers, head) {
        return Injected::default();
    }
    let delay = fault.delay.filter(|(_, parts)| dice.hits(*parts)).map(|(delay, _)| delay);
    let http = fault.abort_status.filter(|(_, parts)| dice.hits(*parts)).map(|(status, _)| (status, None));
    let abort = http.or_else(|| {
        let (code, _) = fault.abort_grpc.filter(|(_, parts)| dice.hits(*parts))?;
        // Who does not speak gRPC gets the text with a 200, as from Envoy.
        Some((StatusCode::OK, Some(code)))
    });
    Injected { delay, abort }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HeaderMatch, HeaderRule, TextMatch};
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    #[test]
    fn only_who_matches() {
        let fault = Fault {
            delay: Some((Duration::from_secs(7), 1_000_000)),
            abort_status: None,
            abort_grpc: Some((14, 1_000_000)),
            headers: vec![HeaderMatch {
                name: HeaderName::from_static("end-user"),
                pseudo: None,
                rule: HeaderRule::Text(TextMatch::Exact { text: "jason".into(), ignore_case: false }),
                invert: false,
                missing_is_empty: false,
            }],
            upstream_cluster: Some("ratings".into()),
        };
        let mut jason = HeaderMap::new();
        jason.insert("end-user", HeaderValue::from_static("jason"));
        let none = HeaderMap::new();
        let hit = Injected { delay: Some(Duration::from_secs(7)), abort: Some((StatusCode::OK, Some(14))) };
        for (headers, cluster, want) in [
            (&jason, Some("ratings"), hit),
            (&jason, Some("reviews"), Injected::default()),
            (&jason, None, Injected::default()),
            (&none, Some("ratings"), Injected::default()),
        ] {
            let head = Head { method: &Method::GET, scheme: "http", authority: "a", path: "/", headers };
            assert_eq!(inject(&fault, &head, cluster, &mut Dice::new(1)), want);
        }
    }

    #[test]
    fn percentages() {
        let fault = Fault {
            delay: None,
            abort_status: Some((StatusCode::INTERNAL_SERVER_ERROR, 100_000)),
            abort_grpc: None,
            headers: Vec::new(),
            upstream_cluster: None,
        };
        let headers = HeaderMap::new();
        let head =
            Head { method: &Method::GET, scheme: "http", authority: "a", path: "/", headers: &headers };
        let mut dice = Dice::new(3);
        let hits = (0..10_000).filter(|_| inject(&fault, &head, None, &mut dice).abort.is_some()).count();
        assert!((900..1100).contains(&hits), "{hits}");
    }
}
