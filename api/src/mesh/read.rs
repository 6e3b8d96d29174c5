//! Mesh settings from text: what is written, laid over the defaults.
//!
//! Called by pilot with the ConfigMap `istio` or a file, and with the annotation `proxy.istio.io/config` of pods.
//! Mappings are merged key by key, everything else is replaced. A field that does not exist is a warning: settings
//! of the whole mesh are not thrown away for it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{MeshConfig, MeshNetworks, ProxyConfig};
use crate::core::ConfigMap;
use crate::de::{self, Dialect};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::object::Object;
use crate::path::FieldPath;
use crate::yaml;

/// Name of the ConfigMap that holds the settings.
pub const MESH_CONFIG_MAP: &str = "istio";
/// Its key for `MeshConfig`.
pub const MESH_KEY: &str = "mesh";
/// Its key for `MeshNetworks`.
pub const NETWORKS_KEY: &str = "meshNetworks";
/// Annotation of pods that overrides `defaultConfig`.
pub const PROXY_CONFIG_ANNOTATION: &str = "proxy.istio.io/config";

/// Istio's defaults.
const DEFAULTS: &str = "
proxyListenPort: 15001
proxyInboundListenPort: 15006
connectTimeout: 10s
ingressClass: istio
ingressService: istio-ingressgateway
ingressSelector: ingressgateway
ingressControllerMode: STRICT
enableTracing: true
enableAutoMtls: true
enablePrometheusMerge: true
trustDomain: cluster.local
rootNamespace: istio-system
dnsRefreshRate: 60s
outboundTrafficPolicy: {mode: ALLOW_ANY}
inboundTrafficPolicy: {mode: PASSTHROUGH}
defaultServiceExportTo: ['*']
defaultVirtualServiceExportTo: ['*']
defaultDestinationRuleExportTo: ['*']
localityLbSetting: {enabled: true}
protocolDetectionTimeout: 0s
defaultProviders: {metrics: [prometheus]}
extensionProviders:
- {name: prometheus, prometheus: {}}
- {name: envoy, envoyFileAccessLog: {path: /dev/stdout}}
defaultConfig:
  configPath: ./etc/istio/proxy
  binaryPath: /usr/local/bin/envoy
  serviceCluster: istio-proxy
  drainDuration: 45s
  terminationDrainDuration: 5s
  discoveryAddress: istiod.istio-system.svc:15012
  proxyAdminPort: 15000
  controlPlaneAuthPolicy: MUTUAL_TLS
  statNameLength: 189
  statusPort: 15020
";

/// The settings that hold where nothing is written.
pub fn default_mesh_config() -> MeshConfig {
    let mut findings = Findings::new();
    let config = overlay(&defaults(), &Value::Null, &Place { file: "", line: 0 }, &mut findings);
    debug_assert!(findings.is_empty(), "{findings}");
    config
}

/// Settings from the text of a file.
pub fn mesh_config(file: &str, text: &str, findings: &mut Findings) -> MeshConfig {
    read_over(&defaults(), &Place { file, line: 1 }, text, findings)
}

/// Settings from the ConfigMap `istio`; the defaults where it has no key `mesh`.
pub fn mesh_config_of(map: &Object<ConfigMap>, findings: &mut Findings) -> MeshConfig {
    match map.spec.data.get(MESH_KEY) {
        Some(text) => read_over(&defaults(), &Place::of(map, MESH_KEY), text, findings),
        None => default_mesh_config(),
    }
}

/// Networks from the ConfigMap `istio`.
pub fn mesh_networks_of(map: &Object<ConfigMap>, findings: &mut Findings) -> MeshNetworks {
    match map.spec.data.get(NETWORKS_KEY) {
        Some(text) => read_over(&Value::Null, &Place::of(map, NETWORKS_KEY), text, findings),
        None => MeshNetworks::default(),
    }
}

/// Proxy settings with those of a pod's annotation laid over.
pub fn proxy_config_with(base: &ProxyConfig, annotation: &str, findings: &mut Findings) -> ProxyConfig {
    read_over(&to_value(base), &Place { file: PROXY_CONFIG_ANNOTATION, line: 1 }, annotation, findings)
}

/// Where a text stands, for findings.
struct Place<'a> {
    file: &'a str,
    /// Line of the text's first line.
    line: u32,
}

impl<'a> Place<'a> {
    fn of(map: &'a Object<ConfigMap>, key: &str) -> Self {
        let line = map.origin.line_of(&FieldPath::parse("data").key(key));
        // The text of a block scalar begins on the line after its key.
        Place { file: &map.origin.file, line: line + 1 }
    }
}

fn defaults() -> Value {
    yaml::load(DEFAULTS, 1).expect("the defaults are YAML").remove(0).value
}

fn to_value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("settings have string keys only")
}

fn read_over<T: DeserializeOwned + Default>(
    base: &Value,
    place: &Place<'_>,
    text: &str,
    findings: &mut Findings,
) -> T {
    match yaml::load(text, place.line) {
        Ok(documents) => {
            let document = documents.into_iter().next().unwrap_or_default();
            let mut found = Findings::new();
            let made = overlay(base, &document.value, place, &mut found);
            findings.extend(found.into_iter().map(|mut finding| {
                finding.line = document.lines.at(&finding.path).max(place.line);
                finding
            }));
            made
        }
        Err(error) => {
            let message = format!("the settings cannot be read: {}", error.message);
            findings.push(Finding::new(Code::Syntax, message).at(place.file, error.line));
            overlay(base, &Value::Null, place, findings)
        }
    }
}

fn overlay<T: DeserializeOwned + Default>(
    base: &Value,
    over: &Value,
    place: &Place<'_>,
    findings: &mut Findings,
) -> T {
    let mut merged = base.clone();
    merge(&mut merged, over);
    let read = de::read::<T>(&merged, Dialect::Proto, &FieldPath::default());
    for (path, message) in read.wrong {
        findings.push(Finding::new(Code::WrongType, message).at(place.file, place.line).field(path));
    }
    for (path, nearest) in read.unknown {
        let hint = nearest.map_or_else(|| "it is ignored".to_owned(), |near| format!("did you mean {near}?"));
        let finding = Finding::new(Code::UnknownField, format!("no such setting; {hint}"));
        findings.push(finding.at(place.file, place.line).field(path).severity(Severity::Warning));
    }
    read.value.unwrap_or_default()
}

/// Lays `over` on `base`. Keys may be written in snake_case.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                let camel = de::camel(key);
                let key = if base.contains_key(&camel) { camel } else { key.clone() };
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networking::OutboundMode;
    use crate::time::Duration;

    #[test]
    fn defaults_hold() {
        let config = default_mesh_config();
        assert_eq!(config.proxy_listen_port, 15001);
        assert_eq!(config.enable_auto_mtls, Some(true));
        assert_eq!(config.default_config.drain_duration, Some(Duration::from_secs(45)));
    }

    #[test]
    fn written_settings_are_laid_over() {
        let mut findings = Findings::new();
        let text = "accessLogFile: /dev/stdout\noutboundTrafficPolicy:\n  mode: REGISTRY_ONLY\ndefaultConfig:\n  \
                    concurrency: 2\n  tracing: {sampling: 100}\ntrustDomian: x\nconnectTimeout: soon\n";
        let config = mesh_config("mesh.yaml", text, &mut findings);
        assert_eq!(config.access_log_file, "/dev/stdout");
        assert_eq!(config.outbound_traffic_policy.unwrap().mode, OutboundMode::RegistryOnly);
        assert_eq!(config.default_config.concurrency, Some(2));
        assert_eq!(config.default_config.status_port, 15020);
        let lines: Vec<_> = findings.iter().map(|f| (f.line, f.path.to_string(), f.severity)).collect();
        assert_eq!(
            lines,
            [
                (8, "connectTimeout".to_owned(), Severity::Error),
                (7, "trustDomian".to_owned(), Severity::Warning),
            ]
        );
    }

    #[test]
    fn annotation_wins_over_the_mesh() {
        let base = default_mesh_config().default_config;
        let mut findings = Findings::new();
        let config =
            proxy_config_with(&base, "proxyMetadata: {A: b}\nterminationDrainDuration: 1s", &mut findings);
        assert_eq!(config.termination_drain_duration, Some(Duration::from_secs(1)));
        assert_eq!(config.proxy_metadata["A"], "b");
        assert_eq!(config.status_port, 15020);
    }

    #[test]
    fn from_the_config_map_with_its_lines() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |-\n    \
                    rootNamespace: roots\n    nonsense: 1\n";
        let parsed = crate::parse("f.yaml", text);
        let mut findings = Findings::new();
        let config = mesh_config_of(parsed.objects[0].get::<ConfigMap>().unwrap(), &mut findings);
        assert_eq!(config.root_namespace, "roots");
        assert_eq!(findings.as_slice()[0].line, 7);
    }
}
