//! The labels of Istio's standard metrics.
//!
//! In: who we are, the facts of a request or connection, who the peer is. Out: the label set as Prometheus text, in
//! Istio's order. Pure. Called by `shard` when a combination is new. The fallbacks follow Istio's: at the server the
//! destination is ourselves, at the client what the peer or its endpoint says; the service comes from the cluster,
//! else from the Host header.

use std::fmt::Write;
use std::sync::Arc;

use super::STRING;
use super::{Peer, TlsFacts, flags};
use crate::config::{Cluster, Direction};
use crate::fail::Failure;

/// Which side of a hop reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reporter {
    Source,
    Destination,
}

impl Reporter {
    /// The inbound side of a sidecar is the destination; everything else (gateways too) is a source.
    pub fn of(direction: Direction) -> Self {
        if direction == Direction::Inbound { Reporter::Destination } else { Reporter::Source }
    }
}

/// What a label set is made from.
#[derive(Debug)]
pub struct Labels<'a> {
    pub own: &'a Peer,
    pub reporter: Reporter,
    pub peer: Option<&'a Peer>,
    /// TLS of the hop that is reported: downstream at the destination, upstream at the source.
    pub tls: Option<&'a TlsFacts>,
    pub cluster: Option<&'a Cluster>,
    /// Name of the cluster where it is not known otherwise.
    pub cluster_name: Option<&'a str>,
    /// `Route.name`, for the catch-all routes.
    pub route: &'a str,
    /// Host header; empty for TCP.
    pub authority: &'a str,
    pub protocol: &'static str,
    /// HTTP only: status and gRPC status.
    pub http: Option<(u16, Option<u16>)>,
    pub failures: &'a [Failure],
}

/// Service host and short name of the destination.
struct Service<'a> {
    host: &'a str,
    name: &'a str,
}

impl Labels<'_> {
    /// `reporter="source",source_workload="...",...` without braces.
    pub fn render(&self) -> String {
        let source = self.reporter == Reporter::Source;
        let empty = Peer::default();
        let peer = self.peer.unwrap_or(&empty);
        let tls = |pick: fn(&TlsFacts) -> &Option<Arc<str>>| self.tls.and_then(|tls| pick(tls).as_deref());
        let peer_principal = tls(|tls| &tls.peer_principal).unwrap_or_default();
        let own_principal = tls(|tls| &tls.local_principal).unwrap_or_default();
        let peer_namespace = namespace_of(peer_principal).unwrap_or(&peer.namespace);
        let service = self.service();
        let mut out = Out(String::with_capacity(900));
        out.put("reporter", if source { "source" } else { "destination" });
        let (from, to) = if source { (self.own, peer) } else { (peer, self.own) };
        let (from_ns, to_ns) = if source {
            (&*self.own.namespace, peer_namespace)
        } else {
            (peer_namespace, &*self.own.namespace)
        };
        let (from_id, to_id) =
            if source { (own_principal, peer_principal) } else { (peer_principal, own_principal) };
        out.known("source_workload", &from.workload);
        out.known("source_canonical_service", &from.canonical_name);
        out.or("source_canonical_revision", &from.canonical_revision, "latest");
        out.known("source_workload_namespace", from_ns);
        out.known("source_principal", from_id);
        out.known("source_app", &from.app);
        out.known("source_version", &from.version);
        out.known("source_cluster", &from.cluster);
        out.known("destination_workload", &to.workload);
        out.known("destination_workload_namespace", to_ns);
        out.known("destination_principal", to_id);
        out.known("destination_app", &to.app);
        out.known("destination_version", &to.version);
        let fallback: &str = if source { "" } else { &self.own.canonical_name };
        out.or("destination_service", or(service.host, fallback), "unknown");
        out.known("destination_canonical_service", &to.canonical_name);
        out.or("destination_canonical_revision", &to.canonical_revision, "latest");
        out.or("destination_service_name", or(service.name, fallback), "unknown");
        out.known("destination_service_namespace", to_ns);
        out.known("destination_cluster", &to.cluster);
        out.put("request_protocol", self.protocol);
        if let Some((status, grpc)) = self.http {
            out.put("response_code", &status.to_string());
            out.put("grpc_response_status", &grpc.map(|code| code.to_string()).unwrap_or_default());
        }
        out.put("response_flags", &flags::text(self.failures));
        let security = match (source, !peer_principal.is_empty() && !own_principal.is_empty()) {
            (true, _) => "unknown",
            (false, true) => "mutual_tls",
            (false, false) => "none",
        };
        out.put("connection_security_policy", security);
        out.0
    }

    fn service(&self) -> Service<'_> {
        let mut service = Service { host: self.authority, name: self.authority };
        match self.route {
            "block_all" => service.name = "BlackHoleCluster",
            "allow_any" => service.name = "PassthroughCluster",
            _ => {
                let cluster =
                    self.cluster.map(|cluster| &*cluster.name).or(self.cluster_name).unwrap_or_default();
                if is_special(cluster) {
                    service.name = cluster;
                } else if let Some(known) = self.cluster.and_then(|cluster| cluster.settings.service.as_ref())
                {
                    let short = known.host.split('.').next().unwrap_or_default();
                    service = Service { host: &known.host, name: or(&known.name, short) };
                }
            }
        }
        service
    }
}

/// Clusters that stand for no service.
fn is_special(name: &str) -> bool {
    matches!(
        name,
        "BlackHoleCluster"
            | "PassthroughCluster"
            | "InboundPassthroughCluster"
            | "InboundPassthroughClusterIpv4"
            | "InboundPassthroughClusterIpv6"
    )
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// `spiffe://DOMAIN/ns/NAMESPACE/sa/...`
fn namespace_of(principal: &str) -> Option<&str> {
    let path = principal.strip_prefix("spiffe://")?;
    let mut parts = path.split('/').skip(1);
    (parts.next() == Some("ns")).then(|| parts.next()).flatten().filter(|name| !name.is_empty())
}

/// Label text under construction.
pub(super) struct Out(pub(super) String);

impl Out {
    pub(super) fn put(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        write!(self.0, "{name}=\"").expect(STRING);
        for c in value.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    fn or(&mut self, name: &str, value: &str, missing: &str) {
        self.put(name, or(value, missing));
    }

    fn known(&mut self, name: &str, value: &str) {
        self.or(name, value, "unknown");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer {
            workload: format!("{name}-v1").into(),
            namespace: "default".into(),
            canonical_name: name.into(),
            canonical_revision: "v1".into(),
            app: name.into(),
            version: "v1".into(),
            cluster: "Kubernetes".into(),
            principal: "".into(),
        }
    }

    fn labels<'a>(own: &'a Peer, reporter: Reporter) -> Labels<'a> {
        Labels {
            own,
            reporter,
            peer: None,
            tls: None,
            cluster: None,
            cluster_name: None,
            route: "",
            authority: "",
            protocol: "http",
            http: Some((200, None)),
            failures: &[],
        }
    }

    #[test]
    fn a_destination_with_a_known_peer() {
        let (own, peer) = (peer("reviews"), peer("productpage"));
        let tls = TlsFacts {
            peer_principal: Some("spiffe://cluster.local/ns/web/sa/productpage".into()),
            local_principal: Some("spiffe://cluster.local/ns/default/sa/reviews".into()),
            ..TlsFacts::default()
        };
        let text = Labels {
            peer: Some(&peer),
            tls: Some(&tls),
            authority: "reviews:9080",
            ..labels(&own, Reporter::Destination)
        }
        .render();
        // Host and name fall back to the Host header; the peer's namespace comes from its certificate.
        let wanted = "reporter=\"destination\",source_workload=\"productpage-v1\",\
            source_canonical_service=\"productpage\",source_canonical_revision=\"v1\",\
            source_workload_namespace=\"web\",source_principal=\"spiffe://cluster.local/ns/web/sa/productpage\",\
            source_app=\"productpage\",source_version=\"v1\",source_cluster=\"Kubernetes\",\
            destination_workload=\"reviews-v1\",destination_workload_namespace=\"default\",\
            destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\",destination_app=\"reviews\",\
            destination_version=\"v1\",destination_service=\"reviews:9080\",\
            destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\",\
            destination_service_name=\"reviews:9080\",destination_service_namespace=\"default\",\
            destination_cluster=\"Kubernetes\",request_protocol=\"http\",response_code=\"200\",\
            grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_source_that_knows_nothing_of_the_other_side() {
        let own = peer("curl");
        let text = Labels {
            route: "allow_any",
            authority: "example.com",
            failures: &[Failure::RetryExhausted, Failure::ConnectFailure],
            ..labels(&own, Reporter::Source)
        }
        .render();
        for part in [
            "reporter=\"source\"",
            "source_workload=\"curl-v1\"",
            "destination_workload=\"unknown\"",
            "destination_canonical_revision=\"latest\"",
            "destination_service=\"example.com\"",
            "destination_service_name=\"PassthroughCluster\"",
            "response_flags=\"URX,UF\"",
            "connection_security_policy=\"unknown\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches('=').count(), 25);
        let tcp = Labels { http: None, protocol: "tcp", ..labels(&own, Reporter::Source) }.render();
        assert_eq!(tcp.matches('=').count(), 23);
        assert!(tcp.contains("destination_service=\"unknown\""));
    }
}
