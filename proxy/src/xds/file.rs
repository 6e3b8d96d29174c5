//! Envoy bootstrap files: static resources, where the control plane is, who we are, where admin listens.
//!
//! In: JSON or YAML text, and an overlay (`--config-yaml`) that is merged as protobuf merges. Out: [`Boot`], whose
//! resources go into the same store as those of a session. Fields that mean nothing to this proxy are named, for
//! the log; misspelt ones are errors.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::{Message, Name};
use wire::pb::envoy::config::bootstrap::v3 as bootstrap;
use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::config::overload::v3::OverloadManager;
use wire::reflect::Failure;
use wire::{Kind, Resource};

use super::store::Batch;
use crate::overload::{self, Plan, Runtime};

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
    /// `overload_manager`, and what `layered_runtime` says of limits.
    pub limits: Plan,
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

/// The bootstrap's fields that mean something here. Resources stay encoded: each is compiled from its own bytes.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(message, optional, tag = "1")]
    node: Option<core::Node>,
    #[prost(message, optional, tag = "2")]
    static_resources: Option<Statics>,
    #[prost(message, optional, tag = "3")]
    dynamic_resources: Option<bootstrap::bootstrap::DynamicResources>,
    #[prost(message, optional, tag = "12")]
    admin: Option<bootstrap::Admin>,
    #[prost(message, optional, tag = "15")]
    overload_manager: Option<OverloadManager>,
    #[prost(message, optional, tag = "17")]
    layered_runtime: Option<bootstrap::LayeredRuntime>,
}

const HONOURED: [&str; 6] =
    ["node", "static_resources", "dynamic_resources", "admin", "overload_manager", "layered_runtime"];

#[derive(Clone, PartialEq, Message)]
struct Statics {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    listeners: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    clusters: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    secrets: Vec<Bytes>,
}

/// What listeners, clusters and secrets have in common.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// Reads a bootstrap and its overlay; either may be empty.
pub fn boot(text: &str, overlay: &str) -> Result<Boot, BootError> {
    let mut bytes = encode(text)?;
    // Concatenated messages decode as their merge: lists are appended, fields of the later one win.
    bytes.extend(encode(overlay)?);
    bytes.shrink_to_fit();
    let bytes = Bytes::from(bytes);
    let fields = wire::reflect::fields_of(&bootstrap::Bootstrap::full_name(), &bytes);
    let file = File::decode(bytes).map_err(|error| BootError(error.to_string()))?;
    let mut boot = Boot::of(file)?;
    boot.ignored.extend(fields.into_iter().filter(|name| !HONOURED.contains(name)).map(str::to_owned));
    Ok(boot)
}

fn encode(text: &str) -> Result<Vec<u8>, BootError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let name = bootstrap::Bootstrap::full_name();
    if text.trim_start().starts_with('{') {
        let mut json = serde_json::Deserializer::from_str(text);
        match wire::reflect::read_from(&name, &mut json) {
            Ok(bytes) if json.end().is_ok() => return Ok(bytes),
            Err(Failure::Mismatch(mismatch)) => return Err(BootError(mismatch.to_string())),
            // JSON is YAML, and so is what looks like JSON.
            Ok(_) | Err(Failure::Syntax(_)) => {}
        }
    }
    let mut mismatch = None;
    let read =
        serde_saphyr::with_deserializer_from_str(text, |yaml| match wire::reflect::read_from(&name, yaml) {
            Ok(bytes) => Ok(bytes),
            Err(Failure::Syntax(error)) => Err(error),
            Err(Failure::Mismatch(one)) => {
                mismatch = Some(BootError(one.to_string()));
                Ok(Vec::new())
            }
        });
    match (mismatch, read) {
        (Some(error), _) => Err(error),
        (None, Ok(bytes)) => Ok(bytes),
        (None, Err(error)) => Err(BootError(format!("neither JSON nor YAML: {error}"))),
    }
}

impl Boot {
    fn of(file: File) -> Result<Self, BootError> {
        let mut boot = Boot { node: file.node, ..Default::default() };
        let statics = file.static_resources.unwrap_or_default();
        for (kind, all) in [(Kind::Cluster, statics.clusters), (Kind::Secret, statics.secrets)] {
            for bytes in all {
                boot.batch.added.push(resource(kind, &name(&bytes)?, bytes));
            }
        }
        for (index, mut bytes) in statics.listeners.into_iter().enumerate() {
            let mut name = name(&bytes)?;
            if name.is_empty() {
                name = format!("listener_{index}");
                let named = Named { name: name.clone() }.encode_to_vec();
                bytes = [&bytes, named.as_slice()].concat().into();
            }
            boot.batch.added.push(resource(Kind::Listener, &name, bytes));
        }
        if let Some(admin) = file.admin {
            boot.admin = admin.address.map(admin_address).transpose()?;
        }
        if let Some(dynamic) = file.dynamic_resources {
            boot.dynamic(dynamic)?;
        }
        boot.limits(file.layered_runtime, file.overload_manager)?;
        Ok(boot)
    }

    /// What the process may take on; names what has no effect.
    fn limits(
        &mut self,
        layers: Option<bootstrap::LayeredRuntime>,
        manager: Option<OverloadManager>,
    ) -> Result<(), BootError> {
        let mut runtime = Runtime::default();
        if let Some(layers) = layers {
            runtime.layers(layers, &mut self.limits).map_err(BootError)?;
        }
        self.ignored.extend(runtime.ignored);
        if let Some(manager) = manager {
            self.ignored.extend(overload::manager(manager, &mut self.limits).map_err(BootError)?);
        }
        Ok(())
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

fn name(bytes: &Bytes) -> Result<String, BootError> {
    let named = Named::decode(bytes.clone()).map_err(|error| BootError(error.to_string()))?;
    Ok(named.name)
}

fn resource(kind: Kind, name: &str, bytes: Bytes) -> Resource {
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
        assert_eq!(boot.ignored, ["layered_runtime.admin_layer (x)"]);
    }

    const LIMITS: &str = r#"
layered_runtime:
  layers:
  - name: static
    static_layer:
      overload: {global_downstream_max_connections: 900, premature_reset_total_stream_count: 70}
      envoy.resource_limits.listener.in.connection_limit: 8
      re2.max_program_size.error_level: 1024
overload_manager:
  refresh_interval: 0.25s
  resource_monitors:
  - name: envoy.resource_monitors.fixed_heap
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
      max_heap_size_bytes: 1000000
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 2147483647
  actions:
  - name: envoy.overload_actions.stop_accepting_requests
    triggers: [{name: envoy.resource_monitors.fixed_heap, threshold: {value: 0.95}}]
  - name: envoy.overload_actions.shrink_heap
    triggers: [{name: envoy.resource_monitors.fixed_heap, threshold: {value: 0.9}}]
"#;

    #[test]
    fn limits_of_the_process() {
        use crate::overload::{Action, Resource, Trigger};
        let boot = boot(LIMITS, "").expect("valid");
        let limits = &boot.limits;
        assert_eq!((limits.connections, limits.memory), (Some(2_147_483_647), Some(1_000_000)));
        assert_eq!((limits.premature_streams, limits.of_listeners.get("in")), (70, Some(&8)));
        assert_eq!(limits.refresh.as_millis(), 250);
        let wanted = Trigger { action: Action::StopRequests, resource: Resource::Memory, threshold: 0.95 };
        assert_eq!(limits.triggers, [wanted]);
        assert_eq!(
            boot.ignored,
            [
                "runtime re2.max_program_size.error_level",
                "overload_manager.actions[envoy.overload_actions.shrink_heap]"
            ]
        );
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_an_error() {
        for (from, to, told) in [
            ("FixedHeapConfig", "FixedHeapsConfig", "FixedHeapsConfig"),
            ("max_heap_size_bytes: 1000000", "max_heap_size_bytes: 0", "max_heap_size_bytes must be"),
            ("value: 0.95", "value: 95", "95 is not within 0 and 1"),
            ("connection_limit: 8", "connection_limit: some", "connection_limit: some is not a whole number"),
            (
                "max_active_downstream_connections: 2147483647",
                "max_active_downstream_connections: 0",
                "greater than 0",
            ),
        ] {
            let error = boot(&LIMITS.replace(from, to), "").unwrap_err();
            assert!(error.0.contains(told), "{error}");
        }
    }

    #[test]
    fn a_misspelt_field_is_an_error() {
        let error = boot("static_resources: {clusters: [{nam: x}]}", "").unwrap_err();
        assert!(error.0.starts_with("static_resources.clusters[0].nam: envoy.config.cluster"), "{error}");
        let error =
            boot(r#"{"static_resources": {"clusters": [{"name": "a", "nam": "x"}]}}"#, "").unwrap_err();
        assert!(error.0.starts_with("static_resources.clusters[0].nam: envoy.config.cluster"), "{error}");
    }

    #[test]
    fn a_field_given_twice_is_an_error() {
        for text in [r#"{"node": {"id": "a", "id": "b"}}"#, r#"{"adminX": 1, "node": {}, "node": {}}"#] {
            assert!(boot(text, "").is_err(), "{text}");
        }
        let error = boot(r#"{"staticResources": {}, "static_resources": {}}"#, "").unwrap_err();
        assert_eq!(error.0, "static_resources: is given twice");
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for text in ["{", r#"{"node": {}} {"node": {}}"#, "a: [", "- a", "just text"] {
            assert!(boot(text, "").is_err(), "{text}");
        }
        assert!(boot("{node: {id: a}} # YAML that begins like JSON", "").is_ok());
    }

    #[test]
    fn a_listener_without_a_name_gets_one() {
        let boot = boot("static_resources: {listeners: [{}, {name: b}]}", "").expect("valid");
        let names: Vec<_> = boot.batch.added.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["listener_0", "b"]);
        assert_eq!(name(&boot.batch.added[0].bytes).expect("valid"), "listener_0");
    }
}
