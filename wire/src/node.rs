//! Who the proxy says it is.
//!
//! In: at the proxy, its settings; at pilot, the `Node` of the first request. Out: a typed [`Node`] with Istio's id
//! form `sidecar~IP~POD.NAMESPACE~DOMAIN` and Istio's metadata keys (`ISTIO_META_*`), both directions, nothing lost:
//! keys that have no field of their own stay in [`Metadata::rest`]. What pilot says depends on nothing else of a
//! proxy, and pilot checks it against the credential.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use envoy_types::pb::envoy::config::core::v3 as core;
use serde_json::{Map, Value as Json};

use crate::structs;

/// What part a proxy plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Beside a workload (also a proxyless gRPC client).
    Sidecar,
    /// A gateway.
    Router,
    /// A waypoint.
    Waypoint,
    /// A node proxy.
    Ztunnel,
}

impl Role {
    const NAMES: [(Role, &'static str); 4] = [
        (Role::Sidecar, "sidecar"),
        (Role::Router, "router"),
        (Role::Waypoint, "waypoint"),
        (Role::Ztunnel, "ztunnel"),
    ];

    /// As in a node id.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

/// Why a node id is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node id {0:?} is not of the form sidecar~IP~POD.NAMESPACE~DOMAIN")]
pub struct BadNodeId(pub String);

/// The four parts of a node id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId {
    /// First part.
    pub role: Role,
    /// Second part: the workload's address.
    pub ip: String,
    /// Third part up to its last dot: the pod's name.
    pub name: String,
    /// Third part after its last dot.
    pub namespace: String,
    /// Fourth part, for example `default.svc.cluster.local`.
    pub domain: String,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role.as_str();
        write!(f, "{role}~{}~{}.{}~{}", self.ip, self.name, self.namespace, self.domain)
    }
}

impl FromStr for NodeId {
    type Err = BadNodeId;

    fn from_str(text: &str) -> Result<Self, BadNodeId> {
        let bad = || BadNodeId(text.into());
        let parts: Vec<&str> = text.split('~').collect();
        let &[role, ip, workload, domain] = parts.as_slice() else { return Err(bad()) };
        let role = Role::NAMES.iter().find(|(_, name)| *name == role).ok_or_else(bad)?.0;
        let (name, namespace) = workload.rsplit_once('.').ok_or_else(bad)?;
        Ok(NodeId {
            role,
            ip: ip.into(),
            name: name.into(),
            namespace: namespace.into(),
            domain: domain.into(),
        })
    }
}

/// Region, zone and sub-zone; empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// `topology.kubernetes.io/region`
    pub region: String,
    /// `topology.kubernetes.io/zone`
    pub zone: String,
    /// `topology.istio.io/subzone`
    pub sub_zone: String,
}

/// Istio's node metadata. Empty text means absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// `NAME`: the pod.
    pub name: String,
    /// `NAMESPACE`
    pub namespace: String,
    /// `SERVICE_ACCOUNT`
    pub service_account: String,
    /// `WORKLOAD_NAME`: the Deployment, say.
    pub workload_name: String,
    /// `OWNER`: `kubernetes://apis/apps/v1/namespaces/NS/deployments/NAME`
    pub owner: String,
    /// `CLUSTER_ID`, usually `Kubernetes`.
    pub cluster_id: String,
    /// `NETWORK`
    pub network: String,
    /// `MESH_ID`, usually the trust domain.
    pub mesh_id: String,
    /// `NODE_NAME`: the Kubernetes node.
    pub node_name: String,
    /// `ISTIO_VERSION`
    pub istio_version: String,
    /// `ISTIO_REVISION`
    pub istio_revision: String,
    /// `GENERATOR`: `grpc` asks for proxyless configuration.
    pub generator: String,
    /// `INTERCEPTION_MODE`: `REDIRECT`, `TPROXY` or `NONE`.
    pub interception_mode: String,
    /// `HTTP_PROXY_PORT`
    pub http_proxy_port: String,
    /// `APP_CONTAINERS`, separated by commas.
    pub app_containers: String,
    /// `LABELS` of the pod.
    pub labels: BTreeMap<String, String>,
    /// `ANNOTATIONS` of the pod.
    pub annotations: BTreeMap<String, String>,
    /// `INSTANCE_IPS`
    pub instance_ips: Vec<String>,
    /// `REQUESTED_NETWORK_VIEW`: only endpoints of these networks.
    pub requested_network_view: Vec<String>,
    /// `DNS_CAPTURE`
    pub dns_capture: bool,
    /// `DNS_AUTO_ALLOCATE`
    pub dns_auto_allocate: bool,
    /// `HTTP10`
    pub http10: bool,
    /// `UNPRIVILEGED_POD`: a gateway that may not open ports below 1024.
    pub unprivileged_pod: bool,
    /// `ENABLE_HBONE`
    pub enable_hbone: bool,
    /// `PROXY_CONFIG`, as JSON.
    pub proxy_config: Map<String, Json>,
    /// Every other key, as it came.
    pub rest: Map<String, Json>,
}

impl Metadata {
    fn texts(&mut self) -> [(&'static str, &mut String); 15] {
        [
            ("NAME", &mut self.name),
            ("NAMESPACE", &mut self.namespace),
            ("SERVICE_ACCOUNT", &mut self.service_account),
            ("WORKLOAD_NAME", &mut self.workload_name),
            ("OWNER", &mut self.owner),
            ("CLUSTER_ID", &mut self.cluster_id),
            ("NETWORK", &mut self.network),
            ("MESH_ID", &mut self.mesh_id),
            ("NODE_NAME", &mut self.node_name),
            ("ISTIO_VERSION", &mut self.istio_version),
            ("ISTIO_REVISION", &mut self.istio_revision),
            ("GENERATOR", &mut self.generator),
            ("INTERCEPTION_MODE", &mut self.interception_mode),
            ("HTTP_PROXY_PORT", &mut self.http_proxy_port),
            ("APP_CONTAINERS", &mut self.app_containers),
        ]
    }

    fn flags(&mut self) -> [(&'static str, &mut bool); 5] {
        [
            ("DNS_CAPTURE", &mut self.dns_capture),
            ("DNS_AUTO_ALLOCATE", &mut self.dns_auto_allocate),
            ("HTTP10", &mut self.http10),
            ("UNPRIVILEGED_POD", &mut self.unprivileged_pod),
            ("ENABLE_HBONE", &mut self.enable_hbone),
        ]
    }

    fn maps(&mut self) -> [(&'static str, &mut BTreeMap<String, String>); 2] {
        [("LABELS", &mut self.labels), ("ANNOTATIONS", &mut self.annotations)]
    }

    fn lists(&mut self) -> [(&'static str, &mut Vec<String>); 2] {
        [
            ("INSTANCE_IPS", &mut self.instance_ips),
            ("REQUESTED_NETWORK_VIEW", &mut self.requested_network_view),
        ]
    }

    /// Reads metadata as JSON; values of an unexpected type stay in `rest`.
    pub fn from_json(mut map: Map<String, Json>) -> Self {
        let mut out = Metadata::default();
        let mut odd = Map::new();
        for (key, slot) in out.texts() {
            match map.remove(key) {
                Some(Json::String(text)) => *slot = text,
                Some(other) => drop(odd.insert(key.into(), other)),
                None => {}
            }
        }
        for (key, slot) in out.flags() {
            // Istio's agent sends these as text, some clients as booleans.
            *slot = match map.remove(key) {
                Some(Json::Bool(value)) => value,
                Some(Json::String(text)) => matches!(text.as_str(), "true" | "1" | "ALL"),
                _ => false,
            };
        }
        for (key, slot) in out.maps() {
            if let Some(Json::Object(map)) = map.remove(key) {
                *slot = map.into_iter().filter_map(|(k, v)| Some((k, v.as_str()?.to_owned()))).collect();
            }
        }
        for (key, slot) in out.lists() {
            if let Some(Json::String(text)) = map.remove(key) {
                *slot = text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
            }
        }
        match map.remove("PROXY_CONFIG") {
            Some(Json::Object(config)) => out.proxy_config = config,
            Some(other) => drop(odd.insert("PROXY_CONFIG".into(), other)),
            None => {}
        }
        map.extend(odd);
        out.rest = map;
        out
    }

    /// The JSON form: only what is set.
    pub fn to_json(&self) -> Map<String, Json> {
        let mut own = self.clone();
        let mut out = Map::new();
        for (key, value) in own.texts() {
            if !value.is_empty() {
                out.insert(key.into(), Json::String(std::mem::take(value)));
            }
        }
        for (key, value) in own.flags() {
            if *value {
                out.insert(key.into(), Json::String("true".into()));
            }
        }
        for (key, value) in own.maps() {
            if !value.is_empty() {
                let map = std::mem::take(value).into_iter().map(|(k, v)| (k, Json::String(v))).collect();
                out.insert(key.into(), Json::Object(map));
            }
        }
        for (key, value) in own.lists() {
            if !value.is_empty() {
                out.insert(key.into(), Json::String(value.join(",")));
            }
        }
        if !self.proxy_config.is_empty() {
            out.insert("PROXY_CONFIG".into(), Json::Object(own.proxy_config));
        }
        out.extend(own.rest);
        out
    }

    /// Istio's canonical name of the workload: by label, else `app`, else the workload's name.
    pub fn canonical_name(&self) -> &str {
        ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]
            .iter()
            .find_map(|key| self.labels.get(*key))
            .map_or(self.workload_name.as_str(), String::as_str)
    }

    /// Istio's canonical revision: by label, else `version`, else `latest`.
    pub fn canonical_revision(&self) -> &str {
        ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
            .iter()
            .find_map(|key| self.labels.get(*key))
            .map_or("latest", String::as_str)
    }
}

/// The whole node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `node.id`
    pub id: NodeId,
    /// `node.cluster`: `<canonical service>.<namespace>`.
    pub cluster: String,
    /// `node.metadata`
    pub metadata: Metadata,
    /// `node.locality`
    pub locality: Locality,
    /// Names of `node.extensions`: what this client can load.
    pub extensions: Vec<String>,
    /// `node.client_features`
    pub client_features: Vec<String>,
    /// `node.user_agent_name`: `envoy`, `gRPC ...` or our own.
    pub user_agent: String,
    /// `node.user_agent_version`, if given as text.
    pub user_agent_version: String,
}

impl Node {
    /// A node with this id and nothing else.
    pub fn new(id: NodeId) -> Self {
        Node {
            id,
            cluster: String::new(),
            metadata: Metadata::default(),
            locality: Locality::default(),
            extensions: Vec::new(),
            client_features: Vec::new(),
            user_agent: String::new(),
            user_agent_version: String::new(),
        }
    }

    /// Whether the client lists this extension.
    pub fn has_extension(&self, name: &str) -> bool {
        self.extensions.iter().any(|extension| extension == name)
    }

    /// The message for the first request of a stream.
    pub fn to_proto(&self) -> core::Node {
        let version = (!self.user_agent_version.is_empty())
            .then(|| core::node::UserAgentVersionType::UserAgentVersion(self.user_agent_version.clone()));
        let extension = |name: &String| core::Extension { name: name.clone(), ..Default::default() };
        let locality = (self.locality != Locality::default()).then(|| core::Locality {
            region: self.locality.region.clone(),
            zone: self.locality.zone.clone(),
            sub_zone: self.locality.sub_zone.clone(),
        });
        core::Node {
            id: self.id.to_string(),
            cluster: self.cluster.clone(),
            metadata: Some(structs::from_map(&self.metadata.to_json())),
            locality,
            extensions: self.extensions.iter().map(extension).collect(),
            client_features: self.client_features.clone(),
            user_agent_name: self.user_agent.clone(),
            user_agent_version_type: version,
            ..Default::default()
        }
    }

    /// Reads the message; only a malformed id is an error.
    pub fn from_proto(node: &core::Node) -> Result<Self, BadNodeId> {
        let version = match &node.user_agent_version_type {
            Some(core::node::UserAgentVersionType::UserAgentVersion(text)) => text.clone(),
            Some(core::node::UserAgentVersionType::UserAgentBuildVersion(build)) => build
                .version
                .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
                .unwrap_or_default(),
            None => String::new(),
        };
        let locality = node.locality.clone().unwrap_or_default();
        let mut metadata =
            Metadata::from_json(node.metadata.as_ref().map(structs::to_map).unwrap_or_default());
        let id: NodeId = node.id.parse()?;
        if metadata.namespace.is_empty() {
            metadata.namespace.clone_from(&id.namespace);
        }
        Ok(Node {
            id,
            cluster: node.cluster.clone(),
            metadata,
            locality: Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone },
            extensions: node.extensions.iter().map(|extension| extension.name.clone()).collect(),
            client_features: node.client_features.clone(),
            user_agent: node.user_agent_name.clone(),
            user_agent_version: version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids() {
        let text = "sidecar~10.0.0.7~reviews-v1.6.default~default.svc.cluster.local";
        let id: NodeId = text.parse().unwrap();
        assert_eq!((id.name.as_str(), id.namespace.as_str()), ("reviews-v1.6", "default"));
        assert_eq!(id.to_string(), text);
        for bad in ["", "sidecar~1.2.3.4~x~y", "envoy~1.2.3.4~x.y~z", "sidecar~1.2.3.4~x.y"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        let json = json!({
            "NAME": "reviews-v1", "NAMESPACE": "default", "LABELS": {"app": "reviews", "version": "v1"},
            "INSTANCE_IPS": "10.0.0.1,fd00::1", "DNS_CAPTURE": "true", "CLUSTER_ID": "Kubernetes",
            "PROXY_CONFIG": {"concurrency": 2}, "CUSTOM": {"a": [1]}, "NETWORK": "n1"
        });
        let mut node =
            Node::new("router~1.1.1.1~gw.istio-system~istio-system.svc.cluster.local".parse().unwrap());
        node.metadata = Metadata::from_json(json.as_object().unwrap().clone());
        node.locality.zone = "z".into();
        node.extensions = vec!["istio.alpn".into()];
        node.user_agent = "mesh".into();
        node.user_agent_version = "1".into();
        assert!(node.metadata.dns_capture);
        assert_eq!(node.metadata.instance_ips.len(), 2);
        assert_eq!(node.metadata.rest, json!({"CUSTOM": {"a": [1]}}).as_object().unwrap().clone());
        let back = Node::from_proto(&node.to_proto()).unwrap();
        assert_eq!(back, node);
        assert_eq!(Json::Object(back.metadata.to_json()), json);
        assert_eq!((back.metadata.canonical_name(), back.metadata.canonical_revision()), ("reviews", "v1"));
    }

    #[test]
    fn an_odd_type_stays_visible() {
        let metadata = Metadata::from_json(json!({"NAME": 7}).as_object().unwrap().clone());
        assert_eq!(metadata.name, "");
        assert_eq!(metadata.rest["NAME"], 7);
    }
}
