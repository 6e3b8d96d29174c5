//! Objects as files: the cluster's own, the mesh's, and of Secrets nothing but names.
//!
//! In: lists of objects. Out: name and text of each file below `cluster/`. Values of Secrets, of variables that look like
//! secrets, and what `kubectl apply` has copied into annotations are left out. Pure but for the lists.

use anyhow::Result;
use api::Kind;
use api::kind::Family;
use serde_json::{Map, Value, json};

use crate::client::{Mesh, What};

/// Words in names of variables whose values nobody else should see.
const HUSHED: [&str; 6] = ["password", "passwd", "secret", "token", "credential", "apikey"];
const REDACTED: &str = "[redacted]";
/// Holds a copy of the whole object, secrets included.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

const EVENTS: What = What::Other("", "v1", "events", "Event");
const OTHERS: [What; 4] = [
    What::MUTATING,
    What::VALIDATING,
    What::Other("coordination.k8s.io", "v1", "leases", "Lease"),
    What::Other("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
];

/// File name below `cluster/` and text; or what could not be read.
pub(super) type Files = Vec<(String, Result<String>)>;

/// Every file.
pub(super) async fn files(mesh: &Mesh) -> Files {
    let listed = |kind: &Kind| !matches!(kind, Kind::Secret | Kind::ConfigMap | Kind::Node);
    let core = Kind::ALL.iter().filter(|kind| kind.row().family == Family::Core && listed(kind));
    let mesh_kinds = Kind::ALL.iter().filter(|kind| kind.row().family != Family::Core);
    let core: Vec<What> = core.map(|kind| What::Kind(*kind)).chain(OTHERS).collect();
    let mesh_kinds: Vec<What> = mesh_kinds.map(|kind| What::Kind(*kind)).collect();
    let mut files = Files::new();
    let mut many = async |file: &str, whats: &[What], namespace: Option<&str>| {
        let mut objects = Vec::new();
        for (list, what) in mesh.lists_of(whats, namespace).await.into_iter().zip(whats) {
            match list {
                Ok(list) => objects.extend(list),
                Err(error) => files.push((format!("{file} ({})", what.plural()), Err(error))),
            }
        }
        let text = yaml(objects.iter().map(shown));
        files.push((file.to_owned(), text));
    };
    many("k8s-resources", &core, None).await;
    many("crs", &mesh_kinds, None).await;
    many("nodes", &[What::Kind(Kind::Node)], None).await;
    many("configmaps", &[What::Kind(Kind::ConfigMap)], Some(mesh.system())).await;
    let mut each = async |file: &str, what: What, tell: fn(&[Value]) -> String| {
        let list = mesh.lists_of(&[what], None).await.pop().unwrap_or_else(|| Ok(Vec::new()));
        files.push((file.to_owned(), list.map(|list| tell(&list))));
    };
    each("events", EVENTS, events).await;
    each("secrets", What::Kind(Kind::Secret), secrets).await;
    each("describe-pods", What::Kind(Kind::Pod), pods).await;
    files
}

fn yaml(objects: impl Iterator<Item = Value>) -> Result<String> {
    let mut out = String::new();
    for object in objects {
        out.push_str("---\n");
        out.push_str(&serde_saphyr::to_string(&object)?);
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    Ok(out)
}

/// An object without what nobody else should see, and without what says nothing.
fn shown(object: &Value) -> Value {
    let mut object = object.clone();
    hush(&mut object);
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.shift_remove("managedFields");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(APPLIED);
        }
    }
    object
}

/// Replaces values of variables and of headers whose names speak of secrets.
fn hush(value: &mut Value) {
    let secret = |name: &str| {
        let name = name.to_lowercase().replace(['-', '_'], "");
        HUSHED.iter().any(|word| name.contains(word))
    };
    match value {
        Value::Object(map) => {
            let named = map.get("name").and_then(Value::as_str).is_some_and(secret);
            if named && let Some(value @ Value::String(_)) = map.get_mut("value") {
                *value = REDACTED.into();
            }
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if secret(key) && !text.is_empty() && !key.ends_with("Name") => {
                        *value = REDACTED.into();
                    }
                    value => hush(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hush),
        _ => {}
    }
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().fold(value, |value, key| &value[*key]).as_str().unwrap_or_default()
}

/// Oldest first: time, type, reason, object, message.
fn events(list: &[Value]) -> String {
    let time = |event: &Value| {
        let times = [
            text(event, &["lastTimestamp"]),
            text(event, &["eventTime"]),
            text(event, &["metadata", "creationTimestamp"]),
        ];
        times.into_iter().find(|time| !time.is_empty()).unwrap_or_default().to_owned()
    };
    let mut lines: Vec<String> = list
        .iter()
        .map(|event| {
            let about = &event["involvedObject"];
            format!(
                "{} {} {} {} {}/{}: {}",
                time(event),
                text(event, &["type"]),
                text(event, &["reason"]),
                text(about, &["kind"]),
                text(about, &["namespace"]),
                text(about, &["name"]),
                text(event, &["message"])
            )
        })
        .collect();
    lines.sort();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Names, types and keys; never values.
fn secrets(list: &[Value]) -> String {
    let entry = |secret: &Value| {
        let keys: Vec<&String> =
            secret["data"].as_object().into_iter().flatten().map(|(key, _)| key).collect();
        json!({
            "namespace": text(secret, &["metadata", "namespace"]),
            "name": text(secret, &["metadata", "name"]),
            "type": text(secret, &["type"]),
            "created": text(secret, &["metadata", "creationTimestamp"]),
            "keys": keys,
        })
    };
    list.iter().map(|secret| format!("{}\n", entry(secret))).collect()
}

/// How pods and their containers stand.
fn pods(list: &[Value]) -> String {
    let mut out = String::new();
    for pod in list {
        let place = format!("{}/{}", text(pod, &["metadata", "namespace"]), text(pod, &["metadata", "name"]));
        out.push_str(&format!(
            "{place}: {} on {} ({}), since {}\n",
            text(pod, &["status", "phase"]),
            text(pod, &["spec", "nodeName"]),
            text(pod, &["status", "podIP"]),
            text(pod, &["metadata", "creationTimestamp"])
        ));
        for condition in pod["status"]["conditions"].as_array().into_iter().flatten() {
            if condition["status"] != "True" {
                out.push_str(&format!(
                    "   not {}: {} {}\n",
                    text(condition, &["type"]),
                    text(condition, &["reason"]),
                    text(condition, &["message"])
                ));
            }
        }
        for list in ["initContainerStatuses", "containerStatuses"] {
            for state in pod["status"][list].as_array().into_iter().flatten() {
                let now: Map<String, Value> = state["state"].as_object().cloned().unwrap_or_default();
                out.push_str(&format!(
                    "   {}: ready {}, {} restarts, {}, image {}\n",
                    text(state, &["name"]),
                    state["ready"],
                    state["restartCount"],
                    Value::Object(now),
                    text(state, &["imageID"])
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let object = json!({"metadata": {"name": "a", "managedFields": [], "annotations": {APPLIED: "{password: x}", "b": "c"}},
            "spec": {"env": [{"name": "DB_PASSWORD", "value": "hush"}, {"name": "PORT", "value": "80"},
                {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "apiKey": "hush", "secretName": "kept", "credentialName": "kept"}});
        let text = yaml([shown(&object)].into_iter()).unwrap();
        assert!(
            !text.contains("hush") && !text.contains("password: x") && !text.contains("managedFields"),
            "{text}"
        );
        assert!(
            text.contains("80")
                && text.contains("kept")
                && text.contains("secretKeyRef")
                && text.contains("b: c"),
            "{text}"
        );
        let secret = json!({"metadata": {"name": "s", "namespace": "n"}, "type": "Opaque", "data": {"key.pem": "aHVzaA=="}});
        let line = secrets(&[secret]);
        assert!(line.contains("key.pem") && !line.contains("aHVzaA"), "{line}");
    }

    #[test]
    fn events_are_in_order() {
        let event = |time: &str| json!({"lastTimestamp": time, "type": "Warning", "reason": "R", "message": "m", "involvedObject": {"kind": "Pod", "namespace": "n", "name": "p"}});
        let text = events(&[event("2026-01-02T00:00:00Z"), event("2026-01-01T00:00:00Z")]);
        assert!(text.starts_with("2026-01-01T00:00:00Z Warning R Pod n/p: m\n"), "{text}");
    }
}
