//! Objects as tables: the columns of each kind, as kubectl and Istio's own definitions print them.
//!
//! In: objects as JSON. Out: one table per kind. Kinds without columns of their own show name and age.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Table, jsonpath};

/// What to show.
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'a> {
    /// More columns.
    pub wide: bool,
    /// A column for the namespace.
    pub namespaces: bool,
    /// The line of column names.
    pub headers: bool,
    /// A column of labels.
    pub labels: bool,
    /// A column for each of these labels.
    pub columns: &'a [String],
}

/// All objects, one table per kind, a blank line between tables.
#[must_use]
pub fn tables(objects: &[Value], view: View<'_>) -> String {
    let mut groups: Vec<(String, Vec<&Value>)> = Vec::new();
    for object in objects {
        let kind = kind(object);
        match groups.last_mut() {
            Some((last, members)) if *last == kind => members.push(object),
            _ => groups.push((kind, vec![object])),
        }
    }
    let several = groups.len() > 1;
    let tables: Vec<String> = groups.iter().map(|(_, members)| one_table(members, view, several)).collect();
    tables.join("\n")
}

fn kind(object: &Value) -> String {
    object["kind"].as_str().unwrap_or_default().to_owned()
}

/// `virtualservice.networking.istio.io/reviews`.
#[must_use]
pub fn reference(object: &Value) -> String {
    let kind = kind(object).to_lowercase();
    let group = object["apiVersion"].as_str().and_then(|api| api.split_once('/')).map(|(group, _)| group);
    let kind = group.map_or(kind.clone(), |group| format!("{kind}.{group}"));
    format!("{kind}/{}", text(object, "/metadata/name"))
}

fn text(object: &Value, path: &str) -> String {
    match object.pointer(path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

fn list(object: &Value, path: &str) -> Vec<Value> {
    object.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn age(object: &Value) -> String {
    let made = text(object, "/metadata/creationTimestamp");
    match made.parse::<jiff::Timestamp>() {
        Ok(made) => short_age((jiff::Timestamp::now() - made).get_seconds()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A table of paths, as `-o custom-columns=NAME:.metadata.name,...` asks for; a path may stand in braces.
///
/// # Errors
/// A column is not `TITLE:PATH`, or a path is not understood.
pub fn custom(objects: &[Value], columns: &str, headers: bool) -> Result<String> {
    let mut pairs = Vec::new();
    for column in columns.split(',').filter(|column| !column.is_empty()) {
        let (title, path) = column.split_once(':').with_context(|| {
            format!("custom-columns: {column:?} is not TITLE:PATH, such as NAME:.metadata.name")
        })?;
        let path = path.trim_matches(['{', '}']);
        let dot = if path.starts_with(['.', '[']) { "" } else { "." };
        pairs.push((title, format!("{dot}{path}")));
    }
    let titles: Vec<&str> = pairs.iter().map(|(title, _)| *title).collect();
    let mut table = Table::narrow(if headers { &titles } else { &[] });
    for object in objects {
        let mut row = Vec::new();
        for (_, path) in &pairs {
            let found = jsonpath::select(path, object)?;
            row.push(or_none(found.into_iter().map(jsonpath::word).collect::<Vec<_>>().join(",")));
        }
        table.row(row);
    }
    Ok(table.to_string())
}

/// How long ago, in kubectl's short form: `5s`, `3m20s`, `2h`, `4d`.
fn short_age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => match (seconds / 60, seconds % 60) {
            (minutes, 0) => format!("{minutes}m"),
            (minutes, rest) => format!("{minutes}m{rest}s"),
        },
        600..10_800 => format!("{}m", seconds / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn one_table(members: &[&Value], view: View<'_>, prefixed: bool) -> String {
    let kind = members.first().map(|object| kind(object)).unwrap_or_default();
    let columns: Vec<String> =
        view.columns.iter().map(|key| key.rsplit('/').next().unwrap_or_default().to_uppercase()).collect();
    let mut header = vec!["NAME"];
    header.extend(own_header(&kind));
    header.push("AGE");
    if view.wide {
        header.extend(wide_header(&kind));
    }
    header.extend(columns.iter().map(String::as_str));
    if view.labels {
        header.push("LABELS");
    }
    if view.namespaces {
        header.insert(0, "NAMESPACE");
    }
    let row = |object: &&Value| {
        let name = if prefixed { reference(object) } else { text(object, "/metadata/name") };
        let mut row = vec![name];
        row.extend(own_columns(&kind, object));
        row.push(age(object));
        if view.wide {
            row.extend(wide_columns(&kind, object));
        }
        row.extend(
            view.columns.iter().map(|key| {
                object["metadata"]["labels"][key.as_str()].as_str().unwrap_or_default().to_owned()
            }),
        );
        if view.labels {
            let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
            let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            row.push(or_none(labels.collect::<Vec<_>>().join(",")));
        }
        if view.namespaces {
            row.insert(0, text(object, "/metadata/namespace"));
        }
        row
    };
    let mut table = Table::narrow(if view.headers { &header } else { &[] });
    members.iter().map(row).for_each(|row| table.row(row));
    table.to_string()
}

fn own_header(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["READY", "STATUS", "RESTARTS"],
        "Service" => &["TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)"],
        "Deployment" => &["READY", "UP-TO-DATE", "AVAILABLE"],
        "StatefulSet" => &["READY"],
        "DaemonSet" => &["DESIRED", "CURRENT", "READY"],
        "Job" => &["COMPLETIONS"],
        "VirtualService" => &["GATEWAYS", "HOSTS"],
        "DestinationRule" => &["HOST"],
        "ServiceEntry" => &["HOSTS", "LOCATION", "RESOLUTION"],
        "PeerAuthentication" => &["MODE"],
        "AuthorizationPolicy" => &["ACTION"],
        "ConfigMap" => &["DATA"],
        "Secret" => &["TYPE", "DATA"],
        "Namespace" => &["STATUS"],
        "EndpointSlice" => &["ADDRESSTYPE", "PORTS", "ENDPOINTS"],
        "Endpoints" => &["ENDPOINTS"],
        "Node" => &["STATUS", "ROLES"],
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => &["HOSTNAMES"],
        _ => &[],
    }
}

fn own_columns(kind: &str, object: &Value) -> Vec<String> {
    let words = |path: &str| {
        let list = list(object, path);
        if list.is_empty() { String::new() } else { Value::Array(list).to_string() }
    };
    match kind {
        "Pod" => {
            let containers = list(object, "/status/containerStatuses");
            let ready = containers.iter().filter(|container| container["ready"] == true).count();
            let restarts: i64 = containers.iter().map(|container| number(container, "/restartCount")).sum();
            vec![
                format!("{ready}/{}", containers.len()),
                text(object, "/status/reason"),
                restarts.to_string(),
            ]
        }
        "Service" => service_columns(object),
        "Deployment" => {
            let ready = number(object, "/status/readyReplicas");
            let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
            let now = number(object, "/status/updatedReplicas");
            vec![format!("{ready}/{wanted}"), now.to_string(), ready.to_string()]
        }
        "StatefulSet" => {
            let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
            vec![format!("{}/{wanted}", number(object, "/status/readyReplicas"))]
        }
        "DaemonSet" => {
            let (now, ready) = (number(object, "/status/replicas"), number(object, "/status/readyReplicas"));
            vec!["1".to_owned(), now.to_string(), ready.to_string()]
        }
        "Job" => {
            let wanted = object.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
            vec![format!("{}/{wanted}", number(object, "/status/succeeded"))]
        }
        "VirtualService" => vec![words("/spec/gateways"), words("/spec/hosts")],
        "DestinationRule" => vec![text(object, "/spec/host")],
        "ServiceEntry" => {
            vec![words("/spec/hosts"), text(object, "/spec/location"), text(object, "/spec/resolution")]
        }
        "PeerAuthentication" => vec![text(object, "/spec/mtls/mode")],
        "AuthorizationPolicy" => vec![text(object, "/spec/action")],
        "ConfigMap" => vec![object["data"].as_object().map_or(0, serde_json::Map::len).to_string()],
        "Secret" => {
            let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
            vec![text(object, "/type"), (count("data") + count("stringData")).to_string()]
        }
        "Namespace" => vec![text(object, "/status/phase")],
        "EndpointSlice" => {
            let ports = list(object, "/ports").iter().map(|port| text(port, "/port")).collect::<Vec<_>>();
            let endpoints =
                list(object, "/endpoints").iter().map(|e| text(e, "/addresses/0")).collect::<Vec<_>>();
            vec![text(object, "/addressType"), ports.join(","), or_none(endpoints.join(","))]
        }
        "Endpoints" => vec![or_none(endpoints(object).join(","))],
        // There is one, and whoever asks it runs on it.
        "Node" => vec!["Ready".to_owned(), "<none>".to_owned()],
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => vec![words("/spec/hostnames")],
        _ => Vec::new(),
    }
}

/// `ADDRESS:PORT` of everything that is ready.
fn endpoints(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for subset in list(object, "/subsets") {
        for address in list(&subset, "/addresses") {
            let ports = list(&subset, "/ports");
            found.extend(
                ports.iter().map(|port| format!("{}:{}", text(&address, "/ip"), text(port, "/port"))),
            );
        }
    }
    found
}

fn service_columns(object: &Value) -> Vec<String> {
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            match port["nodePort"].as_i64() {
                Some(host) => format!("{}:{host}/{protocol}", number(port, "/port")),
                None => format!("{}/{protocol}", number(port, "/port")),
            }
        })
        .collect();
    let external = match text(object, "/spec/type").as_str() {
        "ExternalName" => text(object, "/spec/externalName"),
        _ => text(object, "/status/loadBalancer/ingress/0/ip"),
    };
    vec![
        text(object, "/spec/type"),
        or_none(text(object, "/spec/clusterIP")),
        or_none(external),
        or_none(ports.join(",")),
    ]
}

fn wide_header(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["IP", "NODE"],
        "Service" => &["SELECTOR"],
        "Deployment" | "StatefulSet" | "DaemonSet" => &["CONTAINERS", "IMAGES"],
        _ => &[],
    }
}

fn wide_columns(kind: &str, object: &Value) -> Vec<String> {
    match kind {
        "Pod" => vec![text(object, "/status/podIP"), text(object, "/spec/nodeName")],
        "Service" => {
            let pairs = object.pointer("/spec/selector").and_then(Value::as_object).into_iter().flatten();
            let pairs = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            vec![or_none(pairs.collect::<Vec<_>>().join(","))]
        }
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            let containers = list(object, "/spec/template/spec/containers");
            let names = |field: &str| containers.iter().map(|c| text(c, field)).collect::<Vec<_>>().join(",");
            vec![names("/name"), names("/image")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ages() {
        assert_eq!(
            [short_age(3), short_age(200), short_age(700), short_age(11_000)],
            ["3s", "3m20s", "11m", "3h"]
        );
    }

    #[test]
    fn a_service_shows_where_its_ports_are_published() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "gw", "namespace": "x"},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.1.0", "ports": [
                {"port": 80, "nodePort": 8080}, {"port": 53, "protocol": "UDP"},
            ]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
        });
        let view = View { headers: false, namespaces: true, ..View::default() };
        let table = tables(&[service], view);
        assert_eq!(table, "x   gw   LoadBalancer   10.96.1.0   127.0.0.1   80:8080/TCP,53/UDP   <unknown>\n");
    }

    #[test]
    fn several_kinds_are_told_apart() {
        let object = |kind: &str| json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"}});
        let text =
            tables(&[object("Deployment"), object("StatefulSet")], View { headers: true, ..View::default() });
        assert!(text.contains("deployment.apps/a") && text.contains("\n\nNAME"), "{text}");
    }
}
