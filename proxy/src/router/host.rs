//! From the authority of a request to its virtual host.
//!
//! In: a route table with its domain index, and `host[:port]`. Out: the index of the virtual host. Order as Envoy
//! has it: exact, longest suffix wildcard, longest prefix wildcard, `*`. Never allocates for lower-case names.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{RouteTable, VirtualHost};

/// The virtual host of an authority.
pub fn find_host<'a>(table: &'a RouteTable, authority: &str) -> Option<&'a Arc<VirtualHost>> {
    let name = if table.ignore_port { host_without_port(authority) } else { authority };
    let name: Cow<'_, str> = match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    };
    let name = name.as_ref();
    let index = (!name.is_empty())
        .then(|| {
            let exact = table.exact.get(name).copied();
            exact
                .or_else(|| table.suffix.longest(name, |length| name.get(name.len() - length..)))
                .or_else(|| table.prefix.longest(name, |length| name.get(..length)))
        })
        .flatten()
        .or(table.any)?;
    table.hosts.get(index as usize)
}

/// `host` of `host:port`, of `[v6]:port` with its brackets, or all of it.
pub fn host_without_port(authority: &str) -> &str {
    let Some(colon) = authority.rfind(':') else { return authority };
    let (host, port) = authority.split_at(colon);
    // RFC 3986: a port may be empty.
    let digits = port.bytes().skip(1).all(|b| b.is_ascii_digit());
    // A bare IPv6 address has more colons; only the bracketed form can carry a port.
    let plain = !host.contains(':') || host.ends_with(']');
    if digits && plain { host } else { authority }
}

impl RouteTable {
    /// Makes the domain index of `hosts`. Returns the domains that are named twice: the first host keeps them.
    pub fn index(&mut self) -> Vec<String> {
        let (mut exact, mut any) = (HashMap::<Box<str>, u32>::new(), None);
        let (mut suffix, mut prefix) = (WildIndex::default(), WildIndex::default());
        let mut twice = Vec::new();
        for (at, host) in self.hosts.iter().enumerate() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            for domain in &host.domains {
                let lower = domain.to_ascii_lowercase();
                let fresh = if lower == "*" {
                    let fresh = any.is_none();
                    any = any.or(Some(at));
                    fresh
                } else if let Some(rest) = lower.strip_prefix('*') {
                    suffix.add(rest, at)
                } else if let Some(rest) = lower.strip_suffix('*') {
                    prefix.add(rest, at)
                } else {
                    let fresh = !exact.contains_key(lower.as_str());
                    exact.entry(lower.into_boxed_str()).or_insert(at);
                    fresh
                };
                if !fresh {
                    twice.push(domain.to_string());
                }
            }
        }
        (self.exact, self.suffix, self.prefix, self.any) = (exact, suffix, prefix, any);
        twice
    }
}

/// Beginnings or endings of names: one look for each length that there is, longest first, however many there are.
#[derive(Debug, Default)]
pub struct WildIndex {
    texts: HashMap<Box<str>, u32>,
    /// Longest first.
    lengths: Vec<usize>,
}

impl WildIndex {
    /// False: the text was there before, and keeps its number.
    fn add(&mut self, text: &str, at: u32) -> bool {
        if self.texts.contains_key(text) {
            return false;
        }
        self.texts.insert(text.into(), at);
        if let Err(place) = self.lengths.binary_search_by(|length| text.len().cmp(length)) {
            self.lengths.insert(place, text.len());
        }
        true
    }

    /// The longest text that is the part of `name` which `part` cuts, with something left over.
    fn longest<'a>(&self, name: &str, part: impl Fn(usize) -> Option<&'a str>) -> Option<u32> {
        let shorter = self.lengths.iter().filter(|length| **length < name.len());
        shorter.filter_map(|length| self.texts.get(part(*length)?)).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(domains: &[&str], ignore_port: bool) -> RouteTable {
        let hosts = domains
            .iter()
            .map(|domain| {
                Arc::new(VirtualHost {
                    domains: vec![(*domain).into()],
                    name: (*domain).into(),
                    ..Default::default()
                })
            })
            .collect();
        let mut table = RouteTable { hosts, ignore_port, ..Default::default() };
        assert!(table.index().is_empty());
        table
    }

    #[test]
    fn order_of_domains() {
        let table = table(&["*", "a.b.com", "*.b.com", "*-x.b.com", "*.com", "www.*", "www.a.*"], false);
        for (authority, want) in [
            ("a.b.com", "a.b.com"),
            ("A.B.com", "a.b.com"),
            ("c.b.com", "*.b.com"),
            ("c-x.b.com", "*-x.b.com"),
            (".b.com", "*.com"),
            ("b.com", "*.com"),
            ("www.b.com", "*.b.com"),
            ("www.b.org", "www.*"),
            ("www.a.org", "www.a.*"),
            ("a.b.com:80", "*"),
            ("", "*"),
        ] {
            assert_eq!(&*find_host(&table, authority).expect("there is a *").name, want, "{authority}");
        }
    }

    #[test]
    fn ports() {
        let table = table(&["reviews", "[::1]", "10.0.0.1"], true);
        for authority in ["reviews", "reviews:9080", "[::1]:80", "[::1]", "10.0.0.1:1"] {
            assert!(find_host(&table, authority).is_some(), "{authority}");
        }
        for authority in ["reviews:http", "ratings", "::1"] {
            assert!(find_host(&table, authority).is_none(), "{authority}");
        }
    }

    #[test]
    fn domains_named_twice_are_told() {
        let host = |d: &[&str]| {
            Arc::new(VirtualHost { domains: d.iter().map(|d| (*d).into()).collect(), ..Default::default() })
        };
        let mut table = RouteTable {
            hosts: vec![host(&["a", "*", "*.c"]), host(&["A", "*", "*.C", "b"])],
            ..Default::default()
        };
        assert_eq!(table.index(), ["A", "*", "*.C"]);
        assert_eq!(table.exact["a"], 0);
    }
}
