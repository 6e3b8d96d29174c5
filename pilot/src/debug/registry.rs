//! Services and endpoints as JSON, for `/debug/registryz` and `/debug/endpointShardz`.
//!
//! In: sections of the snapshot. Out: the names that istiod's pages use, so that scripts which read those go on
//! working.

use serde_json::{Map, Value, json};

use crate::model::Snapshot;
use crate::model::endpoint::{Address, Endpoint};
use crate::model::service::{Port, Protocol, Registry, Resolution, Service};
use crate::model::workloads::CLUSTER;

/// Every service of all registries, by host.
pub(super) fn services(snapshot: &Snapshot) -> Value {
    snapshot.services.all.iter().map(|found| service(found)).collect()
}

fn service(service: &Service) -> Value {
    let registry = match service.registry {
        Registry::Kubernetes => "Kubernetes",
        Registry::External => "External",
    };
    // Istio's numbers.
    let resolution = match service.resolution {
        Resolution::Endpoints if service.headless => 2,
        Resolution::Endpoints => 0,
        Resolution::Dns => 1,
        Resolution::Original => 2,
        Resolution::DnsRoundRobin => 3,
    };
    let addresses: Vec<String> = service.addresses.iter().map(ToString::to_string).collect();
    json!({
        "Attributes": {
            "ServiceRegistry": registry,
            "Name": service.name,
            "Namespace": service.namespace,
            "LabelSelectors": service.selector,
        },
        "hostname": service.host,
        "ports": service.ports.iter().map(port).collect::<Value>(),
        "defaultAddress": addresses.first().map_or("0.0.0.0", String::as_str),
        "clusterVIPs": { "Addresses": { CLUSTER: addresses } },
        "Resolution": resolution,
        "MeshExternal": service.external,
    })
}

fn port(port: &Port) -> Value {
    let protocol = match port.protocol {
        Protocol::Http => "HTTP",
        Protocol::Http2 => "HTTP2",
        Protocol::Grpc => "GRPC",
        Protocol::GrpcWeb => "GRPC-Web",
        Protocol::Tls => "TLS",
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Unknown => "UnsupportedProtocol",
    };
    json!({ "name": port.name, "port": port.number, "protocol": protocol })
}

/// Endpoints by host, namespace and shard. One shard: this registry.
pub(super) fn endpoints(snapshot: &Snapshot) -> Value {
    let mut hosts = Map::new();
    for (namespace, host, number, set) in snapshot.endpoints.0.iter() {
        let name = snapshot
            .services
            .with_host(host)
            .find(|found| found.namespace == namespace)
            .and_then(|found| found.ports.iter().find(|port| port.number == number))
            .map_or("", |port| &port.name);
        let host = hosts.entry(host).or_insert_with(|| json!({}));
        let shard = &mut host[namespace]["Shards"][format!("Kubernetes/{CLUSTER}")];
        let shown = set.iter().map(|found| endpoint(found, number, name));
        match shard {
            Value::Array(list) => list.extend(shown),
            empty => *empty = shown.collect(),
        }
        host[namespace]["ServiceAccounts"] = set
            .iter()
            .filter(|found| !found.identity.is_empty())
            .map(|found| (found.identity.to_string(), json!({})))
            .collect::<Map<_, _>>()
            .into();
    }
    Value::Object(hosts)
}

fn endpoint(endpoint: &Endpoint, service_port: u16, name: &str) -> Value {
    let address = match &endpoint.address {
        Address::Ip(address) => address.to_string(),
        Address::Name(text) | Address::Pipe(text) => text.clone(),
    };
    json!({
        "Labels": endpoint.labels,
        "Addresses": [address],
        "ServicePort": service_port,
        "ServicePortName": name,
        "EndpointPort": endpoint.port,
        "ServiceAccount": endpoint.identity,
        "Network": endpoint.network,
        "Locality": { "Label": endpoint.locality, "ClusterID": CLUSTER },
        "LbWeight": endpoint.weight.max(1),
        "TLSMode": if endpoint.mutual_tls { "istio" } else { "disabled" },
        "HealthStatus": if endpoint.healthy { 1 } else { 2 },
        "HostName": endpoint.pod,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use crate::world::World;

    #[test]
    fn services_and_endpoints_under_istiods_names() {
        let text = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.7, ports: [{port: 80, name: http}, {port: 81, name: tcp}], selector: {app: web}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: tcp, port: 8081}]
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
"#;
        let world = World::of(api::parse("test.yaml", text).objects);
        let (snapshot, _) = model::resolve(None, &world);
        let services = services(&snapshot);
        let web = services.as_array().unwrap().iter().find(|s| s["Attributes"]["Name"] == "web").unwrap();
        assert_eq!(web["hostname"], "web.shop.svc.cluster.local");
        assert_eq!(web["ports"][0], json!({"name": "http", "port": 80, "protocol": "HTTP"}));
        assert_eq!(web["defaultAddress"], "10.96.0.7");
        let shards =
            &endpoints(&snapshot)["web.shop.svc.cluster.local"]["shop"]["Shards"]["Kubernetes/Kubernetes"];
        let ports: Vec<_> =
            shards.as_array().unwrap().iter().map(|e| (&e["ServicePortName"], &e["EndpointPort"])).collect();
        assert_eq!(ports, [(&json!("http"), &json!(8080)), (&json!("tcp"), &json!(8081))]);
        assert_eq!(shards[0]["Addresses"], json!(["10.0.0.1"]));
    }
}
