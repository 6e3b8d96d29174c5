//! The ConfigMap `istio` and mesh-wide Telemetry -> mesh settings.
//!
//! Comes in: the world. Goes out: what builders need of it. A setting that is not honoured is said by name.

use std::time::Duration;

use api::core::ConfigMap;
use api::mesh::{
    AccessLogEncoding, ExtensionProvider, MeshConfig, NormalizationType, TraceContextOption,
    default_mesh_config, mesh_config_of,
};
use api::networking::{H2UpgradePolicy, OutboundMode};
use api::telemetry::Telemetry;
use api::{Code, Findings, Object};

use super::mesh::{AccessLog, Mesh, Observe, OutboundDefaults, Paths, Tracing};
use super::names::full;
use super::note::note;
use super::routes::virtual_service::retries;
use super::traffic;
use crate::world::World;

/// Where the mesh settings live.
const NAMESPACE: &str = "istio-system";
const NAME: &str = "istio";

/// Reads the mesh settings.
pub(super) fn resolve(world: &World, findings: &mut Findings) -> Mesh {
    let object = world.get::<ConfigMap>(NAMESPACE, NAME);
    let config = match object {
        Some(object) => mesh_config_of(object, findings),
        None => default_mesh_config(),
    };
    let mut mesh = convert(&config);
    telemetry(world, &config, &mut mesh, findings);
    mesh
}

fn convert(config: &MeshConfig) -> Mesh {
    let default = Mesh::default();
    let std = |d: Option<api::Duration>| d.map(|d| d.to_std());
    let text = |value: &str, default: String| if value.is_empty() { default } else { value.to_owned() };
    let outbound = &default.outbound;
    Mesh {
        trust_domain: text(&config.trust_domain, default.trust_domain),
        root_namespace: text(&config.root_namespace, default.root_namespace),
        observe: Observe { access_log: access_log(config), tracing: tracing(config) },
        outbound: OutboundDefaults {
            connect_timeout: std(config.connect_timeout).unwrap_or(outbound.connect_timeout),
            keepalive: config.tcp_keepalive.as_ref().map(traffic::keepalive),
            auto_mtls: config.enable_auto_mtls.unwrap_or(true),
            http2_upgrade: config.h2_upgrade_policy == H2UpgradePolicy::Upgrade,
            dns_refresh: std(config.dns_refresh_rate).unwrap_or(outbound.dns_refresh),
            locality: config.locality_lb_setting.as_ref().map(traffic::locality).unwrap_or_default(),
        },
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

fn access_log(config: &MeshConfig) -> Option<AccessLog> {
    if !config.access_log_file.is_empty() {
        let format = Some(config.access_log_format.clone()).filter(|f| !f.is_empty());
        let json = config.access_log_encoding == AccessLogEncoding::Json;
        return Some(AccessLog { path: config.access_log_file.clone(), json, format });
    }
    let names = &config.default_providers.as_ref()?.access_logging;
    names.iter().find_map(|name| file_log(config, provider(config, name)?))
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
    Some(Tracing { host: expand(host), port: port.parse().ok()?, ..tracing_defaults(config) })
}

fn zipkin(config: &MeshConfig, provider: &ExtensionProvider) -> Option<Tracing> {
    let zipkin = provider.zipkin.as_ref()?;
    let defaults = tracing_defaults(config);
    Some(Tracing {
        // `ns/host` picks one of several namespaces; the host alone names the cluster.
        host: expand(zipkin.service.rsplit('/').next().unwrap_or_default()),
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
    }
}

/// `zipkin.istio-system` and `zipkin.istio-system.svc` are Services too.
fn expand(host: &str) -> String {
    let parts: Vec<&str> = host.split('.').collect();
    match parts[..] {
        [name, namespace] | [name, namespace, "svc"] => full(name, namespace),
        _ => full(host, NAMESPACE),
    }
}

fn hundredths(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) * 100.0).round() as u32
}

/// Telemetry of the root namespace without selector holds for the mesh.
fn telemetry(world: &World, config: &MeshConfig, mesh: &mut Mesh, findings: &mut Findings) {
    let mut seen = false;
    for object in world.by_age::<Telemetry>() {
        let spec = &object.spec;
        let whole = spec.selector.is_none() && spec.target_ref.is_none() && spec.target_refs.is_empty();
        if !whole {
            // Named by the list of what is not honoured.
            continue;
        }
        if object.meta.namespace != mesh.root_namespace {
            let text = "Telemetry is honoured for the whole mesh only, in the root namespace";
            note(findings, object, "metadata.namespace", Code::NotHonoured, text);
        } else if seen {
            let text = "an older Telemetry already holds for the whole mesh";
            note(findings, object, "metadata.name", Code::MultipleTelemetriesWithoutWorkloadSelectors, text);
        } else {
            seen = true;
            logging(object, config, mesh, findings);
            spans(object, config, mesh, findings);
        }
    }
}

fn logging(object: &Object<Telemetry>, config: &MeshConfig, mesh: &mut Mesh, findings: &mut Findings) {
    for (index, entry) in object.spec.access_logging.iter().enumerate() {
        let path = |field: &str| format!("spec.accessLogging[{index}].{field}");
        if entry.disabled == Some(true) {
            mesh.observe.access_log = None;
            continue;
        }
        for reference in &entry.providers {
            match provider(config, &reference.name).map(|p| file_log(config, p)) {
                Some(Some(log)) => mesh.observe.access_log = Some(log),
                Some(None) => {
                    let text = format!(
                        "provider {:?} is no file access log; only those are honoured",
                        reference.name
                    );
                    note(findings, object, &path("providers"), Code::NotHonoured, text);
                }
                None => {
                    let text = format!("there is no provider {:?} in extensionProviders", reference.name);
                    note(findings, object, &path("providers"), Code::ReferencedResourceNotFound, text);
                }
            }
        }
    }
}

fn spans(object: &Object<Telemetry>, config: &MeshConfig, mesh: &mut Mesh, findings: &mut Findings) {
    let Some(entry) = object.spec.tracing.first() else { return };
    if entry.disable_span_reporting == Some(true) {
        mesh.observe.tracing = None;
        return;
    }
    if let Some(reference) = entry.providers.first() {
        match provider(config, &reference.name).map(|p| zipkin(config, p)) {
            Some(Some(found)) => mesh.observe.tracing = Some(found),
            Some(None) => {
                let text = format!("provider {:?} is not zipkin; only that is honoured", reference.name);
                note(findings, object, "spec.tracing[0].providers", Code::NotHonoured, text);
            }
            None => {
                let text = format!("there is no provider {:?} in extensionProviders", reference.name);
                note(findings, object, "spec.tracing[0].providers", Code::ReferencedResourceNotFound, text);
            }
        }
    }
    if let (Some(tracing), Some(percent)) = (&mut mesh.observe.tracing, entry.random_sampling_percentage) {
        tracing.sampling = hundredths(percent);
    }
}
