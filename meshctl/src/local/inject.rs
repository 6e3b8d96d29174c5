//! Sidecar injection: a pod without a proxy becomes one with a proxy, as the webhook does in a cluster. Pure.
//!
//! In: a pod, its namespace's labels, the mesh's default proxy config. Out: the pod with a container `istio-proxy`,
//! its volumes, labels and annotations; and what to intercept in its network. Gateways (the template annotation
//! `gateway`) get their own container filled in instead, and no interception.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use api::Meta;
use api::core::{Container, EnvVar, Pod};
use base::net::Interception;
use pilot::webhook::inject::Proxies;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::addresses::DNS;
use super::ground::HTTP_PROXY_PORT;
use super::system::NEVER_INJECTED;

/// Name of the proxy's container.
pub const PROXY: &str = "istio-proxy";
/// Image of the proxy, known to `images`.
pub const IMAGE: &str = "mesh.local/proxy";

/// What a pod gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// No proxy.
    Nothing,
    /// A proxy beside the application.
    Sidecar,
    /// The pod is a proxy.
    Gateway,
}

/// Decides. The pod's label wins over its annotation, and both over the namespace unless that is disabled.
#[must_use]
pub fn wanted(meta: &Meta, spec: &Pod, namespace_labels: &BTreeMap<String, String>) -> Wanted {
    let own = meta.label("sidecar.istio.io/inject").or_else(|| meta.annotation("sidecar.istio.io/inject"));
    let disabled = namespace_labels.get("istio-injection").is_some_and(|value| value == "disabled");
    let never = NEVER_INJECTED.contains(&meta.namespace.as_str()) || spec.host_network;
    if never || own == Some("false") || (disabled && own != Some("true")) {
        return Wanted::Nothing;
    }
    match meta.annotation("inject.istio.io/templates") {
        Some(templates) if templates.split(',').any(|name| name.trim() == "gateway") => Wanted::Gateway,
        _ => Wanted::Sidecar,
    }
}

/// Who owns the pod, for the proxy's metadata.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    /// Name of the Deployment or other owner.
    pub name: &'a str,
    /// `kubernetes://apis/...`.
    pub owner: String,
    /// The mesh's `defaultConfig`.
    pub default_config: &'a Value,
    /// The mesh's trust domain.
    pub trust_domain: &'a str,
    /// ProxyConfig objects that mean the pod. Images are all one here.
    pub proxies: Proxies<'a>,
}

/// Adds the proxy.
pub fn inject(meta: &mut Meta, spec: &mut Pod, kind: Wanted, workload: &Workload<'_>) {
    if kind == Wanted::Nothing {
        return;
    }
    let config = proxy_config(meta, workload);
    let canonical = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]
        .iter()
        .find_map(|label| meta.label(label))
        .unwrap_or(workload.name)
        .to_owned();
    let revision = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
        .iter()
        .find_map(|label| meta.label(label))
        .unwrap_or("latest")
        .to_owned();
    let mut label = |key: &str, value: String| {
        meta.labels.entry(key.to_owned()).or_insert(value);
    };
    if kind == Wanted::Sidecar {
        label("security.istio.io/tlsMode", "istio".to_owned());
    }
    label("service.istio.io/canonical-name", canonical);
    label("service.istio.io/canonical-revision", revision);
    label("istio.io/rev", "default".to_owned());
    let volumes = volumes();
    let names: Vec<Value> = volumes.iter().filter_map(|volume| volume.get("name").cloned()).collect();
    let status =
        json!({"initContainers": [], "containers": [PROXY], "volumes": names, "revision": "default"});
    meta.annotations.insert("sidecar.istio.io/status".to_owned(), status.to_string());

    let proxy = container(spec, kind, workload, &config);
    spec.volumes.extend(volumes.into_iter().map(typed));
    match spec.containers.iter_mut().find(|container| container.name == PROXY) {
        Some(own) => merge(own, proxy),
        None => spec.containers.push(proxy),
    }
}

/// The template is our own constant, so it always has the shape of the type.
fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the injection template has the shape of a pod")
}

/// The user's container wins where it says something.
fn merge(own: &mut Container, template: Container) {
    if own.image.is_empty() || own.image == "auto" {
        own.image = template.image;
    }
    if own.args.is_empty() {
        own.args = template.args;
    }
    let mut env = template.env;
    env.retain(|variable| own.env.iter().all(|other| other.name != variable.name));
    own.env.splice(0..0, env);
    own.volume_mounts.extend(template.volume_mounts);
    own.ports.extend(template.ports);
    if own.readiness_probe.is_none() {
        own.readiness_probe = template.readiness_probe;
    }
}

fn proxy_config(meta: &Meta, workload: &Workload<'_>) -> Value {
    let mut config = workload.default_config.as_object().cloned().unwrap_or_default();
    workload.proxies.broad_into(&mut config);
    if let Some(text) = meta.annotation("proxy.istio.io/config") {
        // A text that is no mapping changes nothing; `analyze` tells about it.
        if let Ok(Value::Object(own)) = serde_saphyr::from_str::<Value>(text) {
            config.extend(own);
        }
    }
    workload.proxies.own_into(&mut config);
    config.entry("discoveryAddress").or_insert_with(|| json!("istiod.istio-system.svc:15012"));
    Value::Object(config)
}

fn volumes() -> Vec<Value> {
    let field = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    vec![
        json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "istio-data", "emptyDir": {}}),
        json!({"name": "istio-podinfo", "downwardAPI": {"items": [
            field("labels", "metadata.labels"), field("annotations", "metadata.annotations"),
        ]}}),
        json!({"name": "istio-token", "projected": {"sources": [
            {"serviceAccountToken": {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}},
        ]}}),
        json!({"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert", "optional": true}}),
    ]
}

fn container(spec: &Pod, kind: Wanted, workload: &Workload<'_>, config: &Value) -> Container {
    let role = if kind == Wanted::Gateway { "router" } else { "sidecar" };
    let apps: Vec<&str> =
        spec.containers.iter().map(|c| c.name.as_str()).filter(|name| *name != PROXY).collect();
    let ports: Vec<Value> = spec
        .containers
        .iter()
        .flat_map(|container| &container.ports)
        .map(|port| {
            let mut value = Map::new();
            if !port.name.is_empty() {
                value.insert("name".to_owned(), json!(port.name));
            }
            value.insert("containerPort".to_owned(), json!(port.container_port));
            let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
            value.insert("protocol".to_owned(), json!(protocol));
            Value::Object(value)
        })
        .collect();
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let plain = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut env = vec![
        plain("PILOT_CERT_PROVIDER", "istiod"),
        plain("CA_ADDR", "istiod.istio-system.svc:15012"),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("INSTANCE_IP", "status.podIP"),
        field("ISTIO_META_INSTANCE_IPS", "status.podIPs"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        field("HOST_IP", "status.hostIP"),
        plain("PROXY_CONFIG", &config.to_string()),
        plain("ISTIO_META_POD_PORTS", &Value::Array(ports).to_string()),
        plain("ISTIO_META_APP_CONTAINERS", &apps.join(",")),
        plain("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        plain("ISTIO_META_WORKLOAD_NAME", workload.name),
        plain("ISTIO_META_OWNER", &workload.owner),
        plain("ISTIO_META_MESH_ID", workload.trust_domain),
        plain("TRUST_DOMAIN", workload.trust_domain),
    ];
    if kind == Wanted::Sidecar {
        env.push(plain("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"));
        env.push(plain("ISTIO_META_DNS_CAPTURE", "true"));
    }
    let metadata = config.get("proxyMetadata").and_then(Value::as_object).into_iter().flatten();
    env.extend(metadata.map(|(name, value)| plain(name, value.as_str().unwrap_or(&value.to_string()))));
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    typed(json!({
        "name": PROXY,
        "image": IMAGE,
        "args": ["proxy", role, "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning",
                 "--log_output_level=default:info"],
        "env": env,
        "ports": if kind == Wanted::Sidecar {
            json!([{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}])
        } else { json!([]) },
        "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 15,
                           "failureThreshold": 4, "timeoutSeconds": 3},
        "volumeMounts": [
            mount("istiod-ca-cert", "/var/run/secrets/istio"),
            mount("istio-data", "/var/lib/istio/data"),
            mount("istio-envoy", "/etc/istio/proxy"),
            mount("istio-token", "/var/run/secrets/tokens"),
            mount("istio-podinfo", "/etc/istio/pod"),
        ],
    }))
}

/// Changes a pod for a system without namespaces: everything is told where it is, since nothing can be found.
/// `at` is the pod's own address and that of the control plane, which is reached without encryption.
pub fn without_namespaces(meta: &mut Meta, spec: &mut Pod, kind: Wanted, at: (Ipv4Addr, SocketAddr)) {
    let (own, pilot) = at;
    meta.labels.remove("security.istio.io/tlsMode");
    let set = |container: &mut Container, name: &str, value: String| {
        container.env.retain(|variable| variable.name != name);
        container.env.push(EnvVar { name: name.to_owned(), value, ..EnvVar::default() });
    };
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        if container.name == PROXY {
            container
                .env
                .retain(|variable| variable.name != "CA_ADDR" && variable.name != "ISTIO_META_DNS_CAPTURE");
            set(container, "ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned());
            set(container, "ISTIO_META_HTTP_PROXY_PORT", HTTP_PROXY_PORT.to_string());
            let config = container.env.iter_mut().find(|variable| variable.name == "PROXY_CONFIG");
            if let Some(variable) = config
                && let Ok(mut config) = serde_json::from_str::<Value>(&variable.value)
            {
                config["discoveryAddress"] = json!(pilot.to_string());
                variable.value = config.to_string();
            }
        } else if container.image == "mesh.local/pilot" {
            for (flag, port) in [
                ("--grpcAddr", 15010),
                ("--secureGRPCAddr", 15012),
                ("--httpAddr", 8080),
                ("--monitoringAddr", 15014),
            ] {
                container.args.extend([flag.to_owned(), format!("{own}:{port}")]);
            }
        } else {
            set(container, "BIND_IP", own.to_string());
            if kind == Wanted::Sidecar {
                for name in ["http_proxy", "HTTP_PROXY"] {
                    set(container, name, format!("http://{own}:{HTTP_PROXY_PORT}"));
                }
                for name in ["no_proxy", "NO_PROXY"] {
                    set(container, name, format!("localhost,127.0.0.1,{own}"));
                }
            }
        }
    }
}

/// What is intercepted in a pod with a sidecar, by its annotations. A value that cannot be read is an error.
pub fn interception(meta: &Meta) -> Result<Interception, String> {
    let text = |name: &str| {
        let key = format!("traffic.sidecar.istio.io/{name}");
        meta.annotations.get(&key).map(|value| (key, value.trim().to_owned()))
    };
    let ports = |name: &str| -> Result<Option<Vec<u16>>, String> {
        match text(name) {
            None => Ok(Some(Vec::new())),
            Some((_, all)) if all == "*" => Ok(None),
            Some((key, list)) => words(&list)
                .map(|word| word.parse().map_err(|_| format!("annotation {key}: {word:?} is not a port")))
                .collect::<Result<_, _>>()
                .map(Some),
        }
    };
    let ranges = |name: &str| -> Result<Option<Vec<(IpAddr, u8)>>, String> {
        match text(name) {
            None => Ok(Some(Vec::new())),
            Some((_, all)) if all == "*" => Ok(None),
            Some((key, list)) => words(&list)
                .map(|word| {
                    range(word).ok_or_else(|| format!("annotation {key}: {word:?} is not an address range"))
                })
                .collect::<Result<_, _>>()
                .map(Some),
        }
    };
    let mut rules = Interception { dns: Some(15053), resolvers: vec![DNS.into()], ..Interception::default() };
    rules.exclude_inbound.extend(ports("excludeInboundPorts")?.unwrap_or_default());
    rules.exclude_outbound = ports("excludeOutboundPorts")?.unwrap_or_default();
    rules.include_outbound = ports("includeOutboundPorts")?.unwrap_or_default();
    rules.exclude_ranges = ranges("excludeOutboundIPRanges")?.unwrap_or_default();
    if text("includeInboundPorts").is_some() {
        rules.include_inbound = ports("includeInboundPorts")?;
    }
    if text("includeOutboundIPRanges").is_some() {
        rules.include_ranges = ranges("includeOutboundIPRanges")?;
    }
    Ok(rules)
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn range(word: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = word.split_once('/').unwrap_or((word, ""));
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length =
        if length.is_empty() { full } else { length.parse().ok().filter(|length| *length <= full)? };
    Some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(annotations: &[(&str, &str)], labels: &[(&str, &str)]) -> Meta {
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Meta { annotations: own(annotations), labels: own(labels), ..Meta::named("default", "p") }
    }

    #[test]
    fn who_gets_a_proxy() {
        let none = BTreeMap::new();
        let disabled = BTreeMap::from([("istio-injection".to_owned(), "disabled".to_owned())]);
        let spec = Pod::default();
        let off = ("sidecar.istio.io/inject", "false");
        assert_eq!(wanted(&pod(&[], &[]), &spec, &none), Wanted::Sidecar);
        assert_eq!(wanted(&pod(&[off], &[]), &spec, &none), Wanted::Nothing);
        assert_eq!(
            wanted(&pod(&[off], &[("sidecar.istio.io/inject", "true")]), &spec, &none),
            Wanted::Sidecar
        );
        assert_eq!(wanted(&pod(&[], &[]), &spec, &disabled), Wanted::Nothing);
        assert_eq!(
            wanted(&pod(&[("inject.istio.io/templates", "gateway")], &[]), &spec, &none),
            Wanted::Gateway
        );
    }

    #[test]
    fn a_gateway_keeps_its_container_and_gets_the_rest() {
        let mut meta = pod(&[], &[("app", "gw")]);
        let mut spec: Pod = typed(json!({"containers": [{"name": PROXY, "image": "auto"}]}));
        let config = json!({});
        let workload = Workload {
            name: "gw",
            owner: String::new(),
            default_config: &config,
            trust_domain: "td",
            proxies: Proxies::default(),
        };
        inject(&mut meta, &mut spec, Wanted::Gateway, &workload);
        assert_eq!(spec.containers.len(), 1);
        assert_eq!(spec.containers[0].image, IMAGE);
        assert_eq!(spec.containers[0].args[1], "router");
        assert_eq!(meta.label("service.istio.io/canonical-name"), Some("gw"));
    }

    #[test]
    fn annotations_shape_the_interception() {
        let meta = pod(
            &[
                ("traffic.sidecar.istio.io/excludeOutboundPorts", "27017, 3306"),
                ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8"),
                ("traffic.sidecar.istio.io/includeInboundPorts", "*"),
            ],
            &[],
        );
        let rules = interception(&meta).unwrap();
        assert_eq!(rules.exclude_outbound, [27017, 3306]);
        assert_eq!(rules.include_ranges, Some(vec![("10.0.0.0".parse().unwrap(), 8)]));
        assert_eq!(rules.include_inbound, None);
        let wrong = pod(&[("traffic.sidecar.istio.io/excludeInboundPorts", "http")], &[]);
        assert!(interception(&wrong).unwrap_err().contains("\"http\" is not a port"));
    }
}
