//! DestinationRule objects -> policies per host, port and subset.
//!
//! Comes in: the world. Goes out: merged rules, each with its subsets. Look-up order for a client: its own
//! namespace, the namespace of the service, the root namespace. Several rules of one host in one namespace are
//! merged: subsets are joined, the oldest top policy wins.

use std::collections::BTreeMap;
use std::time::Duration;

use api::meta::labels_match;
use api::networking as written;
use api::{Code, Findings, Object};

use super::hashed::Hashed;
use super::mesh::Mesh;
use super::names::{covers, full};
use super::note::note;
use super::policy::{
    Algorithm, Balance, ClientTls, HashBalance, HashKey, HashTable, Keepalive, Locality, Outlier, Policy,
    Pool, RetryBudget, TlsMode, Upgrade, Warmup,
};
use super::service::Visibility;
use crate::world::World;
use crate::xds::names::config_path;

/// Built-in smallest hash ring.
const RING: u64 = 1024;
/// Built-in Maglev table.
const MAGLEV: u64 = 65537;

/// All rules, sorted by namespace and host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Traffic {
    pub rules: Vec<Hashed<TrafficRule>>,
    /// Positions of rules for wildcards.
    wild: Vec<usize>,
    /// Rules for some clients of their namespace, oldest first.
    chosen: Vec<Chosen>,
}

/// A rule with a `workloadSelector`, and the labels that it asks of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Chosen {
    labels: BTreeMap<String, String>,
    rule: Hashed<TrafficRule>,
}

/// One host's rule of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrafficRule {
    /// Full name or wildcard.
    pub host: String,
    pub namespace: String,
    /// Path of the object that gave the top policy.
    pub config: String,
    pub visibility: Visibility,
    pub top: PortPolicies,
    pub subsets: Vec<Subset>,
}

/// Endpoints with some labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subset {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub policies: PortPolicies,
}

/// A policy, and those of single ports, which inherit nothing from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortPolicies {
    pub top: Policy,
    pub ports: BTreeMap<u16, Policy>,
}

impl PortPolicies {
    fn at(&self, port: u16) -> &Policy {
        self.ports.get(&port).unwrap_or(&self.top)
    }
}

impl TrafficRule {
    /// What holds for a port, or for a subset on it.
    pub fn effective(&self, port: u16, subset: Option<&Subset>) -> Policy {
        let top = self.top.at(port);
        subset.map_or_else(|| top.clone(), |subset| top.overlaid(subset.policies.at(port)))
    }

    /// This rule on top of another one: block by block, subset by subset.
    pub fn over(&self, under: Option<&TrafficRule>, base: Option<&Policy>) -> TrafficRule {
        let mut out = self.clone();
        let Some(under) = under else {
            out.top.top = base.map_or_else(|| self.top.top.clone(), |base| base.overlaid(&self.top.top));
            return out;
        };
        out.top.top = under.top.top.overlaid(&self.top.top);
        for (port, policy) in &under.top.ports {
            let own = self.top.ports.get(port).cloned().unwrap_or_default();
            out.top.ports.insert(*port, policy.overlaid(&own));
        }
        out.subsets.extend(under.subsets.iter().filter(|s| self.subset(&s.name).is_none()).cloned());
        out
    }

    /// Every set of blocks in it.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        let all = std::iter::once(&self.top).chain(self.subsets.iter().map(|s| &s.policies));
        all.flat_map(|p| std::iter::once(&p.top).chain(p.ports.values()))
    }

    /// The subset with this name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|s| s.name == name)
    }
}

impl Traffic {
    /// Rules that choose a client by its labels; of several for one host, the oldest.
    pub fn chosen(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<Hashed<TrafficRule>> {
        let mut out: Vec<Hashed<TrafficRule>> = Vec::new();
        for one in self.chosen.iter().filter(|c| c.rule.namespace == namespace) {
            if labels_match(&one.labels, labels) && out.iter().all(|r| r.host != one.rule.host) {
                out.push(one.rule.clone());
            }
        }
        // The most specific host first.
        out.sort_by_key(|r| (r.host.starts_with('*'), std::cmp::Reverse(r.host.len())));
        out
    }

    /// Every rule, for all and for some clients.
    pub fn every(&self) -> impl Iterator<Item = &Hashed<TrafficRule>> {
        self.rules.iter().chain(self.chosen.iter().map(|c| &c.rule))
    }

    /// The rule that a client in `namespace` follows for a host.
    pub fn rule(
        &self,
        host: &str,
        service_namespace: &str,
        namespace: &str,
        root: &str,
    ) -> Option<&Hashed<TrafficRule>> {
        let mut places = vec![namespace, service_namespace, root];
        places.dedup();
        places.into_iter().find_map(|place| {
            let visible = |r: &&Hashed<TrafficRule>| place == namespace || r.visibility.includes(namespace);
            let exact =
                self.rules.binary_search_by(|r| (r.namespace.as_str(), r.host.as_str()).cmp(&(place, host)));
            let exact = exact.ok().map(|at| &self.rules[at]).filter(visible);
            exact.or_else(|| {
                let wild = self.wild.iter().map(|at| &self.rules[*at]);
                wild.filter(|r| r.namespace == place && covers(&r.host, host))
                    .filter(visible)
                    .max_by_key(|r| r.host.len())
            })
        })
    }
}

/// Reads all DestinationRules.
pub fn resolve(world: &World, mesh: &Mesh, findings: &mut Findings) -> Traffic {
    let mut rules: BTreeMap<(String, String), TrafficRule> = BTreeMap::new();
    let mut chosen = Vec::new();
    for object in world.by_age::<written::DestinationRule>() {
        let selector = object.spec.workload_selector.as_ref().map(|s| &s.match_labels);
        if let Some(labels) = selector.filter(|labels| !labels.is_empty()) {
            chosen.push(Chosen { labels: labels.clone(), rule: Hashed::new(rule(object, mesh, None)) });
            continue;
        }
        let rule = rule(object, mesh, mesh.policy.as_ref());
        let key = (rule.namespace.clone(), rule.host.clone());
        match rules.get_mut(&key) {
            None => drop(rules.insert(key, rule)),
            Some(first) => merge(first, rule, object, findings),
        }
    }
    let rules: Vec<_> = rules.into_values().map(Hashed::new).collect();
    let wild = (0..rules.len()).filter(|at| rules[*at].host.starts_with('*')).collect();
    Traffic { rules, wild, chosen }
}

fn merge(
    first: &mut TrafficRule,
    other: TrafficRule,
    object: &Object<written::DestinationRule>,
    findings: &mut Findings,
) {
    if first.visibility != other.visibility {
        let text =
            format!("an older DestinationRule of {} has another exportTo: this one is ignored", first.host);
        note(findings, object, "spec.exportTo", Code::NoEffect, text);
        return;
    }
    if first.top == PortPolicies::default() {
        first.top = other.top;
        first.config = other.config;
    } else if other.top != PortPolicies::default() {
        let text =
            format!("an older DestinationRule of {} has a trafficPolicy already, which wins", first.host);
        note(findings, object, "spec.trafficPolicy", Code::NoEffect, text);
    }
    for subset in other.subsets {
        if first.subset(&subset.name).is_some() {
            let text =
                format!("subset {:?} of {} is in an older DestinationRule already", subset.name, first.host);
            note(findings, object, "spec.subsets", Code::Duplicate, text);
        } else {
            first.subsets.push(subset);
        }
    }
}

fn rule(object: &Object<written::DestinationRule>, mesh: &Mesh, base: Option<&Policy>) -> TrafficRule {
    let spec = &object.spec;
    let namespace = object.meta.namespace.clone();
    let mut top = spec.traffic_policy.as_ref().map(policies).unwrap_or_default();
    if let Some(base) = base {
        top.top = base.overlaid(&top.top);
    }
    let subset = |s: &written::Subset| Subset {
        name: s.name.clone(),
        labels: s.labels.clone(),
        policies: s.traffic_policy.as_ref().map(policies).unwrap_or_default(),
    };
    TrafficRule {
        host: full(&spec.host, &namespace),
        config: config_path("destination-rule", &namespace, &object.meta.name),
        visibility: Visibility::parse(&spec.export_to, &namespace, &mesh.export_rules),
        top,
        subsets: spec.subsets.iter().map(subset).collect(),
        namespace,
    }
}

fn policies(policy: &written::TrafficPolicy) -> PortPolicies {
    let port = |p: &written::PortTrafficPolicy| {
        let number = u16::try_from(p.port.as_ref()?.number).ok()?;
        let policy = Policy {
            balance: p.load_balancer.as_ref().map(balance),
            pool: p.connection_pool.as_ref().map(pool),
            outlier: p.outlier_detection.as_ref().map(outlier),
            tls: p.tls.as_ref().map(tls),
            ..Default::default()
        };
        Some((number, policy))
    };
    PortPolicies { top: blocks(policy), ports: policy.port_level_settings.iter().filter_map(port).collect() }
}

/// The blocks of a policy, without its ports.
pub fn blocks(policy: &written::TrafficPolicy) -> Policy {
    Policy {
        balance: policy.load_balancer.as_ref().map(balance),
        pool: policy.connection_pool.as_ref().map(pool),
        outlier: policy.outlier_detection.as_ref().map(outlier),
        tls: policy.tls.as_ref().map(tls),
        proxy_protocol: policy.proxy_protocol.as_ref().map(|p| match p.version {
            written::ProxyProtocolVersion::V1 => 1,
            written::ProxyProtocolVersion::V2 => 2,
        }),
        retry_budget: policy.retry_budget.as_ref().map(|b| RetryBudget {
            percent: (b.percent.unwrap_or(20.0).clamp(0.0, 100.0) * 1e6).round() as u64,
            min_concurrency: b.min_retry_concurrency.unwrap_or(3),
        }),
    }
}

fn std(duration: Option<api::Duration>) -> Option<Duration> {
    duration.map(|d| d.to_std())
}

/// Zero means "not said" in these fields.
fn positive(value: i32) -> Option<u32> {
    u32::try_from(value).ok().filter(|n| *n > 0)
}

fn balance(from: &written::LoadBalancerSettings) -> Balance {
    let algorithm = match (&from.consistent_hash, from.simple.unwrap_or_default()) {
        (Some(hash), _) => hash_balance(hash).map_or(Algorithm::Default, Algorithm::Hash),
        (None, written::SimpleLb::Unspecified) => Algorithm::Default,
        (None, written::SimpleLb::LeastConn | written::SimpleLb::LeastRequest) => Algorithm::LeastRequest,
        (None, written::SimpleLb::Random) => Algorithm::Random,
        (None, written::SimpleLb::Passthrough) => Algorithm::Passthrough,
        (None, written::SimpleLb::RoundRobin) => Algorithm::RoundRobin,
    };
    let old = std(from.warmup_duration_secs).map(|duration| (duration, None, None));
    let warmup =
        from.warmup.as_ref().and_then(|w| Some((std(w.duration)?, w.minimum_percent, w.aggression))).or(old);
    Balance {
        algorithm,
        warmup: warmup.map(|(duration, minimum, aggression)| Warmup {
            duration,
            minimum: (minimum.unwrap_or(10.0).clamp(0.0, 100.0) * 1e4).round() as u32,
            aggression: (aggression.unwrap_or(1.0).max(0.0) * 1e6).round() as u32,
        }),
        locality: from.locality_lb_setting.as_ref().map(locality),
    }
}

fn hash_balance(from: &written::ConsistentHashLb) -> Option<HashBalance> {
    let key = if let Some(name) = &from.http_header_name {
        HashKey::Header(name.clone())
    } else if let Some(cookie) = &from.http_cookie {
        HashKey::Cookie {
            name: cookie.name.clone(),
            path: cookie.path.clone(),
            ttl: std(cookie.ttl),
            attributes: cookie.attributes.iter().map(|a| (a.name.clone(), a.value.clone())).collect(),
        }
    } else if from.use_source_ip == Some(true) {
        HashKey::SourceIp
    } else {
        HashKey::Query(from.http_query_parameter_name.clone()?)
    };
    let ring = from.ring_hash.as_ref().and_then(|r| r.minimum_ring_size).or(from.minimum_ring_size);
    let table = match &from.maglev {
        Some(maglev) => HashTable::Maglev(maglev.table_size.filter(|n| *n > 0).unwrap_or(MAGLEV)),
        None => HashTable::Ring(ring.filter(|n| *n > 0).unwrap_or(RING)),
    };
    Some(HashBalance { key, table })
}

/// A locality preference.
pub fn locality(from: &written::LocalityLbSetting) -> Locality {
    Locality {
        enabled: from.enabled.unwrap_or(true),
        failover: from.failover.iter().map(|f| (f.from.clone(), f.to.clone())).collect(),
        failover_labels: from.failover_priority.clone(),
        distribute: from
            .distribute
            .iter()
            .map(|d| (d.from.clone(), d.to.iter().map(|(k, v)| (k.clone(), *v)).collect()))
            .collect(),
    }
}

/// Limits of connections.
pub fn pool(from: &written::ConnectionPoolSettings) -> Pool {
    let mut out = Pool::default();
    if let Some(tcp) = &from.tcp {
        out.max_connections = positive(tcp.max_connections);
        out.connect_timeout = std(tcp.connect_timeout);
        out.keepalive = tcp.tcp_keepalive.as_ref().map(keepalive);
        out.max_connection_duration = std(tcp.max_connection_duration);
        out.tcp_idle_timeout = std(tcp.idle_timeout);
    }
    if let Some(http) = &from.http {
        out.max_pending_requests = positive(http.http1_max_pending_requests);
        out.max_requests = positive(http.http2_max_requests);
        out.max_requests_per_connection = positive(http.max_requests_per_connection);
        out.max_retries = positive(http.max_retries);
        out.http_idle_timeout = std(http.idle_timeout);
        out.upgrade = match http.h2_upgrade_policy {
            written::H2UpgradePolicy::Default => Upgrade::Default,
            written::H2UpgradePolicy::DoNotUpgrade => Upgrade::Never,
            written::H2UpgradePolicy::Upgrade => Upgrade::Always,
        };
        out.use_client_protocol = http.use_client_protocol;
        out.max_concurrent_streams = positive(http.max_concurrent_streams);
        out.http2_keepalive = http.http2_keep_alive.as_ref().map(|k| (std(k.interval), std(k.timeout)));
    }
    out
}

/// TCP keep-alive.
pub fn keepalive(from: &written::TcpKeepalive) -> Keepalive {
    Keepalive {
        probes: Some(from.probes).filter(|n| *n > 0),
        time: std(from.time),
        interval: std(from.interval),
    }
}

fn outlier(from: &written::OutlierDetection) -> Outlier {
    Outlier {
        consecutive_5xx: from.consecutive_5xx_errors.or_else(|| positive(from.consecutive_errors)),
        consecutive_gateway: from.consecutive_gateway_errors,
        split_local: from.split_external_local_origin_errors,
        consecutive_local: from.consecutive_local_origin_failures,
        interval: std(from.interval),
        base_ejection: std(from.base_ejection_time),
        max_ejection: positive(from.max_ejection_percent),
        min_health: u32::try_from(from.min_health_percent).unwrap_or_default(),
    }
}

fn tls(from: &written::ClientTlsSettings) -> ClientTls {
    ClientTls {
        mode: match from.mode {
            written::ClientTlsMode::Disable => TlsMode::Disable,
            written::ClientTlsMode::Simple => TlsMode::Simple,
            written::ClientTlsMode::Mutual => TlsMode::Mutual,
            written::ClientTlsMode::IstioMutual => TlsMode::IstioMutual,
        },
        certificate: from.client_certificate.clone(),
        key: from.private_key.clone(),
        ca: from.ca_certificates.clone(),
        credential: from.credential_name.clone(),
        sans: from.subject_alt_names.clone(),
        sni: from.sni.clone(),
        skip_verify: from.insecure_skip_verify.unwrap_or(false),
    }
}
