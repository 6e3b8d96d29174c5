//! One VirtualService -> one route set, field by field.
//!
//! Nothing is looked up here; host names are made full, words are made values, and every rule keeps its line.

use api::networking as written;
use api::text::StringMatch;
use api::{Code, Findings, Object};

use super::route::{
    Abort, Action, Client, Cors, Destination, Edits, Fault, GatewayRef, HeaderEdits, HttpMatch, HttpRule,
    L4Match, Mirror, Redirect, RedirectPort, Retries, Rewrite, Share, Split, TcpRule, Text, TlsRule,
};
use crate::model::names::full;
use crate::model::note::{note, source};
use crate::xds::names::config_path;

type Vs = Object<written::VirtualService>;

/// A gateway as written: `mesh`, `name`, `namespace/name`.
pub fn gateway(text: &str, namespace: &str) -> GatewayRef {
    if text == "mesh" {
        return GatewayRef::Mesh;
    }
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    GatewayRef::Named { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// One HTTP rule. `None` where it only delegates.
pub fn http(object: &Vs, index: usize, findings: &mut Findings) -> Option<HttpRule> {
    let from = &object.spec.http[index];
    let path = format!("spec.http[{index}]");
    let namespace = object.meta.namespace.as_str();
    let action = action(from, namespace)?;
    if matches!(action, Action::Broken) {
        let text = "the rule has no route, redirect or directResponse: it answers 503";
        note(findings, object, &path, Code::Required, text);
    }
    let mut matches = Vec::new();
    for (at, entry) in from.matches.iter().enumerate() {
        let path = format!("{path}.match[{at}]");
        let claims = entry.headers.keys().chain(entry.without_headers.keys()).any(|k| k.starts_with('@'));
        if claims {
            // Named by the list of what is not honoured; it must not hold for everybody.
            continue;
        }
        matches.push(HttpMatch { source: source(object, &path), ..http_match(entry, namespace) });
    }
    // A rule whose every match was dropped must not become a rule for everything.
    if matches.is_empty() && !from.matches.is_empty() {
        return None;
    }
    Some(HttpRule {
        name: from.name.clone(),
        config: config_path("virtual-service", namespace, &object.meta.name),
        matches,
        action,
        headers: from.headers.as_ref().map(header_edits).unwrap_or_default(),
        rewrite: from.rewrite.as_ref().map(rewrite),
        timeout: from.timeout.map(|d| d.to_std()).filter(|d| !d.is_zero()),
        retries: from.retries.as_ref().map(retries),
        fault: from.fault.as_ref().map(fault).filter(|f| *f != Fault::default()),
        mirrors: mirrors(from, namespace),
        cors: from.cors_policy.as_ref().map(cors),
        source: source(object, &path),
    })
}

fn action(from: &written::HttpRoute, namespace: &str) -> Option<Action> {
    if let Some(redirect_to) = &from.redirect {
        return Some(Action::Redirect(redirect(redirect_to)));
    }
    if let Some(answer) = &from.direct_response {
        let body = answer.body.as_ref().map(|b| match (&b.string, &b.bytes) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(bytes)) => bytes.0.clone(),
            (None, None) => Vec::new(),
        });
        let status = u16::try_from(answer.status).unwrap_or(503);
        return Some(Action::Respond { status, body: body.unwrap_or_default() });
    }
    let split = |r: &written::HttpRouteDestination| {
        Some(Split {
            to: destination(r.destination.as_ref()?, namespace),
            weight: u32::try_from(r.weight).unwrap_or_default(),
            headers: r.headers.as_ref().map(header_edits).unwrap_or_default(),
        })
    };
    let splits: Vec<Split> = from.route.iter().filter_map(split).collect();
    match splits.is_empty() {
        true if from.delegate.is_some() => None,
        true => Some(Action::Broken),
        false => Some(Action::Forward(splits)),
    }
}

/// Where to, with its host made full.
pub fn destination(from: &written::Destination, namespace: &str) -> Destination {
    Destination {
        host: full(&from.host, namespace),
        subset: from.subset.clone(),
        port: from.port.as_ref().and_then(|p| port(p.number)),
    }
}

fn port(number: u32) -> Option<u16> {
    u16::try_from(number).ok().filter(|n| *n > 0)
}

fn text(from: &StringMatch) -> Text {
    match from {
        StringMatch::Exact(s) => Text::Exact(s.clone()),
        StringMatch::Prefix(s) => Text::Prefix(s.clone()),
        StringMatch::Regex(s) if s == "*" => Text::Present,
        StringMatch::Regex(s) => Text::Regex(s.clone()),
        StringMatch::Any => Text::Present,
    }
}

/// The conditions of a match, without its line.
pub fn http_match(from: &written::HttpMatchRequest, namespace: &str) -> HttpMatch {
    let map = |m: &std::collections::BTreeMap<String, StringMatch>, lower: bool| {
        let key = |k: &String| if lower { k.to_ascii_lowercase() } else { k.clone() };
        m.iter().map(|(k, v)| (key(k), text(v))).collect()
    };
    HttpMatch {
        name: from.name.clone(),
        uri: from.uri.as_ref().map(text),
        ignore_uri_case: from.ignore_uri_case,
        scheme: from.scheme.as_ref().map(text),
        method: from.method.as_ref().map(text),
        authority: from.authority.as_ref().map(text),
        headers: map(&from.headers, true),
        without_headers: map(&from.without_headers, true),
        query: map(&from.query_params, false),
        stat_prefix: from.stat_prefix.clone(),
        client: Client {
            port: port(from.port),
            gateways: gateways(&from.gateways, namespace),
            labels: from.source_labels.clone(),
            namespace: from.source_namespace.clone(),
        },
        source: Default::default(),
    }
}

fn gateways(from: &[String], namespace: &str) -> Option<Vec<GatewayRef>> {
    (!from.is_empty()).then(|| from.iter().map(|g| gateway(g, namespace)).collect())
}

fn header_edits(from: &written::Headers) -> HeaderEdits {
    let edits = |from: &Option<written::HeaderOperations>| {
        let from = from.clone().unwrap_or_default();
        Edits { set: from.set, add: from.add, remove: from.remove }
    };
    HeaderEdits { request: edits(&from.request), response: edits(&from.response) }
}

fn redirect(from: &written::HttpRedirect) -> Redirect {
    Redirect {
        uri: from.uri.clone(),
        prefix: from.prefix_rewrite.clone(),
        authority: from.authority.clone(),
        port: match (from.port.and_then(port), from.derive_port) {
            (Some(number), _) => RedirectPort::Number(number),
            (None, Some(written::RedirectPort::FromRequestPort)) => RedirectPort::ByRequest,
            (None, Some(written::RedirectPort::FromProtocolDefault)) => RedirectPort::ByProtocol,
            (None, None) => RedirectPort::Unset,
        },
        scheme: from.scheme.clone(),
        code: u16::try_from(from.redirect_code).unwrap_or_default(),
    }
}

fn rewrite(from: &written::HttpRewrite) -> Rewrite {
    Rewrite {
        uri: from.uri.clone(),
        regex: from.uri_regex_rewrite.as_ref().map(|r| (r.pattern.clone(), r.rewrite.clone())),
        authority: from.authority.clone(),
    }
}

/// A retry policy. Numbers among the conditions are status codes.
pub fn retries(from: &written::HttpRetry) -> Retries {
    let mut on = Vec::new();
    let mut codes = Vec::new();
    for word in from.retry_on.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match word.parse::<u32>() {
            Ok(code) if (100..600).contains(&code) => codes.push(code),
            _ => on.push(word),
        }
    }
    if !codes.is_empty() && !on.contains(&"retriable-status-codes") {
        on.push("retriable-status-codes");
    }
    Retries {
        attempts: u32::try_from(from.attempts).unwrap_or_default(),
        per_try_timeout: from.per_try_timeout.map(|d| d.to_std()).filter(|d| !d.is_zero()),
        on: on.join(","),
        codes,
        backoff: from.backoff.map(|d| d.to_std()).filter(|d| !d.is_zero()),
        remote_localities: from.retry_remote_localities.unwrap_or(false),
        ignore_previous_hosts: from.retry_ignore_previous_hosts.unwrap_or(true),
    }
}

/// Without a percentage a fault never fires.
fn fault(from: &written::HttpFaultInjection) -> Fault {
    let share = |percentage: &Option<api::text::Percent>| percentage.as_ref().map(|p| Share(p.per_million()));
    let delay = from.delay.as_ref().and_then(|d| {
        let old = (d.percent > 0).then(|| Share::percent(f64::from(d.percent)));
        Some((d.fixed_delay?.to_std(), share(&d.percentage).or(old).unwrap_or(Share(0))))
    });
    let abort = from.abort.as_ref().and_then(|a| {
        let with = match (a.http_status, &a.grpc_status) {
            (Some(status), _) => Abort::Http(u16::try_from(status).ok().filter(|s| (200..600).contains(s))?),
            (None, Some(_)) => Abort::Grpc(a.grpc_code()?),
            (None, None) => return None,
        };
        Some((with, share(&a.percentage).unwrap_or(Share(0))))
    });
    Fault { delay, abort }
}

fn mirrors(from: &written::HttpRoute, namespace: &str) -> Vec<Mirror> {
    let mut out = Vec::new();
    if let Some(to) = &from.mirror {
        let old = from.mirror_percent.map(|p| Share::percent(f64::from(p)));
        let share = from.mirror_percentage.as_ref().map(|p| Share(p.per_million())).or(old);
        out.push(Mirror { to: destination(to, namespace), share: share.unwrap_or(Share::ALL) });
    }
    for mirror in &from.mirrors {
        if let Some(to) = &mirror.destination {
            let share = mirror.percentage.as_ref().map(|p| Share(p.per_million()));
            out.push(Mirror { to: destination(to, namespace), share: share.unwrap_or(Share::ALL) });
        }
    }
    out.retain(|mirror| mirror.share.0 > 0);
    out
}

fn cors(from: &written::CorsPolicy) -> Cors {
    let old = from
        .allow_origin
        .iter()
        .map(|o| if o == "*" { Text::Regex(".*".to_owned()) } else { Text::Exact(o.clone()) });
    let origins = from.allow_origins.iter().map(|m| match m {
        StringMatch::Exact(s) if s == "*" => Text::Regex(".*".to_owned()),
        other => text(other),
    });
    Cors {
        origins: origins.chain(old).collect(),
        methods: from.allow_methods.clone(),
        headers: from.allow_headers.clone(),
        expose: from.expose_headers.clone(),
        max_age: from.max_age.map(|d| d.to_std()),
        credentials: from.allow_credentials,
        forward_unmatched: match from.unmatched_preflights {
            written::UnmatchedPreflights::Unspecified => None,
            written::UnmatchedPreflights::Forward => Some(true),
            written::UnmatchedPreflights::Ignore => Some(false),
        },
    }
}

fn l4_splits(from: &[written::RouteDestination], namespace: &str) -> Vec<Split> {
    let split = |r: &written::RouteDestination| {
        Some(Split {
            to: destination(r.destination.as_ref()?, namespace),
            weight: u32::try_from(r.weight).unwrap_or_default(),
            headers: HeaderEdits::default(),
        })
    };
    from.iter().filter_map(split).collect()
}

/// One rule for TLS that is passed through.
pub fn tls(object: &Vs, index: usize) -> TlsRule {
    let from = &object.spec.tls[index];
    let namespace = object.meta.namespace.as_str();
    let one = |m: &written::TlsMatchAttributes| L4Match {
        sni: m.sni_hosts.iter().map(|h| h.to_ascii_lowercase()).collect(),
        subnets: m.destination_subnets.clone(),
        client: Client {
            port: port(m.port),
            gateways: gateways(&m.gateways, namespace),
            labels: m.source_labels.clone(),
            namespace: m.source_namespace.clone(),
        },
    };
    TlsRule {
        matches: from.matches.iter().map(one).collect(),
        to: l4_splits(&from.route, namespace),
        config: config_path("virtual-service", namespace, &object.meta.name),
        source: source(object, &format!("spec.tls[{index}]")),
    }
}

/// One rule for opaque connections.
pub fn tcp(object: &Vs, index: usize) -> TcpRule {
    let from = &object.spec.tcp[index];
    let namespace = object.meta.namespace.as_str();
    let one = |m: &written::L4MatchAttributes| L4Match {
        sni: Vec::new(),
        subnets: m.destination_subnets.clone(),
        client: Client {
            port: port(m.port),
            gateways: gateways(&m.gateways, namespace),
            labels: m.source_labels.clone(),
            namespace: m.source_namespace.clone(),
        },
    };
    TcpRule {
        matches: from.matches.iter().map(one).collect(),
        to: l4_splits(&from.route, namespace),
        config: config_path("virtual-service", namespace, &object.meta.name),
        source: source(object, &format!("spec.tcp[{index}]")),
    }
}
