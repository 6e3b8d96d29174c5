//! A call on paper: which listener, chain, rule and cluster a request would get, and what would be done to it.
//!
//! In: a Config and a call. Out: a [`Rehearsal`] that prints itself in lines. Uses the same pure functions as the
//! data path (`listen::choose`, `router::explain`, `filter`), with no socket and no clock. Called by admin, by
//! `meshctl x decide` and by paper tests.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method};

use crate::config::{Action, App, Config, Forward, HttpChain, Listener, TcpChain};
use crate::dice::Dice;
use crate::filter::{self, Step};
use crate::listen::{Seen, choose};
use crate::observe::Conn;
use crate::router::{Decision, Explanation, ForwardTo, Head, explain};

/// Where a call enters the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// From the application beside the proxy, intercepted: `destination` is what it dialled.
    Outbound,
    /// To the application beside the proxy, intercepted.
    Inbound,
    /// At the port of a gateway.
    Port,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub entry: Entry,
    /// The address the client dialled.
    pub destination: SocketAddr,
    pub source: SocketAddr,
    /// TLS arrives at the proxy.
    pub tls: bool,
    pub server_name: Option<Arc<str>>,
    /// ALPN, or what an HTTP inspector would find.
    pub protocols: Vec<Arc<str>>,
    pub method: Method,
    pub scheme: String,
    pub authority: String,
    /// With query.
    pub path: String,
    pub headers: HeaderMap,
}

/// What would happen.
#[derive(Debug)]
pub struct Rehearsal {
    pub listener: Option<Arc<str>>,
    pub chain: Option<Arc<str>>,
    pub outcome: Outcome,
}

/// How it would end.
#[derive(Debug)]
pub enum Outcome {
    /// No listener takes the connection.
    NoListener,
    /// No filter chain fits: the connection is closed.
    NoChain,
    /// The chain closes the connection.
    Close,
    /// Bytes go to one of these clusters by weight; the flag says whether it is known.
    Tcp(Vec<(Arc<str>, u32, bool)>),
    Http(Box<HttpOutcome>),
}

/// What would happen to a request.
#[derive(Debug)]
pub struct HttpOutcome {
    pub explanation: Explanation,
    pub steps: Vec<Step>,
    /// Request as it leaves: path, authority, headers.
    pub request: Option<(String, String, HeaderMap)>,
    /// Headers that the route adds to a response without any.
    pub response: HeaderMap,
    /// Copies: cluster and parts of a million.
    pub mirrors: Vec<(Arc<str>, u32)>,
    /// What a hashing balancer would get.
    pub hash: Option<u64>,
    /// ALPN that `istio.alpn` puts in place of the cluster's.
    pub alpn: Option<Vec<Arc<str>>>,
    sent: HeaderMap,
}

/// Rehearses one call.
pub fn rehearse(config: &Config, call: &Call, dice: &mut Dice) -> Rehearsal {
    let nothing = |outcome| Rehearsal { listener: None, chain: None, outcome };
    let Some(listener) = listener_of(config, call) else { return nothing(Outcome::NoListener) };
    let seen = Seen {
        destination: call.destination,
        source: call.source,
        server_name: call.server_name.clone(),
        tls: call.tls,
        protocols: if call.tls || listener.inspect.http { call.protocols.clone() } else { Vec::new() },
    };
    let name = Some(listener.name.clone());
    let Some(chain) = choose(listener, &seen) else {
        return Rehearsal { listener: name, chain: None, outcome: Outcome::NoChain };
    };
    let outcome = match &chain.app {
        App::Close => Outcome::Close,
        App::Tcp(tcp) => Outcome::Tcp(targets(config, tcp)),
        App::Http(http) => Outcome::Http(Box::new(request(config, http, listener, call, dice))),
    };
    Rehearsal { listener: name, chain: Some(chain.name.clone()), outcome }
}

fn listener_of<'a>(config: &'a Config, call: &Call) -> Option<&'a Arc<Listener>> {
    use crate::config::Direction as D;
    let intercepting = |direction| {
        let mut all = config.listeners.values();
        all.find(|one| one.bind && one.direction == direction && (one.hand_over || one.inspect.original_dst))
    };
    match call.entry {
        Entry::Outbound => config.listener_for(call.destination).or_else(|| intercepting(D::Outbound)),
        Entry::Inbound => intercepting(D::Inbound),
        Entry::Port => {
            let port = call.destination.port();
            config.listeners.values().find(|one| one.bind && one.addresses.iter().any(|at| at.port() == port))
        }
    }
}

fn targets(config: &Config, tcp: &TcpChain) -> Vec<(Arc<str>, u32, bool)> {
    let name = |slot: crate::config::ClusterSlot| {
        config.cluster_names.get(slot.0 as usize).cloned().unwrap_or_default()
    };
    tcp.targets.iter().map(|(slot, weight)| (name(*slot), *weight, config.cluster(*slot).is_some())).collect()
}

fn request(
    config: &Config,
    chain: &HttpChain,
    listener: &Listener,
    call: &Call,
    dice: &mut Dice,
) -> HttpOutcome {
    let conn = Conn {
        id: 0,
        peer: call.source,
        local: call.destination,
        direction: listener.direction,
        listener: listener.name.clone(),
        borrowed: None,
        tls: None,
        server_name: call.server_name.clone(),
        tcp_peer: parking_lot::Mutex::new(None),
        started: Instant::now(),
    };
    let head = Head {
        method: &call.method,
        scheme: &call.scheme,
        authority: &call.authority,
        path: &call.path,
        headers: &call.headers,
    };
    let explanation = explain(config, chain, &conn, &head, dice);
    let asked = filter::Asked::new(chain, &conn, &head);
    let steps = filter::request_steps(&asked, &explanation.decision, dice);
    let mut outcome = HttpOutcome {
        explanation,
        steps,
        request: None,
        response: HeaderMap::new(),
        mirrors: Vec::new(),
        hash: None,
        alpn: None,
        sent: call.headers.clone(),
    };
    // A format is shown as it was written.
    let mut fill = |format: &crate::observe::TextFormat| HeaderValue::from_str(&format.source).ok();
    match &outcome.explanation.decision {
        Decision::Forward(to) => {
            let (mut path, mut authority) = (call.path.clone(), call.authority.clone());
            let mut headers = call.headers.clone();
            filter::request_headers(to, &mut headers, &mut fill);
            filter::rewrite(to, &mut path, &mut authority, !chain.suppress_envoy_headers, &mut headers);
            outcome.request = Some((path, authority, headers));
            filter::response_headers(to, &mut outcome.response, &mut fill);
            outcome.hash = crate::balance::hash_request(&to.forward().hash, &head, &conn).hash;
            outcome.alpn =
                filter::alpn(&chain.filters, &to.cluster, http::Version::HTTP_11).map(<[_]>::to_vec);
            let mirrors = to.forward().mirrors.iter();
            let name = |slot: crate::config::ClusterSlot| config.cluster_names.get(slot.0 as usize).cloned();
            outcome.mirrors = mirrors.filter_map(|one| Some((name(one.cluster)?, one.fraction))).collect();
        }
        Decision::Redirect { rule, host, table, .. } => {
            filter::response_headers_of(rule.as_deref(), host, table, &mut outcome.response, &mut fill);
        }
        Decision::Respond { rule, host, table, .. } => {
            filter::response_headers_of(Some(rule), host, table, &mut outcome.response, &mut fill);
        }
        Decision::Fail { .. } => {}
    }
    if let (Some(cors), Some(origin)) =
        (filter::cors_of(&outcome.explanation.decision), call.headers.get(http::header::ORIGIN))
    {
        filter::respond(&chain.filters, Some(cors), Some(origin), &mut outcome.response);
    }
    outcome
}

impl Rehearsal {
    /// One short word or two: where it goes, for tables and counts.
    pub fn verdict(&self) -> String {
        match &self.outcome {
            Outcome::NoListener => "no listener".into(),
            Outcome::NoChain => "no filter chain".into(),
            Outcome::Close => "close".into(),
            Outcome::Tcp(targets) => {
                let total: u64 = targets.iter().map(|(_, weight, _)| u64::from(*weight)).sum();
                let one = |(name, weight, known): &(Arc<str>, u32, bool)| {
                    let share = if targets.len() == 1 { String::new() } else { format!(" {weight}/{total}") };
                    format!("{name}{share}{}", if *known { "" } else { " (unknown)" })
                };
                format!("tcp {}", targets.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            Outcome::Http(http) => http.verdict(),
        }
    }
}

impl HttpOutcome {
    /// True unless a filter answers in the upstream's place.
    pub fn ends_upstream(&self) -> bool {
        !matches!(self.steps.last(), Some(Step::Abort { .. } | Step::Deny(_) | Step::Preflight(_)))
    }

    fn verdict(&self) -> String {
        match self.steps.last() {
            Some(Step::Abort { status, grpc: None }) => return format!("abort {}", status.as_u16()),
            Some(Step::Abort { status, grpc: Some(code) }) => {
                return format!("abort {} grpc {code}", status.as_u16());
            }
            Some(Step::Preflight(_)) => return "answer preflight".into(),
            Some(Step::Deny(policy)) => return format!("deny 403 {}", filter::rbac_details(policy)),
            Some(Step::Delay(_)) | None => {}
        }
        match &self.explanation.decision {
            Decision::Forward(to) => format!("forward {}", to.cluster.name),
            Decision::Redirect { location, status, .. } => format!("redirect {} {location}", status.as_u16()),
            Decision::Respond { status, body, .. } => {
                format!("respond {} {:?}", status.as_u16(), String::from_utf8_lossy(body))
            }
            Decision::Fail { failure, status, missing, .. } => {
                let missing = missing.as_ref().map(|name| format!(" (no {name})")).unwrap_or_default();
                format!("fail {} {}{missing}", status.as_u16(), failure.row().flag)
            }
        }
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict())?;
        let named = |name: &Option<Arc<str>>| {
            name.as_deref().filter(|name| !name.is_empty()).unwrap_or("-").to_owned()
        };
        write!(f, "  listener {}", named(&self.listener))?;
        if self.chain.as_deref().is_some_and(|chain| !chain.is_empty()) {
            write!(f, ", chain {}", named(&self.chain))?;
        }
        match &self.outcome {
            Outcome::Http(http) => http.write(f),
            _ => writeln!(f),
        }
    }
}

impl HttpOutcome {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.explanation;
        write!(f, ", routes {}", why.table)?;
        match &why.host {
            Some((host, _)) => writeln!(f, ", host {host}")?,
            None => writeln!(f, ", no host")?,
        }
        if let Some(rule) = why.decision.rule() {
            write!(f, "  rule {}", if rule.name.is_empty() { "-" } else { &rule.name })?;
            for known in [&why.config, &why.origin].into_iter().flatten() {
                write!(f, ", {known}")?;
            }
            writeln!(f)?;
        } else {
            for tried in &why.tried {
                let name = [&*tried.rule.name, tried.rule.origin.as_deref().unwrap_or_default()];
                let name = name.iter().find(|name| !name.is_empty()).copied().unwrap_or("-");
                writeln!(f, "  not rule {name}: {}", tried.failed)?;
            }
        }
        for step in &self.steps {
            match step {
                Step::Delay(delay) => writeln!(f, "  delay {delay:?}")?,
                Step::Preflight(headers) => write_headers(f, "  answer + ", headers)?,
                Step::Abort { .. } | Step::Deny(_) => {}
            }
        }
        if let (Decision::Forward(to), Some((path, authority, headers))) = (&why.decision, &self.request) {
            write_settings(f, to)?;
            writeln!(f, "  request {authority} {path}")?;
            write_changes(f, &self.sent, headers)?;
        }
        write_headers(f, "  response + ", &self.response)?;
        if let Some(rule) = why.decision.rule() {
            for name in &rule.header_ops.response_remove {
                writeln!(f, "  response - {name}")?;
            }
        }
        for (cluster, parts) in &self.mirrors {
            writeln!(f, "  mirror {cluster} {}%", f64::from(*parts) / 10_000.0)?;
        }
        Ok(())
    }
}

fn write_settings(f: &mut fmt::Formatter<'_>, to: &ForwardTo) -> fmt::Result {
    let Action::Forward(forward) = &to.rule.action else { return Ok(()) };
    let Forward { timeout, retry, .. } = &**forward;
    let mut parts = Vec::new();
    if !timeout.is_zero() {
        parts.push(format!("timeout {timeout:?}"));
    }
    if let Some(retry) = retry {
        let per_try = match retry.per_try_timeout.is_zero() {
            true => String::new(),
            false => format!(" each {:?}", retry.per_try_timeout),
        };
        parts.push(format!("retries {}{per_try}", retry.retries));
    }
    if !forward.hash.is_empty() {
        parts.push("hashed".to_owned());
    }
    match parts.is_empty() {
        true => Ok(()),
        false => writeln!(f, "  {}", parts.join(", ")),
    }
}

fn write_headers(f: &mut fmt::Formatter<'_>, start: &str, headers: &HeaderMap) -> fmt::Result {
    headers
        .iter()
        .try_for_each(|(name, value)| writeln!(f, "{start}{name}: {}", value.to_str().unwrap_or("?")))
}

fn write_changes(f: &mut fmt::Formatter<'_>, before: &HeaderMap, after: &HeaderMap) -> fmt::Result {
    let values = |map: &HeaderMap, name: &http::HeaderName| -> Vec<String> {
        map.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        writeln!(f, "  - {name}")?;
    }
    for name in after.keys() {
        let (old, new) = (values(before, name), values(after, name));
        if old != new {
            writeln!(f, "  {} {name}: {}", if old.is_empty() { "+" } else { "=" }, new.join(" | "))?;
        }
    }
    Ok(())
}
