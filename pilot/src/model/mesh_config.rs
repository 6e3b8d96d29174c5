//! The ConfigMap `istio` -> mesh settings.
//!
//! Comes in: the world. Goes out: what builders need of it. A setting that is not honoured is said by name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Findings;
use api::core::Namespace;
use api::mesh::{
    AccessLogEncoding, ExtensionProvider, MeshConfig, NormalizationType, TraceContextOption,
    default_mesh_config, mesh_config_of,
};
use api::networking::{H2UpgradePolicy, OutboundMode};

use super::mesh::{AccessLog, Mesh, Observe, OutboundDefaults, Paths, Provider, Tracing, hundredths};
use super::names::full;
use super::routes::virtual_service::retries;
use super::traffic;
use crate::world::World;

/// Reads the mesh settings.
pub(super) fn resolve(world: &World, findings: &mut Findings) -> Mesh {
    let mut config = match world.settings() {
        Some(object) => {
            let config = mesh_config_of(object, findings);
            findings.extend(api::honoured::unhonoured_mesh(&config, &object.origin.file));
            config
        }
        None => default_mesh_config(),
    };
    let tracing = config.default_config.tracing.get_or_insert_default();
    tracing.sampling.get_or_insert(world.home().trace_sampling);
    let mut mesh = convert(&config);
    mesh.discovered = discovered(world, &config, &mesh.root_namespace);
    mesh
}

/// Namespaces that the mesh looks at and that are not on their way out.
pub(crate) fn namespaces(world: &World) -> impl Iterator<Item = &str> {
    let mesh = resolve(world, &mut Findings::new());
    let known = world.all::<Namespace>().filter(|object| object.meta.deletion_timestamp.is_none());
    known
        .map(|object| object.meta.name.as_str())
        .filter(move |name| mesh.discovered.as_ref().is_none_or(|discovered| discovered.contains(*name)))
}

/// Namespaces that one of `discoverySelectors` means, and the root namespace always.
fn discovered(world: &World, config: &MeshConfig, root: &str) -> Option<BTreeSet<String>> {
    if config.discovery_selectors.is_empty() {
        return None;
    }
    let chosen = world.all::<Namespace>().filter(|object| {
        let mut labels = object.meta.labels.clone();
        // As the API server labels every namespace.
        labels.insert("kubernetes.io/metadata.name".to_owned(), object.meta.name.clone());
        config.discovery_selectors.iter().any(|s| s.matches(&labels))
    });
    Some(chosen.map(|object| object.meta.name.clone()).chain([root.to_owned()]).collect())
}

fn convert(config: &MeshConfig) -> Mesh {
    let default = Mesh::default();
    let std = |d: Option<api::Duration>| d.map(|d| d.to_std());
    let text = |value: &str, default: String| if value.is_empty() { default } else { value.to_owned() };
    let outbound = &default.outbound;
    Mesh {
        trust_domain: text(&config.trust_domain, default.trust_domain),
        discovered: None,
        trust_aliases: config.trust_domain_aliases.clone(),
        root_namespace: text(&config.root_namespace, default.root_namespace),
        observe: Observe { access_logs: access_logs(config), tracing: tracing(config) },
        outbound: OutboundDefaults {
            connect_timeout: std(config.connect_timeout).unwrap_or(outbound.connect_timeout),
            keepalive: config.tcp_keepalive.as_ref().map(traffic::keepalive),
            auto_mtls: config.enable_auto_mtls.unwrap_or(true),
            http2_upgrade: config.h2_upgrade_policy == H2UpgradePolicy::Upgrade,
            dns_refresh: std(config.dns_refresh_rate).unwrap_or(outbound.dns_refresh),
            locality: config.locality_lb_setting.as_ref().map(traffic::locality).unwrap_or_default(),
        },
        providers: providers(config),
        allow_any: config
            .outbound_traffic_policy
            .as_ref()
            .is_none_or(|p| p.mode != OutboundMode::RegistryOnly),
        policy: config.default_traffic_policy.as_ref().map(traffic::blocks),
        retries: config.default_http_retry_policy.as_ref().map(retries),
        export_services: config.default_service_export_to.clone(),
        export_routes: config.default_virtual_service_export_to.clone(),
        export_rules: config.default_destination_rule_export_to.clone(),
        inspect_timeout: std(config.protocol_detection_timeout).unwrap_or(Duration::ZERO),
        paths: match config.path_normalization.as_ref().map(|p| p.normalization).unwrap_or_default() {
            NormalizationType::None => Paths::Verbatim,
            NormalizationType::Default | NormalizationType::Base => Paths::Base,
            NormalizationType::MergeSlashes => Paths::MergeSlashes,
            NormalizationType::DecodeAndMergeSlashes => Paths::DecodeAndMergeSlashes,
        },
        http_proxy_port: u16::try_from(config.proxy_http_port).unwrap_or_default(),
    }
}

/// The mesh's own file, else the default providers.
fn access_logs(config: &MeshConfig) -> Vec<AccessLog> {
    if !config.access_log_file.is_empty() {
        let format = Some(config.access_log_format.clone()).filter(|f| !f.is_empty());
        let json = config.access_log_encoding == AccessLogEncoding::Json;
        return vec![AccessLog { path: config.access_log_file.clone(), json, format }];
    }
    let names = config.default_providers.as_ref().map(|p| p.access_logging.as_slice()).unwrap_or_default();
    names.iter().filter_map(|name| file_log(config, provider(config, name)?)).collect()
}

/// Of several with one name the last counts.
fn providers(config: &MeshConfig) -> BTreeMap<String, Provider> {
    let read = |p: &ExtensionProvider| {
        let log = file_log(config, p).map(Provider::Log);
        log.or_else(|| zipkin(config, p).map(Provider::Spans)).unwrap_or(Provider::Other)
    };
    config.extension_providers.iter().map(|p| (p.name.clone(), read(p))).collect()
}

fn provider<'a>(config: &'a MeshConfig, name: &str) -> Option<&'a ExtensionProvider> {
    config.extension_providers.iter().rev().find(|p| p.name == name)
}

fn file_log(config: &MeshConfig, provider: &ExtensionProvider) -> Option<AccessLog> {
    let file = provider.envoy_file_access_log.as_ref()?;
    let format = file.log_format.as_ref();
    let labels =
        format.and_then(|f| f.labels.as_ref()).map(|l| serde_json::Value::Object(l.clone()).to_string());
    let json =
        labels.is_some() || (format.is_none() && config.access_log_encoding == AccessLogEncoding::Json);
    let text = format.and_then(|f| f.text.clone());
    let own = Some(config.access_log_format.clone()).filter(|f| !f.is_empty());
    let path = if file.path.is_empty() { "/dev/stdout" } else { &file.path };
    Some(AccessLog { path: path.to_owned(), json, format: labels.or(text).or(own) })
}

/// The mesh's own tracing: the default provider, else the collector of the proxy settings.
fn tracing(config: &MeshConfig) -> Option<Tracing> {
    if !config.enable_tracing {
        return None;
    }
    let names = config.default_providers.as_ref().map(|p| p.tracing.as_slice()).unwrap_or_default();
    if let Some(found) = names.iter().find_map(|name| zipkin(config, provider(config, name)?)) {
        return Some(found);
    }
    let own = config.default_config.tracing.as_ref()?;
    let address = &own.zipkin.as_ref()?.address;
    let (host, port) = address.rsplit_once(':')?;
    Some(Tracing {
        host: expand(host, &config.root_namespace),
        port: port.parse().ok()?,
        ..tracing_defaults(config)
    })
}

fn zipkin(config: &MeshConfig, provider: &ExtensionProvider) -> Option<Tracing> {
    let zipkin = provider.zipkin.as_ref()?;
    let defaults = tracing_defaults(config);
    Some(Tracing {
        // `ns/host` picks one of several namespaces; the host alone names the cluster.
        host: expand(zipkin.service.rsplit('/').next().unwrap_or_default(), &config.root_namespace),
        port: u16::try_from(zipkin.port).ok()?,
        path: if zipkin.path.is_empty() { defaults.path.clone() } else { zipkin.path.clone() },
        max_tag_length: Some(zipkin.max_tag_length).filter(|n| *n > 0).or(defaults.max_tag_length),
        w3c: zipkin.trace_context_option == TraceContextOption::UseB3WithW3cPropagation,
        ..defaults
    })
}

fn tracing_defaults(config: &MeshConfig) -> Tracing {
    let own = config.default_config.tracing.as_ref();
    Tracing {
        host: String::new(),
        port: 0,
        path: "/api/v2/spans".to_owned(),
        sampling: hundredths(own.and_then(|t| t.sampling).unwrap_or(1.0)),
        max_tag_length: own.and_then(|t| t.max_path_tag_length),
        w3c: false,
        tags: Vec::new(),
    }
}

/// `zipkin.istio-system` and `zipkin.istio-system.svc` are Services too.
fn expand(host: &str, home: &str) -> String {
    let parts: Vec<&str> = host.split('.').collect();
    match parts[..] {
        [name, namespace] | [name, namespace, "svc"] => full(name, namespace),
        _ => full(host, home),
    }
}
