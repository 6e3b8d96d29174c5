//! What hash policies hash, and the tables that turn a hash into an endpoint. All values as Envoy has them:
//! xxHash64 with seed 0, so that two data planes send the same key to the same endpoint.

use std::sync::Arc;

use http::HeaderValue;
use http::header::COOKIE;
use xxhash_rust::xxh64::xxh64;

use super::{maglev, ring};
use crate::config::{Balance, Endpoint, EndpointAddress, EndpointSet, HashPolicy, LocalityGroup};
use crate::observe::Conn;
use crate::router::{Head, query_value};

/// Ring or Maglev table over the healthy endpoints of one priority: (hash or slot) -> index into the flattened list.
#[derive(Debug)]
pub enum HashTable {
    /// Sorted by hash.
    Ring(Vec<(u64, u32)>),
    Maglev(Vec<u32>),
}

/// What the policies of a route made of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hashed {
    /// `None`: nothing to hash was there, any endpoint will do.
    pub hash: Option<u64>,
    /// `set-cookie` of the response, where a cookie had to be made.
    pub set_cookie: Option<HeaderValue>,
}

impl HashTable {
    /// Index of the endpoint of a hash; the table is not empty.
    pub fn find(&self, hash: u64) -> usize {
        match self {
            Self::Ring(ring) => {
                let at = ring.partition_point(|(entry, _)| *entry < hash);
                ring.get(at).or_else(|| ring.first()).map_or(0, |(_, index)| *index as usize)
            }
            Self::Maglev(table) => {
                let at = hash % (table.len() as u64).max(1);
                table.get(at as usize).map_or(0, |index| *index as usize)
            }
        }
    }

    /// Builds the table of a hashing balancer; `None` for the others and for an empty list.
    pub(super) fn build(balance: Balance, entries: &[(Arc<Endpoint>, f64)]) -> Option<Self> {
        if entries.is_empty() {
            return None;
        }
        let keyed: Vec<_> =
            entries.iter().map(|(endpoint, weight)| (key(&endpoint.address), *weight)).collect();
        match balance {
            Balance::RingHash { minimum, maximum } => Some(Self::Ring(ring::build(&keyed, minimum, maximum))),
            Balance::Maglev { table } => Some(Self::Maglev(maglev::build(&keyed, table))),
            _ => None,
        }
    }
}

/// The tables of a new set, by priority, over the endpoints that are healthy in it. Empty for other balancers.
pub fn tables(
    balance: Balance,
    priorities: &[Vec<LocalityGroup>],
    locality_weighted: bool,
) -> Vec<Arc<HashTable>> {
    if !matches!(balance, Balance::RingHash { .. } | Balance::Maglev { .. }) {
        return Vec::new();
    }
    let table = |groups: &Vec<LocalityGroup>| {
        let entries = weighted(groups, locality_weighted, &|endpoint| endpoint.healthy);
        Arc::new(HashTable::build(balance, &entries).unwrap_or(HashTable::Ring(Vec::new())))
    };
    priorities.iter().map(table).collect()
}

/// The endpoints of a priority that `take` accepts, with their share of all weight.
pub(super) fn weighted(
    groups: &[LocalityGroup],
    locality_weighted: bool,
    take: &dyn Fn(&Endpoint) -> bool,
) -> Vec<(Arc<Endpoint>, f64)> {
    let mut entries = Vec::new();
    for group in groups {
        let taken: Vec<_> = group.endpoints.iter().filter(|endpoint| take(endpoint)).collect();
        let sum: f64 = taken.iter().map(|endpoint| f64::from(endpoint.weight)).sum();
        let scale = if locality_weighted && sum > 0.0 { f64::from(group.weight) / sum } else { 1.0 };
        entries
            .extend(taken.into_iter().map(|endpoint| (endpoint.clone(), f64::from(endpoint.weight) * scale)));
    }
    let total: f64 = entries.iter().map(|(_, weight)| weight).sum();
    entries.iter_mut().for_each(|(_, weight)| *weight /= total);
    entries
}

/// The name under which an endpoint is hashed: its address as text.
fn key(address: &EndpointAddress) -> String {
    match address {
        EndpointAddress::Ip(address) => address.to_string(),
        EndpointAddress::Pipe(path) => path.to_string(),
    }
}

/// Joins what each policy finds, in order.
pub fn hash_request(policies: &[HashPolicy], head: &Head<'_>, conn: &Conn) -> Hashed {
    let mut hashed = Hashed::default();
    for policy in policies {
        let found = match policy {
            HashPolicy::Header(name) => header_hash(head, name),
            HashPolicy::SourceIp => Some(hash_source(conn)),
            HashPolicy::Query(name) => {
                let query = head.path.split_once('?').map_or("", |(_, query)| query);
                query_value(query, name).map(|value| xxh64(value.as_bytes(), 0))
            }
            HashPolicy::Cookie { name, ttl, path, attributes } => match (cookie(head, name), ttl) {
                (Some(value), _) => Some(xxh64(value.as_bytes(), 0)),
                (None, None) => None,
                (None, Some(ttl)) => {
                    let value =
                        format!("{:016x}", xxh64(format!("{}{}", conn.peer, conn.local).as_bytes(), 0));
                    hashed.set_cookie = set_cookie(name, &value, ttl.as_secs(), path, attributes);
                    Some(xxh64(value.as_bytes(), 0))
                }
            },
        };
        if let Some(found) = found {
            hashed.hash = Some(hashed.hash.map_or(found, |so_far| so_far.rotate_left(1) ^ found));
        }
    }
    hashed
}

/// Hash of the client's address, without port.
pub fn hash_source(conn: &Conn) -> u64 {
    xxh64(conn.peer.ip().to_canonical().to_string().as_bytes(), 0)
}

fn header_hash(head: &Head<'_>, name: &http::HeaderName) -> Option<u64> {
    if *name == http::header::HOST {
        return Some(xxh64(head.authority.as_bytes(), 0));
    }
    let mut values: Vec<_> = head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    match values.as_slice() {
        [] => None,
        [one] => Some(xxh64(one, 0)),
        _ => {
            // Order on the wire must not matter.
            values.sort_unstable();
            Some(values.iter().fold(0, |seed, value| xxh64(value, seed)))
        }
    }
}

fn cookie<'a>(head: &Head<'a>, name: &str) -> Option<&'a str> {
    let lines = head.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (key, value) = pair.trim_start().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

fn set_cookie(
    name: &str,
    value: &str,
    max_age: u64,
    path: &str,
    attributes: &[(Arc<str>, Arc<str>)],
) -> Option<HeaderValue> {
    let mut text = format!("{name}=\"{value}\"");
    if max_age > 0 {
        text += &format!("; Max-Age={max_age}");
    }
    if !path.is_empty() {
        text += &format!("; Path={path}");
    }
    for (key, value) in attributes {
        text += &if value.is_empty() { format!("; {key}") } else { format!("; {key}={value}") };
    }
    HeaderValue::from_str(&(text + "; HttpOnly")).ok()
}

impl EndpointSet {
    /// All endpoints, priority by priority.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.priorities.iter().flatten().flat_map(|group| &group.endpoints)
    }
}
