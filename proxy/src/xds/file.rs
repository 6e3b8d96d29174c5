//! Envoy bootstrap files: static resources, where the control plane is, who we are, where admin listens.
//!
//! In: JSON or YAML text, and an overlay (`--config-yaml`) that is merged as protobuf merges. Out: [`Boot`], whose
//! resources go into the same store as those of a session. Fields that mean nothing to this proxy are named, for
//! the log; misspelt ones are errors.

use std::net::SocketAddr;

use prost::{Message, Name};
use wire::pb::envoy::config::bootstrap::v3 as bootstrap;
use wire::pb::envoy::config::core::v3 as core;
use wire::{Kind, Resource};

use super::store::Batch;

/// A bootstrap file, read.
#[derive(Debug, Default)]
pub struct Boot {
    pub node: Option<core::Node>,
    /// Clusters, listeners and secrets of `static_resources`.
    pub batch: Batch,
    /// `admin.address`.
    pub admin: Option<SocketAddr>,
    /// `dynamic_resources.ads_config`.
    pub ads: Option<AdsSource>,
    /// `cds_config` and `lds_config` say ADS.
    pub dynamic_clusters: bool,
    pub dynamic_listeners: bool,
    /// Fields that were set and have no effect here.
    pub ignored: Vec<String>,
}

/// Where the control plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdsSource {
    /// Name of the static cluster.
    pub cluster: String,
    /// `DELTA_GRPC` rather than `GRPC`.
    pub delta: bool,
}

/// Why a bootstrap cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

/// Reads a bootstrap and its overlay; either may be empty.
pub fn boot(text: &str, overlay: &str) -> Result<Boot, BootError> {
    let mut bytes = encode(text)?;
    // Concatenated messages decode as their merge: lists are appended, fields of the later one win.
    bytes.extend(encode(overlay)?);
    let message =
        bootstrap::Bootstrap::decode(bytes.as_slice()).map_err(|error| BootError(error.to_string()))?;
    Boot::of(message)
}

fn encode(text: &str) -> Result<Vec<u8>, BootError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    // JSON is YAML.
    let json: serde_json::Value =
        serde_saphyr::from_str(text).map_err(|error| BootError(format!("neither JSON nor YAML: {error}")))?;
    wire::reflect::from_json(&bootstrap::Bootstrap::full_name(), &json)
        .map_err(|error| BootError(error.to_string()))
}

impl Boot {
    fn of(mut message: bootstrap::Bootstrap) -> Result<Self, BootError> {
        let mut boot = Boot { node: message.node.take(), ..Default::default() };
        if let Some(statics) = message.static_resources.take() {
            for one in statics.clusters {
                boot.batch.added.push(resource(Kind::Cluster, &one.name, &one));
            }
            for one in statics.secrets {
                boot.batch.added.push(resource(Kind::Secret, &one.name, &one));
            }
            for (index, mut one) in statics.listeners.into_iter().enumerate() {
                if one.name.is_empty() {
                    one.name = format!("listener_{index}");
                }
                boot.batch.added.push(resource(Kind::Listener, &one.name, &one));
            }
        }
        if let Some(admin) = message.admin.take() {
            boot.admin = admin.address.map(admin_address).transpose()?;
        }
        if let Some(dynamic) = message.dynamic_resources.take() {
            boot.dynamic(dynamic)?;
        }
        let style = wire::reflect::Style { proto_names: true, redact: true };
        let rest = wire::reflect::message_to_json(&message, style);
        let keys = rest.as_object().into_iter().flat_map(|map| map.keys());
        boot.ignored = keys.filter(|key| *key != "@type").cloned().collect();
        Ok(boot)
    }

    fn dynamic(&mut self, dynamic: bootstrap::bootstrap::DynamicResources) -> Result<(), BootError> {
        use core::config_source::ConfigSourceSpecifier as S;
        let over_ads = |config: Option<core::ConfigSource>, field: &str| match config
            .map(|one| one.config_source_specifier)
        {
            None => Ok(false),
            Some(Some(S::Ads(_))) => Ok(true),
            Some(_) => Err(BootError(format!("dynamic_resources.{field}: only ads is supported"))),
        };
        self.dynamic_clusters = over_ads(dynamic.cds_config, "cds_config")?;
        self.dynamic_listeners = over_ads(dynamic.lds_config, "lds_config")?;
        if let Some(ads) = dynamic.ads_config {
            use core::api_config_source::ApiType as A;
            let delta = match ads.api_type() {
                A::Grpc | A::AggregatedGrpc => false,
                A::DeltaGrpc | A::AggregatedDeltaGrpc => true,
                other => {
                    return Err(BootError(format!(
                        "dynamic_resources.ads_config.api_type: {other:?} is not supported"
                    )));
                }
            };
            let service = ads.grpc_services.into_iter().find_map(|service| service.target_specifier);
            let Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(service)) = service else {
                return Err(BootError(
                    "dynamic_resources.ads_config.grpc_services: needs one with envoy_grpc".into(),
                ));
            };
            self.ads = Some(AdsSource { cluster: service.cluster_name, delta });
        }
        Ok(())
    }
}

fn admin_address(address: core::Address) -> Result<SocketAddr, BootError> {
    let Some(core::address::Address::SocketAddress(socket)) = address.address else {
        return Err(BootError("admin.address: needs a socket_address".into()));
    };
    let port = match socket.port_specifier {
        Some(core::socket_address::PortSpecifier::PortValue(port)) => u16::try_from(port).ok(),
        _ => None,
    };
    let ip = socket.address.parse().ok();
    ip.zip(port)
        .map(|(ip, port)| SocketAddr::new(ip, port))
        .ok_or_else(|| BootError(format!("admin.address: {}:{port:?} is no address", socket.address)))
}

fn resource<M: Message>(kind: Kind, name: &str, message: &M) -> Resource {
    let bytes = message.encode_to_vec();
    let hash = wire::resource::hash128(&bytes);
    Resource::encoded(kind, name, bytes, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
node: {id: a, cluster: b}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
static_resources:
  clusters:
  - name: xds
    type: STATIC
dynamic_resources:
  cds_config: {ads: {}}
  ads_config:
    api_type: DELTA_GRPC
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
layered_runtime: {layers: [{name: x, admin_layer: {}}]}
"#;

    #[test]
    fn a_file_with_an_overlay() {
        let boot =
            boot(FILE, r#"{"node": {"id": "other"}, "staticResources": {"clusters": [{"name": "more"}]}}"#)
                .expect("valid");
        let node = boot.node.expect("given");
        assert_eq!((node.id.as_str(), node.cluster.as_str()), ("other", "b"));
        let names: Vec<_> = boot.batch.added.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["xds", "more"]);
        assert_eq!(boot.ads, Some(AdsSource { cluster: "xds".into(), delta: true }));
        assert!(boot.dynamic_clusters && !boot.dynamic_listeners);
        assert_eq!(boot.admin, Some(SocketAddr::from(([127, 0, 0, 1], 15000))));
        assert_eq!(boot.ignored, ["layered_runtime"]);
    }

    #[test]
    fn a_misspelt_field_is_an_error() {
        let error = boot("static_resources: {clusters: [{nam: x}]}", "").unwrap_err();
        assert!(error.0.contains("static_resources.clusters[0].nam"), "{error}");
    }
}
