//! What the proxy of a planned pod would do with a request.
//!
//! In: its resources and the request. Out: an `Answer`: listener, chain, route, rule with file and line, cluster,
//! candidates, and the head as it would be sent. All of it by the proxy's own code: `xds::Store` compiles, `listen`
//! chooses the chain, `router` decides, `filter` changes the head.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base::Live;
use http::{HeaderMap, HeaderValue};
use proxy::config::{App, Config, HttpChain, Listener, Target, TcpChain};
use proxy::dice::Dice;
use proxy::filter::{request_headers, response_headers, rewrite};
use proxy::listen::{Seen, choose};
use proxy::observe::Conn;
use proxy::router::{Decision, Explanation, ForwardTo, Head, explain};
use proxy::tls::Secrets;
use proxy::xds::{Batch, Store};
use wire::nds::NameTable;
use wire::node::Role;

use super::answer::{Answer, changes, endpoints, faults, object, percent};
use super::proxy::Proxy;
use super::request::Request;

/// Decides. The same seed draws the same share.
///
/// # Errors
/// The request cannot reach the proxy: no such address, or nothing listens.
pub fn decide(proxy: &Proxy, request: &Request, seed: u64) -> Result<Answer> {
    let live = Live::new(Config::default());
    let mut store = Store::new(live.clone(), Arc::new(Secrets::new()));
    let added = proxy.layers.iter().map(|resource| (**resource).clone()).collect();
    let changed = store.apply(Batch { added, removed: Vec::new() });
    let config = live.load();
    let mut answer =
        Answer { refused: changed.rejects.iter().map(ToString::to_string).collect(), ..Answer::default() };
    let known = destination(proxy, &store.names().load(), request);
    if known.is_none() {
        answer.note =
            format!("the mesh does not know the name {}: any address outside stands for it", request.host);
    }
    let destination = known.unwrap_or_else(|| SocketAddr::new(OUTSIDE, request.port));
    answer.destination = destination.to_string();
    let listener = listener(&config, proxy, destination)?;
    answer.listener = listener.name.to_string();
    let seen = Seen {
        destination,
        source: SocketAddr::new(proxy.node.id.ip.parse().unwrap_or(Ipv4Addr::LOCALHOST.into()), 40000),
        server_name: (request.scheme == "https").then(|| request.host.as_str().into()),
        tls: request.scheme == "https",
        protocols: if request.scheme == "https" {
            vec!["h2".into(), "http/1.1".into()]
        } else {
            vec!["http/1.1".into()]
        },
    };
    let Some(chain) = choose(listener, &seen) else {
        answer.decision = "fail".into();
        answer.detail = "no filter chain of the listener takes this connection: it is closed".into();
        return Ok(answer);
    };
    answer.chain = chain.name.to_string();
    let mut dice = Dice::new(seed);
    match &chain.app {
        App::Http(http) => {
            through_http(&mut answer, &config, http, &connection(listener, &seen), request, &mut dice)
        }
        App::Tcp(tcp) => through_tcp(&mut answer, &config, tcp),
        App::Close => {
            answer.decision = "fail".into();
            answer.detail = "the connection is closed".into();
        }
    }
    Ok(answer)
}

fn connection(listener: &Listener, seen: &Seen) -> Conn {
    Conn {
        id: 1,
        peer: seen.source,
        local: seen.destination,
        direction: listener.direction,
        listener: listener.name.clone(),
        borrowed: None,
        tls: None,
        server_name: seen.server_name.clone(),
        tcp_peer: parking_lot::Mutex::new(None),
        started: Instant::now(),
    }
}

/// Stands for names that the mesh does not know (TEST-NET-3 of RFC 5737).
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Where the application would connect to: a name that the proxy's DNS knows, an address, or the gateway's own port.
fn destination(proxy: &Proxy, names: &NameTable, request: &Request) -> Option<SocketAddr> {
    let id = &proxy.node.id;
    if id.role == Role::Router {
        let own = id.ip.parse().unwrap_or(Ipv4Addr::LOCALHOST.into());
        return Some(SocketAddr::new(own, gateway_port(proxy, request.port)));
    }
    if let Some(address) = request.address() {
        return Some(SocketAddr::new(address, request.port));
    }
    let domain = id.domain.as_str();
    let base = domain.split_once('.').map_or(domain, |(_, rest)| rest);
    let parent = base.split_once('.').map_or(base, |(_, rest)| rest);
    let host = request.host.trim_end_matches('.');
    let spellings =
        [host.to_owned(), format!("{host}.{domain}"), format!("{host}.{base}"), format!("{host}.{parent}")];
    let known = spellings.iter().find_map(|name| names.table.get(name));
    let known =
        known.or_else(|| names.table.values().find(|one| one.alt_hosts.iter().any(|alt| alt == host)));
    let address = known?.ips.first()?.parse().ok()?;
    Some(SocketAddr::new(address, request.port))
}

/// The port that a gateway's pod has behind a port of its Service.
fn gateway_port(proxy: &Proxy, port: u16) -> u16 {
    let (name, namespace) = (&proxy.node.id.name, &proxy.node.id.namespace);
    let Some(workload) = proxy.paper.snapshot.workloads.named(namespace, name) else { return port };
    let services = proxy.paper.snapshot.services.all.iter().filter(|service| service.namespace == *namespace);
    let behind = services
        .filter(|service| {
            !service.selector.is_empty() && api::meta::labels_match(&service.selector, &workload.labels)
        })
        .find_map(|service| pilot::model::target_number(service.port(port)?, Some(workload)));
    behind.unwrap_or(port)
}

fn listener<'a>(config: &'a Config, proxy: &Proxy, destination: SocketAddr) -> Result<&'a Listener> {
    let bound = |port: u16| {
        let mut bound = config.listeners.values().filter(|one| one.bind);
        bound.find(|one| one.addresses.iter().any(|address| address.port() == port)).map(|one| &**one)
    };
    if proxy.node.id.role == Role::Router {
        let port = destination.port();
        return bound(port).with_context(|| {
            let mut ports: Vec<u16> =
                config.listeners.values().flat_map(|l| &l.addresses).map(SocketAddr::port).collect();
            ports.sort_unstable();
            format!("no Gateway makes this pod listen on port {port}; it listens on {ports:?}")
        });
    }
    let own = config.listener_for(destination).map(|one| &**one);
    let outbound = || config.listeners.values().find(|one| one.hand_over).map(|one| &**one);
    own.or_else(outbound).context("the proxy has no listener for outbound connections")
}

fn through_tcp(answer: &mut Answer, config: &Config, tcp: &TcpChain) {
    let name = |slot: proxy::config::ClusterSlot| {
        config.cluster_names.get(slot.0 as usize).map(ToString::to_string).unwrap_or_default()
    };
    answer.decision = "forward".into();
    answer.detail = "as a TCP connection".into();
    if tcp.targets.len() > 1 {
        answer.shares = tcp.targets.iter().map(|(slot, weight)| (name(*slot), *weight)).collect();
    }
    match tcp.targets.first() {
        Some((slot, _)) => {
            answer.cluster = name(*slot);
            if let Some(cluster) = config.cluster(*slot) {
                answer.endpoints = endpoints(cluster);
            }
        }
        None => {
            answer.decision = "fail".into();
            answer.detail = "the chain has no cluster: the connection is closed".into();
        }
    }
}

fn through_http(
    answer: &mut Answer,
    config: &Config,
    chain: &HttpChain,
    conn: &Conn,
    request: &Request,
    dice: &mut Dice,
) {
    let head = Head {
        method: &request.method,
        scheme: &request.scheme,
        authority: &request.authority,
        path: &request.path,
        headers: &request.headers,
    };
    let explained = explain(config, chain, conn, &head, dice);
    describe(answer, &explained);
    match &explained.decision {
        Decision::Forward(to) => forward(answer, config, to, request),
        Decision::Redirect { location, status, .. } => {
            answer.decision = "redirect".into();
            answer.status = Some(status.as_u16());
            answer.detail = format!("to {location}");
        }
        Decision::Respond { status, body, .. } => {
            answer.decision = "respond".into();
            answer.status = Some(status.as_u16());
            answer.detail = String::from_utf8_lossy(body).into_owned();
        }
        Decision::Fail { failure, status, missing, .. } => {
            answer.decision = "fail".into();
            answer.status = Some(status.as_u16());
            let missing = missing.as_ref().map(|name| format!(": {name} is not there")).unwrap_or_default();
            answer.detail = format!("{} ({}){missing}", failure.row().details, failure.row().flag);
        }
    }
}

fn describe(answer: &mut Answer, explained: &Explanation) {
    answer.route = explained.table.to_string();
    if let Some((name, _)) = &explained.host {
        answer.virtual_host = name.to_string();
    }
    let lost = explained.tried.iter().filter(|tried| !tried.matched);
    answer.tried = lost
        .map(|tried| {
            let origin = tried.rule.origin.as_deref().map(|place| format!(" ({place})")).unwrap_or_default();
            let name =
                if tried.rule.name.is_empty() { String::new() } else { format!(" {}", tried.rule.name) };
            format!("rule {}{name}{origin}: {} does not match", tried.index, tried.failed)
        })
        .collect();
    answer.object = explained.config.as_deref().map(object).unwrap_or_default();
    answer.rule = explained.origin.as_deref().unwrap_or_default().to_owned();
}

fn forward(answer: &mut Answer, config: &Config, to: &ForwardTo, request: &Request) {
    answer.decision = "forward".into();
    answer.cluster = to.cluster.name.to_string();
    answer.endpoints = endpoints(&to.cluster);
    let name = |slot: proxy::config::ClusterSlot| {
        config.cluster_names.get(slot.0 as usize).map(ToString::to_string).unwrap_or_default()
    };
    let forward = to.forward();
    if let Target::Weighted { splits, .. } = &forward.target {
        answer.shares = splits.iter().map(|split| (name(split.cluster), split.weight)).collect();
    }
    // What is filled in from the connection is only known when there is one.
    let mut unknown =
        |_: &proxy::observe::TextFormat| Some(HeaderValue::from_static("(filled in when sent)"));
    let (mut path, mut authority) = (request.path.clone(), request.authority.clone());
    let mut headers = request.headers.clone();
    request_headers(to, &mut headers, &mut unknown);
    rewrite(to, &mut path, &mut authority, true, &mut headers);
    answer.request_headers = changes(&request.headers, &headers);
    if (&path, &authority) != (&request.path, &request.authority) {
        answer.rewritten = format!("{} {}://{authority}{path}", request.method, request.scheme);
    }
    let mut response = HeaderMap::new();
    response_headers(to, &mut response, &mut unknown);
    answer.response_headers = changes(&HeaderMap::new(), &response);
    if forward.timeout > Duration::ZERO {
        answer.also.push(format!("timeout {:?}", forward.timeout));
    }
    if let Some(retry) = forward.retry.as_ref().or(to.host.retry.as_ref()) {
        let each = match retry.per_try_timeout {
            Duration::ZERO => String::new(),
            time => format!(", {time:?} each"),
        };
        answer.also.push(format!("up to {} retries{each}", retry.retries));
    }
    for mirror in &forward.mirrors {
        answer.also.push(format!("mirrored to {} ({})", name(mirror.cluster), percent(mirror.fraction)));
    }
    let fault = to.share().and_then(|share| share.fault.as_ref()).or(to.rule.fault.as_ref());
    answer.also.extend(fault.iter().flat_map(|fault| faults(fault)));
}
