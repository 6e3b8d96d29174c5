//! What holds for clients of a service: its ports, its DestinationRule, its routes.
//!
//! In: a service as the scope of a namespace has it, and the pods that are described. Out: lines. A rule or route is named
//! only if it is the one in force there.

use std::collections::BTreeMap;

use api::meta::labels_match;
use api::networking::{DestinationRule, HttpMatchRequest, HttpRoute, TrafficPolicy, VirtualService};
use api::text::StringMatch;
use api::{Kind, Object};
use pilot::model::names::full;
use pilot::model::scope::Visible;
use pilot::model::service::{Port, Protocol, Target};
use pilot::model::workloads::Workload;
use pilot::offline::Paper;

use super::common::name;

/// Where the reader stands, and what is described.
pub(super) struct About<'a> {
    pub(super) paper: &'a Paper,
    /// Whose names need no namespace, and whose clients are asked.
    pub(super) namespace: &'a str,
    /// One pod, or all of a Service.
    pub(super) pods: Vec<&'a Workload>,
}

impl About<'_> {
    /// Service, ports, DestinationRule and routes.
    pub(super) fn service(&self, found: &Visible) -> String {
        let service = &found.service;
        let mut out = format!("Service: {}\n", name(&service.name, &service.namespace, self.namespace));
        for port in &service.ports {
            out.push_str(&self.port(port));
        }
        let subsets = self.destination_rule(found, &mut out);
        let routed = |set: &pilot::model::routes::route::RouteSet| {
            !(set.http.is_empty() && set.tls.is_empty() && set.tcp.is_empty())
        };
        let scope = self.paper.snapshot.scopes.of(self.namespace);
        if let Some(set) = scope.route(&service.host, routed)
            && let Some(rule) = self.paper.world.get::<VirtualService>(&set.namespace, &set.name)
        {
            self.virtual_service(rule, &service.host, subsets.as_ref(), &mut out);
        }
        out
    }

    fn port(&self, port: &Port) -> String {
        let label = if port.name.is_empty() { "<unnamed>" } else { &port.name };
        let protocol = match port.protocol {
            Protocol::Http => "HTTP",
            Protocol::Http2 => "HTTP2",
            Protocol::Grpc => "GRPC",
            Protocol::GrpcWeb => "GRPC-Web",
            Protocol::Tls if port.name.starts_with("https") => "HTTPS",
            Protocol::Tls => "TLS",
            Protocol::Tcp => "TCP",
            Protocol::Unknown => "auto-detect",
            Protocol::Udp => "UDP",
        };
        let target = match &port.target {
            Target::Number(number) => number.to_string(),
            Target::Name(word) => {
                let number = self.pods.iter().find_map(|pod| pod.ports.get(word));
                number.map_or_else(|| word.clone(), ToString::to_string)
            }
        };
        format!("   Port: {label} {}/{protocol} targets pod port {target}\n", port.number)
    }

    /// The rule in force, if there is one; and its subsets that some pod is in, and those that none is in.
    fn destination_rule(&self, found: &Visible, out: &mut String) -> Option<Subsets> {
        let rule = found.rule.as_ref()?;
        let (namespace, own) = object(&rule.config)?;
        let written = self.paper.world.get::<DestinationRule>(namespace, own);
        let host = written.map_or(rule.host.as_str(), |written| &written.spec.host);
        out.push_str(&format!("DestinationRule: {} for \"{host}\"\n", name(own, namespace, self.namespace)));
        let mut subsets = Subsets::default();
        for subset in &rule.subsets {
            let some = self.pods.iter().any(|pod| labels_match(&subset.labels, &pod.labels));
            if some { &mut subsets.mine } else { &mut subsets.others }.push(subset.name.clone());
        }
        match (subsets.mine.as_slice(), subsets.others.as_slice()) {
            ([], []) => {}
            ([], others) => out.push_str(&format!(
                "   WARNING: the pod is in none of the subsets ({}): routes that name one do not reach it\n",
                others.join(",")
            )),
            (mine, others) => {
                out.push_str(&format!("   Matching subsets: {}\n", mine.join(",")));
                if !others.is_empty() {
                    out.push_str(&format!("      (Non-matching subsets {})\n", others.join(",")));
                }
            }
        }
        policy(written.and_then(|written| written.spec.traffic_policy.as_ref()), out);
        Some(subsets)
    }

    fn virtual_service(
        &self,
        rule: &Object<VirtualService>,
        host: &str,
        subsets: Option<&Subsets>,
        out: &mut String,
    ) {
        out.push_str(&format!(
            "VirtualService: {}\n",
            name(&rule.meta.name, &rule.meta.namespace, self.namespace)
        ));
        let (mut facts, mut misses, mut matches) = (Vec::new(), Vec::new(), 0);
        for route in &rule.spec.http {
            let way = Way::of(route, host, &rule.meta.namespace, subsets);
            if way.reaches {
                matches += 1;
                facts.extend(way.facts);
            } else {
                misses.extend(way.facts);
            }
        }
        let l4 = rule.spec.tcp.len() + rule.spec.tls.len();
        if rule.spec.http.is_empty() {
            out.push_str(&format!("   {l4} TCP or TLS route(s)\n"));
            return;
        }
        if matches == 0 {
            let checked = rule.spec.http.len();
            out.push_str(&format!(
                "   WARNING: No destinations match pod subsets (checked {checked} HTTP routes)\n"
            ));
            misses.iter().for_each(|miss| out.push_str(&format!("      {miss}\n")));
            return;
        }
        facts.iter().for_each(|fact| out.push_str(&format!("   {fact}\n")));
        let rest = rule.spec.http.len() - matches;
        if rest > 0 {
            out.push_str(&format!("   {rest} additional destination(s) that will not reach this pod\n"));
            if facts.is_empty() {
                misses.iter().for_each(|miss| out.push_str(&format!("      {miss}\n")));
            }
        } else if facts.is_empty() {
            out.push_str(&format!("   {} HTTP route(s)\n", rule.spec.http.len()));
        }
    }
}

/// Subsets that some of the pods are in, and the others.
#[derive(Default)]
pub(super) struct Subsets {
    mine: Vec<String>,
    others: Vec<String>,
}

/// Whether one rule of a VirtualService reaches the pods, and what is worth telling about it.
struct Way {
    reaches: bool,
    facts: Vec<String>,
}

impl Way {
    fn of(route: &HttpRoute, host: &str, namespace: &str, subsets: Option<&Subsets>) -> Self {
        let when = conditions(&route.matches);
        let mut facts = Vec::new();
        for to in &route.route {
            let Some(destination) = &to.destination else { continue };
            if full(&destination.host, namespace) != host {
                facts.push(format!("Route to host \"{}\" for ({when})", destination.host));
                continue;
            }
            let subset = destination.subset.as_str();
            let in_it =
                subset.is_empty() || subsets.is_none_or(|known| known.mine.iter().any(|one| one == subset));
            if in_it {
                let mut facts: Vec<String> = Vec::new();
                if when != EVERYTHING {
                    facts.push(when);
                }
                if to.weight != 0 && to.weight != 100 {
                    facts.push(format!("Weight {}%", to.weight));
                }
                return Self { reaches: true, facts };
            }
            facts.push(format!("Route to non-matching subset {subset} for ({when})"));
        }
        if route.route.is_empty() {
            let does = if route.redirect.is_some() { "Redirect" } else { "Answer without a destination" };
            facts.push(format!("{does} for ({when})"));
        }
        Self { reaches: false, facts }
    }
}

const EVERYTHING: &str = "everything";

/// `when headers are end-user=jason`, or `everything`.
fn conditions(matches: &[HttpMatchRequest]) -> String {
    let all: Vec<String> = matches.iter().map(condition).collect();
    if all.is_empty() || all.iter().any(String::is_empty) {
        return EVERYTHING.to_owned();
    }
    format!("when {}", all.join(" or "))
}

fn condition(one: &HttpMatchRequest) -> String {
    let mut parts = Vec::new();
    let mut single = |word: &str, value: &Option<StringMatch>| {
        if let Some(value) = value {
            parts.push(format!("{word} is {}", shown(value)));
        }
    };
    single("uri", &one.uri);
    single("scheme", &one.scheme);
    single("method", &one.method);
    single("authority", &one.authority);
    let mut several = |word: &str, values: &BTreeMap<String, StringMatch>| {
        let pairs: Vec<String> =
            values.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
        if !pairs.is_empty() {
            parts.push(format!("{word} are {}", pairs.join(",")));
        }
    };
    several("headers", &one.headers);
    several("headers not", &one.without_headers);
    several("query parameters", &one.query_params);
    if !one.source_labels.is_empty() {
        let labels: Vec<String> =
            one.source_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        parts.push(format!("labels of the client are {}", labels.join(",")));
    }
    if !one.source_namespace.is_empty() {
        parts.push(format!("the client is in namespace {}", one.source_namespace));
    }
    if one.port != 0 {
        parts.push(format!("port is {}", one.port));
    }
    parts.join(" and ")
}

/// As people write patterns: `/a`, `/a*`, `regex /a.*`.
pub(super) fn shown(value: &StringMatch) -> String {
    match value {
        StringMatch::Exact(text) => text.clone(),
        StringMatch::Prefix(text) => format!("{text}*"),
        StringMatch::Regex(text) => format!("regex {text}"),
        StringMatch::Any => "*".to_owned(),
    }
}

fn policy(policy: Option<&TrafficPolicy>, out: &mut String) {
    let Some(policy) = policy else {
        out.push_str("   No Traffic Policy\n");
        return;
    };
    if let Some(tls) = &policy.tls {
        out.push_str(&format!("   Traffic Policy TLS Mode: {}\n", tls.mode.as_str()));
    }
    let blocks = [
        ("load balancer", policy.load_balancer.is_some()),
        ("connection pool", policy.connection_pool.is_some()),
        ("outlier detection", policy.outlier_detection.is_some()),
    ];
    let names: Vec<&str> = blocks.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        out.push_str(&format!("   Policies: {}\n", names.join("/")));
    }
    for one in &policy.port_level_settings {
        let number = one.port.as_ref().map(|port| port.number).unwrap_or_default();
        let tls = one.tls.as_ref().map(|tls| format!(" TLS Mode: {}", tls.mode.as_str())).unwrap_or_default();
        out.push_str(&format!("   Port {number} has a Traffic Policy of its own{tls}\n"));
    }
}

/// Namespace and name in `/apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME`.
fn object(path: &str) -> Option<(&str, &str)> {
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        [_, _, _, "namespaces", namespace, kind, name] => {
            debug_assert_eq!(Kind::from_word(&kind.replace('-', "")), Some(Kind::DestinationRule));
            Some((namespace, name))
        }
        _ => None,
    }
}
