//! A mesh on paper: objects and calls in, decisions out, through api, pilot, wire and proxy, with no socket and no
//! clock.
//!
//! In: texts of objects. Out: for a call from a pod or at a gateway, what each proxy on its way would do. Uses the
//! pure halves only: `pilot::offline` says what a proxy gets, the proxy's store compiles it, `rehearse` decides.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use base::Live;
use http::{HeaderMap, HeaderName};
use pilot::model::workloads::Workload;
use pilot::offline::Paper;
use proxy::balance::{Hint, Picker};
use proxy::config::{Cluster, Config, Discovery, Endpoint, EndpointAddress};
use proxy::dice::Dice;
use proxy::rehearse::{Call, Entry, Outcome, Rehearsal, rehearse};
use proxy::router::Decision;
use proxy::tls::Secrets;
use proxy::xds::{Batch, Store};
use serde_json::Value;
use wire::node::Role;
use wire::{Kind, Reject};

/// Objects, understood, with the proxies that were asked for.
pub struct Mesh {
    pub paper: Paper,
}

/// What one proxy obeys.
pub struct Loaded {
    pub config: Arc<Config>,
    pub rejects: Vec<Reject>,
    /// Names that are referred to and not said.
    pub missing: Vec<(Kind, Arc<str>)>,
    names: wire::nds::NameTable,
    namespace: String,
    gateway: bool,
    address: IpAddr,
}

/// What should be called, parsed from a file.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A pod or workload, or nothing: then `to` is called directly.
    pub from: Option<String>,
    /// A gateway's pod, or the pod of a direct call.
    pub to: Option<String>,
    /// `GET http://host:port/path`, `TCP host:port`, `TLS host:port`.
    pub request: String,
    pub headers: HeaderMap,
    pub times: u64,
}

impl Mesh {
    /// Understands these texts: name and content of each.
    pub fn read<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Mesh {
        Mesh { paper: Paper::read(texts) }
    }

    /// Everything that the proxy of a pod gets, compiled.
    pub fn load(&self, name: &str, delta: bool) -> Result<Loaded> {
        let node = self.paper.node(name)?;
        let layers = self.paper.dump(&node, delta);
        let live = Live::new(Config::default());
        let mut store = Store::new(live.clone(), Arc::new(Secrets::new()));
        let added = layers.iter().map(|resource| (**resource).clone()).collect();
        let changed = store.apply(Batch { added, removed: Vec::new() });
        Ok(Loaded {
            config: live.load(),
            rejects: changed.rejects,
            missing: store.missing(),
            names: (*store.names().load()).clone(),
            namespace: node.id.namespace.clone(),
            gateway: node.id.role == Role::Router,
            address: node.id.ip.parse().unwrap_or(IpAddr::from([127, 0, 0, 1])),
        })
    }

    /// Every workload that has a proxy.
    pub fn proxied(&self) -> Vec<String> {
        let all = self.paper.snapshot.workloads.iter().filter(|workload| workload.proxied);
        all.map(|workload| format!("{}/{}", workload.namespace, workload.name)).collect()
    }

    /// The way of a call, as text.
    pub fn call(&self, wish: &Wish) -> Result<String> {
        if wish.times <= 1 {
            return self.walk(wish, &mut Dice::new(1)).map(|way| way.text);
        }
        let mut dice = Dice::new(1);
        let mut counts = BTreeMap::<String, u64>::new();
        // One load serves all draws.
        let first = self.first(wish)?;
        for _ in 0..wish.times {
            *counts.entry(self.walk_from(wish, &first, &mut dice)?.verdict).or_default() += 1;
        }
        Ok(counts.iter().fold(String::new(), |mut text, (verdict, count)| {
            // Writing to a String cannot fail.
            writeln!(text, "{count} {verdict}").ok();
            text
        }))
    }

    fn first(&self, wish: &Wish) -> Result<Loaded> {
        let name = wish.from.as_deref().or(wish.to.as_deref()).context("a call needs `from` or `to`")?;
        self.load(name, true)
    }

    fn walk(&self, wish: &Wish, dice: &mut Dice) -> Result<Way> {
        let first = self.first(wish)?;
        self.walk_from(wish, &first, dice)
    }

    fn walk_from(&self, wish: &Wish, first: &Loaded, dice: &mut Dice) -> Result<Way> {
        let call = self.parse(wish, first)?;
        let rehearsal = rehearse(&first.config, &call, dice);
        let mut way = Way { text: rehearsal.to_string(), verdict: rehearsal.verdict() };
        if let Some(hop) = self.hop(&rehearsal, &first.config, &call, dice) {
            way.verdict += &format!(" at {}", hop.place);
            writeln!(way.text, "  to {}{}", hop.place, hop.transport)?;
            if let Some(next) = hop.next.filter(|_| wish.times <= 1) {
                let server = self.load(&hop.place, true)?;
                let arrived = rehearse(&server.config, &next, dice).to_string();
                // Verdict and chain; there is one rule at the server's side.
                for line in arrived.lines().take(2) {
                    writeln!(way.text, "    {line}")?;
                }
            }
        }
        Ok(way)
    }

    fn parse(&self, wish: &Wish, first: &Loaded) -> Result<Call> {
        let (method, url) = wish.request.split_once(' ').context("a request is METHOD URL")?;
        let (scheme, rest) = match url.split_once("://") {
            Some(split) => split,
            None => ("tcp", url),
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let default = if scheme == "https" { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().with_context(|| format!("port of {url}"))?),
            None => (authority, default),
        };
        let tls = scheme == "https" || method == "TLS";
        let entry = match (&wish.from, first.gateway) {
            (Some(_), _) => Entry::Outbound,
            (None, true) => Entry::Port,
            (None, false) => Entry::Inbound,
        };
        let destination = match entry {
            Entry::Outbound => SocketAddr::new(self.resolve(host, first), port),
            Entry::Inbound | Entry::Port => SocketAddr::new(first.address, self.target(first, port)),
        };
        let http = !matches!(method, "TCP" | "TLS");
        Ok(Call {
            entry,
            destination,
            source: SocketAddr::new(first.address, 40_000),
            tls,
            server_name: tls.then(|| host.into()),
            protocols: if http { vec!["http/1.1".into()] } else { Vec::new() },
            method: if http { method.parse()? } else { http::Method::CONNECT },
            scheme: if tls { "https".into() } else { "http".into() },
            authority: authority.to_owned(),
            path: if path.is_empty() { "/".into() } else { path.to_owned() },
            headers: wish.headers.clone(),
        })
    }

    /// What the proxy's DNS would answer; names outside of the mesh get an address of the test net.
    fn resolve(&self, host: &str, first: &Loaded) -> IpAddr {
        if let Ok(ip) = host.parse() {
            return ip;
        }
        let search = [
            host.to_owned(),
            format!("{host}.{}.svc.cluster.local", first.namespace),
            format!("{host}.svc.cluster.local"),
            format!("{host}.cluster.local"),
        ];
        let found = search.iter().find_map(|name| first.names.table.get(name));
        found.and_then(|info| info.ips.first()?.parse().ok()).unwrap_or(IpAddr::from([203, 0, 113, 1]))
    }

    /// Port of the gateway's pod behind a port of its Service, as the usual Service has them.
    fn target(&self, first: &Loaded, port: u16) -> u16 {
        match (first.gateway, port) {
            (true, 80) => 8080,
            (true, 443) => 8443,
            (_, port) => port,
        }
    }

    fn hop(&self, rehearsal: &Rehearsal, config: &Config, call: &Call, dice: &mut Dice) -> Option<Hop> {
        let (cluster, hash, alpn) = match &rehearsal.outcome {
            Outcome::Http(http) => match &http.explanation.decision {
                Decision::Forward(to) if http.ends_upstream() => {
                    (to.cluster.clone(), http.hash, http.alpn.clone())
                }
                _ => return None,
            },
            Outcome::Tcp(targets) => {
                let total = targets.iter().map(|(_, weight, _)| u64::from(*weight)).sum();
                let mut left = dice.below(total);
                let (name, ..) = targets.iter().find(|(_, weight, _)| {
                    let found = left < u64::from(*weight);
                    left = left.saturating_sub(u64::from(*weight));
                    found
                })?;
                (config.cluster(*config.cluster_slots.get(name)?)?.clone(), None, None)
            }
            _ => return None,
        };
        if call.entry == Entry::Inbound {
            return None;
        }
        let seed = dice.roll();
        let mut picker = Picker::new(Dice::new(seed));
        let endpoint = match cluster.settings.discovery {
            Discovery::OriginalDst { .. } => picker.original(&cluster, call.destination),
            _ => match picker.pick(&cluster, &Hint { hash, ..Hint::default() }, 0) {
                Some(endpoint) => endpoint,
                None => {
                    return Some(Hop { place: "no endpoint".into(), transport: String::new(), next: None });
                }
            },
        };
        Some(self.arrive(&cluster, &endpoint, alpn, call, rehearsal))
    }

    fn arrive(
        &self,
        cluster: &Cluster,
        endpoint: &Endpoint,
        alpn: Option<Vec<Arc<str>>>,
        call: &Call,
        rehearsal: &Rehearsal,
    ) -> Hop {
        let settings = &cluster.settings;
        let matched = endpoint.tls_match.and_then(|index| settings.tls_matches.get(index));
        let tls = matched.map_or(&settings.tls, |matched| &matched.tls);
        let alpn = alpn.or_else(|| tls.as_ref().map(|tls| tls.alpn.clone())).unwrap_or_default();
        let transport = match tls {
            Some(tls) => {
                format!(", TLS {} [{}]", tls.sni, alpn.iter().map(|one| &**one).collect::<Vec<_>>().join(" "))
            }
            None => String::new(),
        };
        let EndpointAddress::Ip(address) = endpoint.address else {
            return Hop { place: "a pipe".into(), transport, next: None };
        };
        let Some(workload) = self.at(address.ip()) else {
            return Hop { place: address.to_string(), transport, next: None };
        };
        let place = format!("{}/{}", workload.namespace, workload.name);
        if !workload.proxied {
            return Hop { place: place + " (no proxy)", transport, next: None };
        }
        let (path, authority, headers) = match &rehearsal.outcome {
            Outcome::Http(http) => http.request.clone().unwrap_or_default(),
            _ => Default::default(),
        };
        let plain = matches!(rehearsal.outcome, Outcome::Http(_)).then(|| vec!["http/1.1".into()]);
        let next = Call {
            entry: Entry::Inbound,
            destination: address,
            tls: tls.is_some() || (call.tls && plain.is_none()),
            server_name: tls.as_ref().map(|tls| tls.sni.clone()).or_else(|| call.server_name.clone()),
            protocols: if tls.is_some() { alpn } else { plain.unwrap_or_default() },
            scheme: "http".into(),
            path,
            authority,
            headers,
            ..call.clone()
        };
        Hop { place, transport, next: Some(next) }
    }

    fn at(&self, address: IpAddr) -> Option<&Workload> {
        self.paper.snapshot.workloads.at(&address).map(|workload| &**workload)
    }
}

/// The way of one call.
struct Way {
    text: String,
    verdict: String,
}

/// Where a call goes next.
struct Hop {
    place: String,
    transport: String,
    /// Set where another proxy takes it.
    next: Option<Call>,
}

impl Wish {
    /// From one entry of `calls`.
    pub fn of(value: &Value) -> Result<Wish> {
        let map = value.as_object().ok_or_else(|| anyhow!("a call is a map"))?;
        let mut wish =
            Wish { from: None, to: None, request: String::new(), headers: HeaderMap::new(), times: 1 };
        for (key, value) in map {
            let text = || value.as_str().map(str::to_owned).ok_or_else(|| anyhow!("{key} must be text"));
            match key.as_str() {
                "from" => wish.from = Some(text()?),
                "to" => wish.to = Some(text()?),
                "request" => wish.request = text()?,
                "times" => wish.times = value.as_u64().context("times must be a number")?,
                "headers" => {
                    for (name, value) in value.as_object().context("headers must be a map")? {
                        let value = value.as_str().with_context(|| format!("header {name} must be text"))?;
                        wish.headers.append(HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
                    }
                }
                other => bail!("a call has no {other}"),
            }
        }
        Ok(wish)
    }

    /// One line that says it.
    pub fn title(&self) -> String {
        let mut title = self.request.clone();
        for (name, value) in &self.headers {
            title += &format!(" {name}={}", value.to_str().unwrap_or("?"));
        }
        if let Some(from) = &self.from {
            title = format!("{from}: {title}");
        }
        if let Some(to) = &self.to {
            title = format!("{to} <- {title}");
        }
        if self.times > 1 {
            title += &format!(" x{}", self.times);
        }
        title
    }
}
