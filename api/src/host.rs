//! Host names: short names, wildcards, and which of several is the most specific.
//!
//! Used wherever a kind names a host. `resolve` turns what a rule says into a full name; `Host` compares names as
//! Istio does: a name without wildcard beats one with, a longer wildcard beats a shorter one.

use std::cmp::Ordering;

/// DNS domain of a cluster where nobody says otherwise.
pub const DEFAULT_DOMAIN: &str = "cluster.local";

/// The full name of a host written in an object of a namespace: names without a dot are Services of that namespace;
/// everything else stays. Wildcards stay.
pub fn resolve(host: &str, namespace: &str, domain: &str) -> String {
    if host.is_empty() || host.contains(['.', '*', ':', '/']) {
        return host.to_owned();
    }
    fqdn(host, namespace, domain)
}

/// The full name of a Kubernetes Service.
pub fn fqdn(service: &str, namespace: &str, domain: &str) -> String {
    format!("{service}.{namespace}.svc.{domain}")
}

/// The Service and namespace of a full name, if it is one.
pub fn service_of<'a>(host: &'a str, domain: &str) -> Option<(&'a str, &'a str)> {
    let front = host.strip_suffix(domain)?.strip_suffix(".svc.")?;
    front.split_once('.').filter(|(_, namespace)| !namespace.contains('.'))
}

/// Every name by which workloads of `namespace` can call a Service, the longest first.
pub fn short_names(service: &str, service_namespace: &str, namespace: &str, domain: &str) -> Vec<String> {
    let mut names = vec![
        fqdn(service, service_namespace, domain),
        format!("{service}.{service_namespace}.svc"),
        format!("{service}.{service_namespace}"),
    ];
    if service_namespace == namespace {
        names.push(service.to_owned());
    }
    names
}

/// A host name that may start with a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host<'a>(pub &'a str);

impl<'a> Host<'a> {
    pub fn is_wildcard(self) -> bool {
        self.0.starts_with('*')
    }

    /// What follows the wildcard: `.example.com` of `*.example.com`.
    fn suffix(self) -> &'a str {
        self.0.trim_start_matches('*')
    }

    /// Whether some name is in both.
    pub fn overlaps(self, other: Host<'_>) -> bool {
        match (self.is_wildcard(), other.is_wildcard()) {
            (true, true) => {
                ends_with(self.suffix(), other.suffix()) || ends_with(other.suffix(), self.suffix())
            }
            (true, false) => ends_with(other.0, self.suffix()),
            (false, true) => ends_with(self.0, other.suffix()),
            (false, false) => self.0.eq_ignore_ascii_case(other.0),
        }
    }

    /// Whether every name of `other` is a name of this one.
    pub fn covers(self, other: Host<'_>) -> bool {
        match (self.is_wildcard(), other.is_wildcard()) {
            (true, true) => ends_with(other.suffix(), self.suffix()),
            (true, false) => ends_with(other.0, self.suffix()),
            (false, true) => false,
            (false, false) => self.0.eq_ignore_ascii_case(other.0),
        }
    }

    /// The most specific first: names before wildcards, longer before shorter, then by letters.
    pub fn specificity(self, other: Host<'_>) -> Ordering {
        self.is_wildcard()
            .cmp(&other.is_wildcard())
            .then_with(|| other.0.len().cmp(&self.0.len()))
            .then_with(|| self.0.cmp(other.0))
    }
}

/// The candidate that covers `host` most closely.
pub fn most_specific<'a>(host: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let covering = candidates.into_iter().filter(|candidate| Host(candidate).covers(Host(host)));
    covering.min_by(|a, b| Host(a).specificity(Host(b)))
}

fn ends_with(text: &str, suffix: &str) -> bool {
    text.len() >= suffix.len()
        && text.is_char_boundary(text.len() - suffix.len())
        && text[text.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

/// Whether the text is a DNS name: labels of letters, digits, `-` and `_`, at most 63 long, 253 in all.
pub fn is_dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty() && text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether the text is a DNS name whose first label may be `*`.
pub fn is_wildcard_dns_name(text: &str) -> bool {
    text == "*" || text.strip_prefix("*.").map_or_else(|| is_dns_name(text), is_dns_name)
}

fn is_dns_label(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    label.len() <= 63 && label.chars().all(inner) && edge(label.chars().next()) && edge(label.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_of_the_namespace() {
        let full = |host| resolve(host, "books", DEFAULT_DOMAIN);
        assert_eq!(full("reviews"), "reviews.books.svc.cluster.local");
        assert_eq!(full("reviews.other"), "reviews.other");
        assert_eq!(full("*.example.com"), "*.example.com");
        assert_eq!(full("*"), "*");
        assert_eq!(service_of("reviews.books.svc.cluster.local", DEFAULT_DOMAIN), Some(("reviews", "books")));
        assert_eq!(service_of("example.com", DEFAULT_DOMAIN), None);
        assert_eq!(short_names("a", "n", "n", "d").len(), 4);
        assert_eq!(short_names("a", "n", "m", "d").len(), 3);
    }

    #[test]
    fn wildcards() {
        for (a, b, covers, overlaps) in [
            ("*", "a.com", true, true),
            ("*.com", "a.com", true, true),
            ("*.a.com", "a.com", false, false),
            ("*.com", "*.a.com", true, true),
            ("*.a.com", "*.com", false, true),
            ("a.com", "A.com", true, true),
            ("a.com", "*.com", false, true),
            ("*.a.com", "*.b.com", false, false),
        ] {
            assert_eq!((Host(a).covers(Host(b)), Host(a).overlaps(Host(b))), (covers, overlaps), "{a} {b}");
        }
        assert_eq!(most_specific("x.a.com", ["*", "*.com", "*.a.com", "y.a.com"]), Some("*.a.com"));
        let mut hosts = ["*", "*.com", "b.com", "*.a.com", "a.a.com"];
        hosts.sort_by(|a, b| Host(a).specificity(Host(b)));
        assert_eq!(hosts, ["a.a.com", "b.com", "*.a.com", "*.com", "*"]);
    }

    #[test]
    fn names() {
        for good in ["a", "a.b-c.d", "1.2.3.4", "a_b.c", "a."] {
            assert!(is_dns_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a b", "*.a", "ä.de"] {
            assert!(!is_dns_name(bad), "{bad}");
        }
        assert!(is_wildcard_dns_name("*.a") && is_wildcard_dns_name("*") && !is_wildcard_dns_name("a.*"));
    }
}
