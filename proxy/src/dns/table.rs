//! Names of the mesh.
//!
//! In: the control plane's `NameTable`, where we are, the pod's search domains. Out: the addresses of a name, in all of
//! its short forms, or nothing, and then the pod's resolvers are asked. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use wire::nds::NameTable;

/// Names with their addresses, ready to look up.
#[derive(Debug, Default)]
pub struct Table {
    /// Lower case, without a final dot. Wildcards as `*.example.com`.
    names: HashMap<String, Arc<[IpAddr]>>,
    search: Vec<String>,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name without the search domain that a resolver added, where that is how it was found.
    pub alias: Option<String>,
    pub addresses: Arc<[IpAddr]>,
}

impl Table {
    /// Expands the short forms of Kubernetes services, as the search path of a pod would.
    pub fn new(table: &NameTable, namespace: &str, domain: &str, search: &[String]) -> Self {
        let mut names = HashMap::new();
        // `default.svc.cluster.local` without its first label is what all namespaces share.
        let shared = domain.split_once('.').map_or("svc.cluster.local", |(_, shared)| shared);
        for (host, entry) in &table.table {
            let addresses: Arc<[IpAddr]> = entry.ips.iter().filter_map(|ip| ip.parse().ok()).collect();
            let host = clean(host);
            for alias in &entry.alt_hosts {
                names.entry(clean(alias)).or_insert_with(|| addresses.clone());
            }
            if entry.registry == "Kubernetes" && !entry.shortname.is_empty() {
                let (short, own) = (clean(&entry.shortname), clean(&entry.namespace));
                let mut forms = vec![
                    format!("{short}.{own}"),
                    format!("{short}.{own}.svc"),
                    format!("{short}.{own}.{shared}"),
                ];
                if own == namespace {
                    forms.push(short);
                }
                for form in forms {
                    names.entry(form).or_insert_with(|| addresses.clone());
                }
            }
            // The full name wins over a short form of another.
            names.insert(host, addresses);
        }
        Table { names, search: search.to_vec() }
    }

    /// Addresses of a name; `None`: not ours.
    pub fn lookup(&self, name: &str) -> Option<Found> {
        let name = clean(name);
        if let Some(addresses) = self.exact_or_wildcard(&name) {
            return Some(Found { alias: None, addresses });
        }
        // A resolver that tries its search path first asks for `example.com.default.svc.cluster.local`.
        self.search.iter().find_map(|domain| {
            let alias = name.strip_suffix(domain)?.strip_suffix('.')?;
            // One label would be a short name, which is in the table in its own right.
            let addresses = self.exact_or_wildcard(alias).filter(|_| alias.contains('.'))?;
            Some(Found { alias: Some(alias.to_owned()), addresses })
        })
    }

    /// All names with their addresses, sorted, for dumps.
    pub fn list(&self) -> Vec<(&str, &[IpAddr])> {
        let mut all: Vec<_> = self.names.iter().map(|(name, ips)| (name.as_str(), &**ips)).collect();
        all.sort();
        all
    }

    fn exact_or_wildcard(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        if let Some(addresses) = self.names.get(name) {
            return Some(addresses.clone());
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(addresses) = self.names.get(&format!("*.{parent}")) {
                return Some(addresses.clone());
            }
            rest = parent;
        }
        None
    }
}

fn clean(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::nds::NameInfo;

    fn table() -> Table {
        let kubernetes = |short: &str, namespace: &str, ip: &str| NameInfo {
            ips: vec![ip.into()],
            registry: "Kubernetes".into(),
            shortname: short.into(),
            namespace: namespace.into(),
            alt_hosts: Vec::new(),
        };
        let external = |ips: &[&str]| NameInfo {
            ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
            registry: "External".into(),
            ..NameInfo::default()
        };
        let table = NameTable {
            table: [
                (
                    "reviews.default.svc.cluster.local".to_owned(),
                    kubernetes("reviews", "default", "10.96.0.1"),
                ),
                ("reviews.other.svc.cluster.local".to_owned(), kubernetes("reviews", "other", "10.96.0.2")),
                ("Example.com".to_owned(), external(&["240.240.0.1", "fd00::1"])),
                ("*.wild.com".to_owned(), external(&["240.240.0.2"])),
            ]
            .into(),
        };
        let search = ["default.svc.cluster.local".to_owned(), "svc.cluster.local".to_owned()];
        Table::new(&table, "default", "default.svc.cluster.local", &search)
    }

    #[test]
    fn short_forms_wildcards_and_search_paths() {
        let table = table();
        let cases = [
            ("reviews", Some(("10.96.0.1", None))),
            ("reviews.", Some(("10.96.0.1", None))),
            ("REVIEWS.default", Some(("10.96.0.1", None))),
            ("reviews.other.svc", Some(("10.96.0.2", None))),
            ("reviews.other.svc.cluster.local.", Some(("10.96.0.2", None))),
            ("reviews.default.svc.cluster.local", Some(("10.96.0.1", None))),
            ("example.com.default.svc.cluster.local", Some(("240.240.0.1", Some("example.com")))),
            ("example.com.svc.cluster.local", Some(("240.240.0.1", Some("example.com")))),
            ("a.b.wild.com", Some(("240.240.0.2", None))),
            ("wild.com", None),
            ("nothing.default.svc.cluster.local", None),
            ("example.org", None),
        ];
        for (name, wanted) in cases {
            let found = table.lookup(name);
            let got = found.as_ref().map(|found| (found.addresses[0].to_string(), found.alias.as_deref()));
            assert_eq!(got, wanted.map(|(ip, alias)| (ip.to_owned(), alias)), "{name}");
        }
    }
}
