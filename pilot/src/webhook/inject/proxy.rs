//! The proxy's own settings and image for one pod.
//!
//! In: the mesh's `defaultConfig`, ProxyConfig objects, the annotation `proxy.istio.io/config`, values of the chart. Out: the ProxyConfig in
//! force as JSON, what of it differs from the defaults (the variable `PROXY_CONFIG`), and the name of the image.

use api::Findings;
use api::mesh::{ProxyConfig, default_mesh_config, proxy_config_with};
use serde_json::{Map, Value};

use super::pod::annotation;
use super::proxies::Proxies;

/// Fields that are left out of `PROXY_CONFIG` where they have their default.
const OBVIOUS: &[&str] = &[
    "configPath",
    "binaryPath",
    "controlPlaneAuthPolicy",
    "serviceCluster",
    "drainDuration",
    "terminationDrainDuration",
    "discoveryAddress",
    "proxyAdminPort",
    "statNameLength",
    "statusPort",
    "tracingServiceName",
];

/// The settings in force.
///
/// # Errors
/// The annotation cannot be read, or a setting in it has no such value.
pub(super) fn config(base: &ProxyConfig, proxies: &Proxies<'_>, pod: &Value) -> Result<ProxyConfig, String> {
    let mut config = base.clone();
    proxies.lay_broad(&mut config);
    if let Some(text) = annotation(pod, api::mesh::PROXY_CONFIG_ANNOTATION) {
        let mut findings = Findings::new();
        config = proxy_config_with(&config, text, &mut findings);
        if let Some(finding) = findings.iter().find(|finding| finding.severity == api::Severity::Error) {
            let field = finding.path.to_string();
            let place = if field.is_empty() { format!("line {}", finding.line) } else { field };
            let name = api::mesh::PROXY_CONFIG_ANNOTATION;
            return Err(format!("annotation {name}: {place}: {}", finding.message));
        }
    }
    proxies.lay_own(&mut config);
    // They have annotations of their own, which were checked with the others.
    if let Some(address) = annotation(pod, "sidecar.istio.io/discoveryAddress") {
        address.clone_into(&mut config.discovery_address);
    }
    if let Some(port) =
        annotation(pod, "status.sidecar.istio.io/port").and_then(|text| text.trim().parse().ok())
    {
        config.status_port = port;
    }
    Ok(config)
}

/// As JSON.
pub(super) fn json(config: &ProxyConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// What differs from the defaults.
pub(super) fn different(config: &Map<String, Value>) -> Map<String, Value> {
    let usual = json(&default_mesh_config().default_config);
    let says = |(key, value): &(&String, &Value)| {
        let empty =
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        // What serialisation leaves out and templates see.
        let unset = *value == "" || (*key == "interceptionMode" && *value == "REDIRECT");
        let obvious = OBVIOUS.contains(&key.as_str()) && usual.get(*key) == Some(value);
        !(empty || unset || obvious)
    };
    config.iter().filter(says).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// `HUB/IMAGE:TAG[-TYPE]`.
pub(super) fn image(values: &Value, config: &ProxyConfig, pod: &Value) -> String {
    let at = |pointer: &str| match values.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let name =
        Some(at("/global/proxy/image")).filter(|name| !name.is_empty()).unwrap_or("proxyv2".to_owned());
    let kind = config.image.as_ref().map(|image| image.image_type.clone()).unwrap_or_default();
    let kind = annotation(pod, "sidecar.istio.io/proxyImageType").map_or(kind, str::to_owned);
    let tag = at("/global/tag");
    let tag = match kind.as_str() {
        "" => tag,
        kind => {
            let plain =
                ["-debug", "-distroless"].iter().find_map(|end| tag.strip_suffix(end)).unwrap_or(&tag);
            if kind == "default" { plain.to_owned() } else { format!("{plain}-{kind}") }
        }
    };
    format!("{}/{name}:{tag}", at("/global/hub"))
}
