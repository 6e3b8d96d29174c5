//! What templates see, in the form that Go's types have: `.ObjectMeta.Labels`, `.Spec.Containers`, `.ProxyConfig.StatusPort`.
//!
//! In: a pod, its owner, the settings. Out: the dot. Structs have fields in Go's spelling and carry their JSON form under
//! an empty name, so that `toYaml` and `structToJSON` give what the user wrote. Fields that Go's types always have and that
//! templates compare are there even when nothing was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;
use serde_json::{Map, Value as Json, json};

use super::owner::Owner;
use crate::template::{from_json, text};

/// Fields whose keys are the user's own.
const FREE: &[&str] = &[
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "limits",
    "requests",
    "overhead",
    "proxyMetadata",
    "runtimeValues",
    "customTags",
    "volumeAttributes",
    "options",
];

/// Go's spelling where it is not the JSON name with a capital letter.
const SPELLED: &[(&str, &str)] = &[
    ("apiVersion", "APIVersion"),
    ("uid", "UID"),
    ("ip", "IP"),
    ("tty", "TTY"),
    ("csi", "CSI"),
    ("nfs", "NFS"),
    ("rbd", "RBD"),
    ("iscsi", "ISCSI"),
    ("grpc", "GRPC"),
    ("httpGet", "HTTPGet"),
    ("tcpSocket", "TCPSocket"),
    ("httpHeaders", "HTTPHeaders"),
    ("dnsPolicy", "DNSPolicy"),
    ("dnsConfig", "DNSConfig"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("setHostnameAsFQDN", "SetHostnameAsFQDN"),
];

/// Everything beside the pod.
pub(super) struct About<'a> {
    pub(super) owner: &'a Owner,
    pub(super) proxy_config: &'a Map<String, Json>,
    pub(super) mesh: Json,
    pub(super) values: &'a Json,
    pub(super) revision: &'a str,
    pub(super) native_sidecars: bool,
    pub(super) image: String,
}

/// The dot.
pub(super) fn dot(pod: &Json, about: &About<'_>) -> Value {
    let empty = json!({});
    let with = |usual: Json, written: &Json| {
        let mut whole = usual;
        if let (Json::Object(whole), Json::Object(written)) = (&mut whole, written) {
            whole.extend(written.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        whole
    };
    let meta = json!({"name": "", "generateName": "", "namespace": about.owner.namespace, "labels": {}, "annotations": {}});
    let spec = json!({
        "serviceAccountName": "", "nodeName": "", "hostname": "", "subdomain": "", "schedulerName": "",
        "priorityClassName": "", "restartPolicy": "", "dnsPolicy": "", "hostNetwork": false, "hostPID": false,
        "hostIPC": false, "nodeSelector": {}, "containers": [], "initContainers": [], "volumes": [],
        "imagePullSecrets": [], "tolerations": [],
    });
    let proxy = json!({"proxyMetadata": {}, "interceptionMode": "REDIRECT", "discoveryAddress": ""});
    let localhost = about.mesh.pointer("/inboundTrafficPolicy/mode") == Some(&json!("LOCALHOST"));
    let owner = about.owner;
    let fields = [
        ("TypeMeta", go(&json!({"apiVersion": owner.api_version, "kind": owner.kind}))),
        ("DeploymentMeta", go(&json!({"name": owner.name, "namespace": owner.namespace}))),
        ("ObjectMeta", go(&with(meta, pod.get("metadata").unwrap_or(&empty)))),
        ("Spec", go(&with(spec, pod.get("spec").unwrap_or(&empty)))),
        ("ProxyConfig", go(&with(proxy, &Json::Object(about.proxy_config.clone())))),
        ("MeshConfig", go(&about.mesh)),
        ("Values", plain(about.values)),
        ("Revision", text(about.revision)),
        ("NativeSidecars", Value::Bool(about.native_sidecars)),
        ("ProxyImage", text(about.image.as_str())),
        ("ProxyUID", Value::Int(1337)),
        ("ProxyGID", Value::Int(1337)),
        ("InboundTrafficPolicyMode", text(if localhost { "localhost" } else { "passthrough" })),
        ("CompliancePolicy", text("")),
    ];
    Value::Map(Arc::new(fields.into_iter().map(|(name, value)| (Arc::from(name), value)).collect()))
}

fn plain(value: &Json) -> Value {
    from_json(value).unwrap_or(Value::Nil)
}

/// A value of one of Go's types.
fn go(value: &Json) -> Value {
    match value {
        Json::Object(map) => {
            let mut fields: BTreeMap<Arc<str>, Value> = BTreeMap::new();
            for (key, value) in map {
                let value = if FREE.contains(&key.as_str()) { plain(value) } else { go(value) };
                fields.insert(spelled(key).into(), value);
            }
            fields.insert(Arc::from(crate::template::AS_JSON), plain(value));
            Value::Map(Arc::new(fields))
        }
        Json::Array(items) => Value::List(items.iter().map(go).collect()),
        other => plain(other),
    }
}

fn spelled(key: &str) -> String {
    if let Some((_, go)) = SPELLED.iter().find(|(json, _)| *json == key) {
        return (*go).to_owned();
    }
    let mut letters = key.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
