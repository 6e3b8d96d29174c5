//! The answer of `x decide`, and the words in it.

use http::HeaderMap;
use proxy::config::{Cluster, EndpointAddress};
use proxy::filter::Fault;
use serde::Serialize;

/// What happens, and why. Empty fields do not apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// `forward`, `respond`, `redirect` or `fail`.
    pub decision: String,
    /// Where the connection goes before it is intercepted.
    pub destination: String,
    /// What is unsure about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    pub listener: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chain: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub virtual_host: String,
    /// Rules before the winner, and why each did not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// The object behind the rule: `VirtualService default/reviews`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// `FILE:LINE` of the rule.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// Status of an answer that the proxy gives itself, and what else it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// All shares of a weighted rule: cluster and weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<(String, u32)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The request line as sent on, if it differs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rewritten: String,
    /// `+ name: value` and `- name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<String>,
    /// Timeout, retries, mirrors, faults, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Resources that the proxy refuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// One candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    pub address: String,
    pub healthy: bool,
    pub priority: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub workload: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub locality: String,
}

/// `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews` as people name it.
pub(super) fn object(path: &str) -> String {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [_, _, _, "namespaces", namespace, kind, name] => {
            let word: String = kind.split('-').collect();
            let kind = api::Kind::from_word(&word).map_or((*kind).to_owned(), |kind| kind.name().to_owned());
            format!("{kind} {namespace}/{name}")
        }
        _ => path.to_owned(),
    }
}

pub(super) fn percent(parts: u32) -> String {
    format!("{}%", f64::from(parts) / 10_000.0)
}

pub(super) fn faults(fault: &Fault) -> Vec<String> {
    let delay = fault.delay.map(|(time, parts)| format!("delayed by {time:?} ({})", percent(parts)));
    let abort = fault
        .abort_status
        .map(|(status, parts)| format!("aborted with {} ({})", status.as_u16(), percent(parts)));
    let grpc =
        fault.abort_grpc.map(|(code, parts)| format!("aborted with gRPC status {code} ({})", percent(parts)));
    [delay, abort, grpc].into_iter().flatten().collect()
}

/// Header fields that were added, changed or removed.
pub(super) fn changes(before: &HeaderMap, after: &HeaderMap) -> Vec<String> {
    let values = |map: &HeaderMap, name: &http::HeaderName| -> Vec<String> {
        map.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("- {name}"));
    let new = after.keys().filter(|name| values(before, name) != values(after, name));
    let mut list: Vec<String> = gone.collect();
    list.extend(new.map(|name| format!("+ {name}: {}", values(after, name).join(", "))));
    list.sort();
    list
}

pub(super) fn endpoints(cluster: &Cluster) -> Vec<Endpoint> {
    let set = cluster.endpoints.load();
    let mut list = Vec::new();
    for (priority, groups) in set.priorities.iter().enumerate() {
        for endpoint in groups.iter().flat_map(|group| &group.endpoints) {
            let workload = endpoint.workload.as_deref().unwrap_or_default();
            let mut parts = workload.split(';');
            let (name, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            list.push(Endpoint {
                address: match &endpoint.address {
                    EndpointAddress::Ip(address) => address.to_string(),
                    EndpointAddress::Pipe(path) => format!("unix:{path}"),
                },
                healthy: endpoint.healthy,
                priority,
                workload: if name.is_empty() { String::new() } else { format!("{name}.{namespace}") },
                locality: endpoint.locality.to_string(),
            });
        }
    }
    list
}
