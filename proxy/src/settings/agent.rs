//! A proxy of a mesh: who it is and where its control plane is, from the environment that an injector sets.
//!
//! In: environment variables of Istio's agent (`ISTIO_META_*`, `POD_NAME`, `PROXY_CONFIG`, `CA_ADDR`, ...), the role,
//! and the pod's files. Out: an [`Agent`]. Names and defaults are Istio's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::settings::{Settings as Environment, parse_duration};
use serde_json::{Map, Value};
use wire::Node;
use wire::node::{Metadata, NodeId};

use super::app::{self, AppProbe, Scrape};
use super::{Flags, Ports};
use crate::overload::{Plan as Limits, Runtime};

/// Files of the pod, below one root (`/`, except in tests).
#[derive(Debug, Clone)]
pub struct Files {
    pub token: PathBuf,
    pub root_cert: PathBuf,
    pub labels: PathBuf,
    pub annotations: PathBuf,
    /// Resolvers and search domains of the pod.
    pub resolv_conf: PathBuf,
    /// Directory with cert-chain.pem, key.pem, root-cert.pem, used instead of the CA where it exists.
    pub mounted_certs: PathBuf,
    /// Socket of the SDS server (`--agent-only`).
    pub sds_socket: PathBuf,
}

impl Files {
    /// Istio's places below `root`.
    pub fn below(root: &Path) -> Self {
        Files {
            token: root.join("var/run/secrets/tokens/istio-token"),
            root_cert: root.join("var/run/secrets/istio/root-cert.pem"),
            labels: root.join("etc/istio/pod/labels"),
            annotations: root.join("etc/istio/pod/annotations"),
            resolv_conf: root.join("etc/resolv.conf"),
            mounted_certs: root.join("var/run/secrets/workload-spiffe-credentials"),
            sds_socket: root.join("var/run/secrets/workload-spiffe-uds/socket"),
        }
    }
}

/// Everything an agent is told.
#[derive(Debug, Clone)]
pub struct Agent {
    pub node: Node,
    /// `discoveryAddress`
    pub discovery: String,
    /// `CA_ADDR`, else the discovery address; `None`: no identity (plain control plane on 15010).
    pub ca: Option<String>,
    /// `ISTIOD_SAN`: the name in the control plane's certificate, instead of the one that is dialled.
    pub control_plane: Option<String>,
    pub files: Files,
    pub trust_domain: String,
    /// `SECRET_TTL`, default 24 h.
    pub certificate_ttl: Duration,
    /// `SECRET_GRACE_PERIOD_RATIO`, default 0.5, and its jitter, default 0.01.
    pub renew_ratio: f64,
    pub renew_jitter: f64,
    pub ports: Ports,
    /// `ISTIO_PROMETHEUS_ANNOTATIONS`: where the application's own metrics are. Empty for gateways.
    pub scrapes: Vec<Scrape>,
    /// `ISTIO_KUBE_APP_PROBERS`, by path.
    pub probes: BTreeMap<String, AppProbe>,
    /// Where probes find the application: the pod's address; `None` is loopback
    /// (`REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION`).
    pub probed_at: Option<IpAddr>,
    /// Interception redirects our own traffic unless it carries a mark, or is our user's (`REDIRECT`).
    pub marks: bool,
    /// `DNS_FORWARD_TIMEOUT`, default 5 s.
    pub dns_timeout: Duration,
    /// `terminationDrainDuration`, default 5 s.
    pub drain: Duration,
    pub exit_on_zero: Option<Duration>,
    /// `OUTPUT_CERTS`: a folder where the certificate is laid down for others.
    pub output_certificates: Option<PathBuf>,
    /// Variables that are set and have no effect here.
    pub unhonoured: Vec<String>,
    /// `ProxyConfig.concurrency`, else `ISTIO_CPU_LIMIT`; 0 and absent: one worker per core.
    pub concurrency: Option<usize>,
    /// `ProxyConfig.runtimeValues`, as far as they are about limits.
    pub limits: Limits,
    pub only: bool,
}

impl Agent {
    /// Reads everything; mistakes are gathered in `env`.
    pub fn read(role: &str, only: bool, flags: &Flags, env: &mut Environment, root: &Path) -> Self {
        let files = files(env, root);
        let config = proxy_config(env);
        let node = node(role, flags, env, &files, &config);
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let discovery = text("discoveryAddress").unwrap_or_else(|| "istiod.istio-system.svc:15012".into());
        let ca = env.text("CA_ADDR").or_else(|| (!discovery.ends_with(":15010")).then(|| discovery.clone()));
        let duration = |key: &str, default: u64| {
            text(key).and_then(|text| parse_duration(&text).ok()).unwrap_or(Duration::from_secs(default))
        };
        let minimum = env.duration("MINIMUM_DRAIN_DURATION", Duration::from_secs(5));
        let exit_on_zero = env.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", false).then_some(minimum);
        let ports = ports(env, &config, node.metadata.dns_capture);
        let scrapes = app_of(env, "ISTIO_PROMETHEUS_ANNOTATIONS", |json| app::scrapes(json, ports.status));
        let probes = app_of(env, "ISTIO_KUBE_APP_PROBERS", app::probes);
        let legacy = env.flag("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", false);
        let limit = env.get("ISTIO_CPU_LIMIT", 0u64);
        let workers = config.get("concurrency").and_then(Value::as_u64).or((limit > 0).then_some(limit));
        let mut unhonoured = unhonoured(env);
        let limits = limits(env, &config, &mut unhonoured);
        Agent {
            discovery,
            ca,
            control_plane: env.text("ISTIOD_SAN"),
            trust_domain: env.get("TRUST_DOMAIN", "cluster.local".to_owned()),
            certificate_ttl: env.duration("SECRET_TTL", Duration::from_secs(24 * 3600)),
            renew_ratio: env.get("SECRET_GRACE_PERIOD_RATIO", 0.5),
            renew_jitter: env.get("SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01),
            ports,
            scrapes: if role == "router" { Vec::new() } else { scrapes },
            probes,
            probed_at: node.id.ip.parse().ok().filter(|_| !legacy),
            output_certificates: env.text("OUTPUT_CERTS").map(PathBuf::from),
            unhonoured,
            limits,
            // In mode TPROXY marks mean something else: packets that stay on this host.
            marks: node.metadata.interception_mode == "REDIRECT",
            dns_timeout: env.duration("DNS_FORWARD_TIMEOUT", Duration::from_secs(5)),
            drain: duration("terminationDrainDuration", 5),
            exit_on_zero,
            concurrency: workers.and_then(|n| usize::try_from(n).ok()),
            files,
            node,
            only,
        }
    }
}

fn files(env: &mut Environment, root: &Path) -> Files {
    let mut files = Files::below(root);
    for variable in ["CA_ROOT_CA", "XDS_ROOT_CA"] {
        if let Some(path) = env.text(variable).filter(|path| path != "SYSTEM") {
            files.root_cert = path.into();
        }
    }
    if let Some(path) = env.text("ISTIO_TOKEN_PATH") {
        files.token = path.into();
    }
    if let Some(path) = env.text("WORKLOAD_IDENTITY_SOCKET_FILE") {
        files.sds_socket = root.join("var/run/secrets/workload-spiffe-uds").join(path);
    }
    files
}

fn json_of(env: &mut Environment, name: &str) -> Option<Value> {
    let text = env.text(name)?;
    match serde_json::from_str(&text) {
        Ok(value) => Some(value),
        Err(error) => {
            env.mistake(name, &text, format!("no JSON: {error}"));
            None
        }
    }
}

/// What an injector says of the application.
fn app_of<T: Default>(
    env: &mut Environment,
    name: &str,
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> T {
    let Some(json) = json_of(env, name) else { return T::default() };
    read(&json).unwrap_or_else(|error| {
        env.mistake(name, &json.to_string(), error);
        T::default()
    })
}

/// Variables of Istio's agent without meaning here, with the values that ask for nothing.
const UNHONOURED: &[(&str, &[&str])] = &[
    ("CA_PROVIDER", &["Citadel"]),
    ("CREDENTIAL_FETCHER_TYPE", &["JWT"]),
    ("DISABLE_ENVOY", &["false"]),
    ("DNS_FORWARD_PARALLEL", &["false"]),
    ("ECC_CURVE", &["P256"]),
    ("ECC_SIGNATURE_ALGORITHM", &["ECDSA"]),
    ("ENVOY_SECURE_MERGED_METRICS_PORT", &["0"]),
    ("ENVOY_SECURE_METRICS_PORT", &["0"]),
    ("FILE_MOUNTED_CERTS", &["false"]),
    ("ISTIO_BOOTSTRAP", &[]),
    ("ISTIO_BOOTSTRAP_OVERRIDE", &[]),
    ("ISTIO_ENVOY_ENABLE_CORE_DUMP", &["false"]),
    ("ISTIO_META_CERT_SIGNER", &[]),
    ("JWT_POLICY", &["third-party-jwt"]),
    ("METRICS_LOCALHOST_ACCESS_ONLY", &["false"]),
    ("PEER_METADATA_DISCOVERY", &["false"]),
    ("PKCS8_KEY", &["false"]),
    ("PROV_CERT", &[]),
    ("PROXY_CONFIG_XDS_AGENT", &["false"]),
    ("TOKEN_AUDIENCES", &["istio-ca"]),
    ("XDS_AUTH_PLAINTEXT", &["false"]),
    ("XDS_AUTH_PROVIDER", &[]),
];

fn unhonoured(env: &mut Environment) -> Vec<String> {
    let asked = |(name, idle): &(&str, &[&str])| {
        let value = env.text(name)?;
        (!idle.iter().any(|one| one.eq_ignore_ascii_case(&value))).then(|| format!("{name}={value}"))
    };
    UNHONOURED.iter().filter_map(asked).collect()
}

/// `PROXY_CONFIG` is JSON or YAML of Istio's ProxyConfig.
fn proxy_config(env: &mut Environment) -> Map<String, Value> {
    let Some(text) = env.text("PROXY_CONFIG") else { return Map::new() };
    match serde_saphyr::from_str::<Value>(&text) {
        Ok(Value::Object(config)) => config,
        Ok(Value::Null) => Map::new(),
        Ok(_) => {
            env.mistake("PROXY_CONFIG", &text, "expected a mapping".into());
            Map::new()
        }
        Err(error) => {
            env.mistake("PROXY_CONFIG", &text, error.to_string());
            Map::new()
        }
    }
}

/// `runtimeValues`: those about limits; the others are told.
fn limits(env: &mut Environment, config: &Map<String, Value>, told: &mut Vec<String>) -> Limits {
    let (mut limits, mut runtime) = (Limits::default(), Runtime::default());
    for (key, value) in config.get("runtimeValues").and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Err(error) = runtime.set(key, &text, &mut limits) {
            env.mistake("PROXY_CONFIG", &text, format!("runtimeValues: {error}"));
        }
    }
    told.extend(runtime.ignored);
    limits
}

fn ports(env: &mut Environment, config: &Map<String, Value>, dns: bool) -> Ports {
    let port = |key: &str, default: u16| {
        config.get(key).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).unwrap_or(default)
    };
    let given = env.get("DNS_PROXY_ADDR", "localhost:15053".to_owned());
    let hosts: &[&str] =
        if given.starts_with("localhost:") { &["127.0.0.1", "[::1]"] } else { &["localhost"] };
    let addresses = hosts.iter().map(|host| given.replacen("localhost", host, 1).parse());
    let addresses = addresses.collect::<Result<Vec<SocketAddr>, _>>().unwrap_or_else(|error| {
        env.mistake("DNS_PROXY_ADDR", &given, format!("no address and port: {error}"));
        Vec::new()
    });
    Ports {
        admin: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port("proxyAdminPort", 15000)),
        status: port("statusPort", 15020),
        ready: env.get("ENVOY_STATUS_PORT", 15021),
        prometheus: env.get("ENVOY_PROMETHEUS_PORT", 15090),
        dns: if dns { addresses } else { Vec::new() },
    }
}

fn node(
    role: &str,
    flags: &Flags,
    env: &mut Environment,
    files: &Files,
    config: &Map<String, Value>,
) -> Node {
    let mut meta: Map<String, Value> =
        env.with_prefix("ISTIO_META_").into_iter().map(|(key, value)| (key, typed(value))).collect();
    // Extra labels by environment, as Istio's agent takes them: a JSON object.
    let mut labels = downward(&files.labels);
    for source in ["ISTIO_METAJSON_LABELS", "LABELS"] {
        if let Some(Value::Object(more)) = json_of(env, source) {
            labels.extend(more.into_iter().filter_map(|(k, v)| Some((k, v.as_str()?.to_owned()))));
        }
    }
    let annotations = downward(&files.annotations);
    let objects =
        |map: BTreeMap<String, String>| Value::Object(map.into_iter().map(|(k, v)| (k, v.into())).collect());
    meta.entry("LABELS").or_insert_with(|| objects(labels));
    meta.entry("ANNOTATIONS").or_insert_with(|| objects(annotations));
    let mut text = |variable: &str| env.text(variable).unwrap_or_default();
    let (name, namespace) = (text("POD_NAME"), text("POD_NAMESPACE"));
    let ip = text("INSTANCE_IP").split(',').next().unwrap_or_default().to_owned();
    let ips = Some(text("INSTANCE_IPS")).filter(|ips| !ips.is_empty()).unwrap_or_else(|| addresses(&ip));
    for (key, value) in [
        ("NAME", name.clone()),
        ("NAMESPACE", namespace.clone()),
        ("INSTANCE_IPS", ips),
        ("SERVICE_ACCOUNT", text("SERVICE_ACCOUNT")),
        ("CLUSTER_ID", "Kubernetes".into()),
        ("ISTIO_VERSION", super::VERSION.into()),
        ("MESH_ID", text("TRUST_DOMAIN")),
    ] {
        if !value.is_empty() {
            meta.entry(key).or_insert_with(|| value.into());
        }
    }
    if !config.is_empty() {
        meta.insert("PROXY_CONFIG".into(), Value::Object(config.clone()));
    }
    let role = if role == "router" { wire::node::Role::Router } else { wire::node::Role::Sidecar };
    let given = flags.get("domain").unwrap_or_default().replace("$(POD_NAMESPACE)", &namespace);
    let domain = if given.is_empty() { format!("{namespace}.svc.cluster.local") } else { given };
    let ip = if ip.is_empty() { "127.0.0.1".into() } else { ip };
    let mut node = Node::new(NodeId { role, ip, name, namespace: namespace.clone(), domain });
    node.metadata = Metadata::from_json(meta);
    let canonical = node.metadata.canonical_name().to_owned();
    node.cluster = match flags.get("serviceCluster") {
        Some(cluster) => cluster.to_owned(),
        None if canonical.is_empty() => format!("istio-proxy.{namespace}"),
        None => format!("{canonical}.{namespace}"),
    };
    introduce(&mut node);
    node
}

/// The pod's address, and the one of the other family if it has one: the injector tells the first only.
fn addresses(ip: &str) -> String {
    let Ok(first) = ip.parse::<IpAddr>() else { return ip.to_owned() };
    // An address of documentation: the kernel says from where it would be reached. Nothing is sent.
    let (any, far) =
        if first.is_ipv4() { ("[::]:0", "[2001:db8::1]:53") } else { ("0.0.0.0:0", "192.0.2.1:53") };
    let other = std::net::UdpSocket::bind(any)
        .and_then(|socket| socket.connect(far).and_then(|()| socket.local_addr()))
        .map(|address| address.ip());
    let near = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.segments()[..6] == [0; 6],
    };
    match other {
        Ok(other) if !near(&other) && !first.is_loopback() => format!("{ip},{other}"),
        _ => ip.to_owned(),
    }
}

/// What our proxy says about its abilities.
pub(crate) fn introduce(node: &mut Node) {
    node.user_agent = "mesh-proxy".into();
    node.user_agent_version = super::VERSION.into();
    node.extensions =
        ["istio.stats", "istio.metadata_exchange", "istio.alpn", "mesh.h2"].map(str::to_owned).to_vec();
}

/// Values that are JSON containers travel as such.
fn typed(value: String) -> Value {
    if value.starts_with('{')
        && let Ok(json @ Value::Object(_)) = serde_json::from_str(&value)
    {
        return json;
    }
    Value::String(value)
}

/// A file of the downward API: `key="value"` per line.
fn downward(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.trim_matches('"').to_owned());
        Some((key.trim().to_owned(), value))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(pairs: &[(&str, &str)], line: &str) -> (Agent, Environment) {
        let mut env = Environment::from_pairs(pairs.iter().map(|(k, v)| (*k, *v)));
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let flags = super::super::parse(&words).unwrap();
        let agent = Agent::read("sidecar", false, &flags, &mut env, Path::new("/nonexistent"));
        (agent, env)
    }

    #[test]
    fn a_sidecar_of_an_injector() {
        let (agent, mut env) = agent(
            &[
                ("POD_NAME", "reviews-v1-abc"),
                ("POD_NAMESPACE", "default"),
                ("INSTANCE_IP", "10.244.0.7"),
                ("SERVICE_ACCOUNT", "bookinfo-reviews"),
                ("ISTIO_META_WORKLOAD_NAME", "reviews-v1"),
                ("ISTIO_META_DNS_CAPTURE", "true"),
                ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"),
                ("ISTIO_META_CUSTOM", "x"),
                ("ISTIO_METAJSON_LABELS", "{\"app\":\"reviews\",\"version\":\"v1\"}"),
                (
                    "PROXY_CONFIG",
                    "{\"discoveryAddress\":\"pilot:15012\",\"terminationDrainDuration\":\"7s\"}",
                ),
                ("CA_ADDR", "ca:15012"),
                ("TRUST_DOMAIN", "td"),
            ],
            "proxy sidecar --domain $(POD_NAMESPACE).svc.cluster.local",
        );
        env.finish().unwrap();
        assert_eq!(
            agent.node.id.to_string(),
            "sidecar~10.244.0.7~reviews-v1-abc.default~default.svc.cluster.local"
        );
        assert_eq!(agent.node.cluster, "reviews.default");
        assert_eq!(agent.node.metadata.workload_name, "reviews-v1");
        assert_eq!(agent.node.metadata.mesh_id, "td");
        assert_eq!(agent.node.metadata.rest["CUSTOM"], "x");
        assert!(agent.node.has_extension("mesh.h2"));
        assert_eq!((agent.discovery.as_str(), agent.ca.as_deref()), ("pilot:15012", Some("ca:15012")));
        assert_eq!(agent.drain, Duration::from_secs(7));
        assert!(agent.marks);
        assert_eq!(agent.ports.dns, ["127.0.0.1:15053".parse().unwrap(), "[::1]:15053".parse().unwrap()]);
        assert_eq!((agent.ports.status, agent.ports.ready, agent.ports.prometheus), (15020, 15021, 15090));
    }

    #[test]
    fn mistakes_are_named() {
        let (_, mut env) = agent(&[("PROXY_CONFIG", "[1]"), ("ISTIO_KUBE_APP_PROBERS", "{")], "sidecar");
        let told = env.finish().unwrap_err().to_string();
        assert!(told.contains("PROXY_CONFIG") && told.contains("ISTIO_KUBE_APP_PROBERS"), "{told}");
    }

    #[test]
    fn the_downward_api() {
        let folder = std::env::temp_dir().join(format!("labels-{}", std::process::id()));
        std::fs::write(&folder, "app=\"a\\\"b\"\nversion=\"v1\"\n").unwrap();
        let labels = downward(&folder);
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(labels["app"], "a\"b");
        assert_eq!(labels["version"], "v1");
    }
}
