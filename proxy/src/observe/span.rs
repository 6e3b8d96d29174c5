//! One span per proxy and request, as Zipkin v2 JSON.
//!
//! In: the facts of a sampled request, the chain's tracing settings, who we are. Out: one JSON object. Pure. Sent in
//! batches by `export`. SERVER at the inbound side, CLIENT at the outbound side; tags are Envoy's, with Istio's.

use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::peer::Own;
use super::subject::version;
use super::trace::trace_hex;
use super::{Facts, flags};
use crate::config::{Direction, TagValue, Tracing};

/// The span of a request; `None` if it is not sampled.
pub fn span(own: &Own, tracing: &Tracing, facts: &Facts) -> Option<Value> {
    let context = facts.trace.as_ref().filter(|context| context.sampled)?;
    let server = facts.conn.direction == Direction::Inbound;
    let started = facts.start_wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let duration = facts.ended.unwrap_or_default().as_micros().max(1);
    let operation = facts.operation.clone().or_else(|| facts.rule.as_ref()?.operation.clone());
    let local = if server { Some(facts.conn.local) } else { facts.upstream_local.or(Some(facts.conn.local)) };
    let mut span = json!({
        "traceId": trace_hex(context.trace_id),
        "id": format!("{:016x}", context.span_id),
        "kind": if server { "SERVER" } else { "CLIENT" },
        "name": operation.unwrap_or_else(|| facts.authority.clone()),
        "timestamp": u64::try_from(started.as_micros()).unwrap_or(u64::MAX),
        "duration": u64::try_from(duration).unwrap_or(u64::MAX),
        "localEndpoint": endpoint(&own.service, local),
        "tags": tags(own, tracing, facts),
    });
    if let (Some(parent), Some(fields)) = (context.parent_id, span.as_object_mut()) {
        fields.insert("parentId".into(), format!("{parent:016x}").into());
    }
    Some(span)
}

fn endpoint(service: &str, address: Option<SocketAddr>) -> Value {
    let mut endpoint = Map::new();
    endpoint.insert("serviceName".into(), service.into());
    if let Some(address) = address {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        endpoint.insert(family.into(), address.ip().to_string().into());
        endpoint.insert("port".into(), address.port().into());
    }
    endpoint.into()
}

fn tags(own: &Own, tracing: &Tracing, facts: &Facts) -> Value {
    let mut tags = Map::new();
    let mut put = |key: &str, value: String| {
        tags.insert(key.to_owned(), Value::from(value));
    };
    let header = |name: &str| facts.request_headers.get(name).and_then(|value| value.to_str().ok());
    let path: String = facts.path.chars().take(tracing.max_path_len.max(1)).collect();
    put("component", "proxy".into());
    put("node_id", own.node_id.to_string());
    put("http.url", format!("{}://{}{path}", facts.scheme, facts.authority));
    put("http.method", facts.method.to_string());
    put("http.protocol", version(facts.protocol).into());
    put("http.status_code", facts.status.to_string());
    put("downstream_cluster", header("x-envoy-downstream-service-cluster").unwrap_or("-").into());
    put("user_agent", header("user-agent").unwrap_or("-").into());
    put("guid:x-request-id", header("x-request-id").unwrap_or("-").into());
    put("request_size", facts.bytes_received.to_string());
    put("response_size", facts.bytes_sent.to_string());
    put("response_flags", flags::text(&facts.failures));
    put("peer.address", facts.conn.peer.ip().to_string());
    if let Some(cluster) = &facts.cluster {
        put("upstream_cluster", cluster.name.to_string());
        put("upstream_cluster.name", cluster.name.to_string());
    }
    if let Some(upstream) = facts.upstream {
        put("upstream_address", upstream.to_string());
    }
    if let Some(status) = facts.grpc_status.filter(|_| facts.grpc) {
        put("grpc.status_code", status.to_string());
    }
    if facts.status >= 500 || facts.status == 0 || facts.grpc_status.is_some_and(|status| status != 0) {
        put("error", "true".into());
    }
    for (key, value) in [
        ("istio.mesh_id", &own.mesh_id),
        ("istio.canonical_service", &own.peer.canonical_name),
        ("istio.canonical_revision", &own.peer.canonical_revision),
        ("istio.namespace", &own.peer.namespace),
        ("istio.cluster_id", &own.peer.cluster),
    ] {
        if !value.is_empty() {
            put(key, value.to_string());
        }
    }
    for (key, value) in &tracing.tags {
        let text = match value {
            TagValue::Literal(text) => text.to_string(),
            TagValue::Header { name, default } => header(name).unwrap_or(default).to_owned(),
        };
        if !text.is_empty() {
            put(key, text);
        }
    }
    tags.into()
}
