//! Probes of the application, asked through the proxy: the kubelet has no certificate and does not come through the mesh.
//!
//! In: a pod with its proxy. Out: every HTTP, TCP and gRPC probe, and HTTP lifecycle hooks, as requests to the proxy's
//! status port; what they were in the variable `ISTIO_KUBE_APP_PROBERS` of the proxy. Probes of commands stay, as do those
//! that name a port that their container does not have. Called by `finish`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::PROXY;
use super::pod::{containers, containers_mut, is_named, list_mut, proxy, text};

const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";
/// Where a handler stands, and under which path it is asked.
const HANDLERS: [(&str, &str); 5] = [
    ("/readinessProbe", "/app-health/{}/readyz"),
    ("/livenessProbe", "/app-health/{}/livez"),
    ("/startupProbe", "/app-health/{}/startupz"),
    ("/lifecycle/preStop", "/app-lifecycle/{}/prestopz"),
    ("/lifecycle/postStart", "/app-lifecycle/{}/poststartz"),
];

/// Rewrites all of them.
pub(super) fn rewrite(pod: &mut Value, status_port: u16) {
    let mut probers = BTreeMap::new();
    for list in ["containers", "initContainers"] {
        if containers(pod, list).is_empty() {
            continue;
        }
        for container in containers_mut(pod, list) {
            // Of init containers only those that stay have probes.
            let ends = list == "initContainers" && container["restartPolicy"] != "Always";
            if !ends && !is_named(container, PROXY) {
                one(container, status_port, &mut probers);
            }
        }
    }
    if probers.is_empty() {
        return;
    }
    let told = json!(probers).to_string();
    if let Some(proxy) = proxy(pod) {
        let env = list_mut(proxy, "env");
        // Of an earlier injection; probes that were rewritten then are not among those of now.
        let earlier = env.iter().position(|variable| is_named(variable, PROBERS)).map(|at| env.remove(at));
        let told = earlier.and_then(|variable| joined(variable["value"].as_str()?, &probers)).unwrap_or(told);
        env.push(json!({"name": PROBERS, "value": told}));
    }
}

fn joined(earlier: &str, probers: &BTreeMap<String, Value>) -> Option<String> {
    let mut all: BTreeMap<String, Value> = serde_json::from_str(earlier).ok()?;
    all.extend(probers.clone());
    Some(json!(all).to_string())
}

fn one(container: &mut Value, status_port: u16, probers: &mut BTreeMap<String, Value>) {
    let name = text(container, "/name").to_owned();
    let ports = named_ports(container);
    for (pointer, path) in HANDLERS {
        let Some(handler) = container.pointer_mut(pointer).and_then(Value::as_object_mut) else { continue };
        let Some(prober) = prober(handler, &ports, status_port) else { continue };
        let path = path.replace("{}", &name);
        for kind in ["tcpSocket", "grpc"] {
            handler.shift_remove(kind);
        }
        let mut http = handler.get("httpGet").cloned().unwrap_or_else(|| json!({}));
        http["path"] = path.clone().into();
        http["port"] = status_port.into();
        // The kubelet speaks plainly to the proxy, and the proxy with TLS to the application.
        if http["scheme"] == "HTTPS" {
            http["scheme"] = "HTTP".into();
        }
        handler.insert("httpGet".to_owned(), http);
        probers.insert(path, prober);
    }
}

/// What the proxy asks: the handler, with its port as a number.
fn prober(handler: &Map<String, Value>, ports: &Map<String, Value>, status_port: u16) -> Option<Value> {
    let (kind, action) =
        ["httpGet", "tcpSocket", "grpc"].iter().find_map(|kind| Some((*kind, handler.get(*kind)?)))?;
    let mut action = action.clone();
    let port = match &action["port"] {
        Value::String(name) => ports.get(name).cloned().or_else(|| Some(name.parse::<u16>().ok()?.into()))?,
        number => number.clone(),
    };
    // Rewritten before.
    if port == status_port {
        return None;
    }
    action["port"] = port;
    let mut prober = json!({kind: action});
    if let Some(seconds) = handler.get("timeoutSeconds") {
        prober["timeoutSeconds"] = seconds.clone();
    }
    Some(prober)
}

fn named_ports(container: &Value) -> Map<String, Value> {
    let ports = container["ports"].as_array().into_iter().flatten();
    ports
        .filter_map(|port| Some((port["name"].as_str()?.to_owned(), port["containerPort"].clone())))
        .collect()
}
