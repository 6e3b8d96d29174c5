//! Host names in the cluster's own domain; thin over `api::host`, which has the rules.
//!
//! In: a name or pattern as somebody wrote it, and the namespace it was written in. Out: full host names, and whether
//! patterns cover one another. Pure; used by every section that reads hosts.

use api::host::{DEFAULT_DOMAIN, Host, fqdn, resolve};

/// Suffix of service names of the cluster.
pub const DOMAIN: &str = DEFAULT_DOMAIN;

/// Full name of a Service, in lower case.
pub fn service_host(name: &str, namespace: &str) -> String {
    fqdn(name, namespace, DOMAIN).to_ascii_lowercase()
}

/// A host as written, made full and lower case.
pub fn full(host: &str, namespace: &str) -> String {
    resolve(host, namespace, DOMAIN).to_ascii_lowercase()
}

/// Whether every name of `host` is a name of `pattern`.
pub fn covers(pattern: &str, host: &str) -> bool {
    Host(pattern).covers(Host(host))
}

/// Whether some name is covered by both.
pub fn overlap(a: &str, b: &str) -> bool {
    Host(a).overlaps(Host(b))
}
