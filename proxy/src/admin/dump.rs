//! `/config_dump`, `/certs`, `/debug/rejects`: what the proxy was told, as it is in force.
//!
//! In: the store's resources and the secrets. Out: Envoy's dump messages as JSON (snake_case), keys redacted. The
//! parameters `resource`, `mask` and `name_regex` choose parts of it; `include_eds` adds the endpoints.

use std::sync::Arc;
use std::time::SystemTime;

use base::admin::{Request, Response, Routes};
use base::telemetry::rfc3339;
use http::StatusCode;
use serde_json::{Map, Value, json};
use wire::Kind;
use wire::reflect::{Style, message_to_json, render};

use super::pages::{pretty, reading};
use crate::identity::Window;
use crate::process::Process;
use crate::tls::{Secret, SecretSource};
use crate::xds::{Held, Rejected};

const STYLE: Style = Style { proto_names: true, redact: true };
const ADMIN: &str = "type.googleapis.com/envoy.admin.v3.";

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes
        .get("/config_dump", "dump current Envoy configs", reading(process, config_dump))
        .get("/certs", "print certs on machine", reading(process, |process, _| pretty(&certs(process))))
        .get(
            "/debug/rejects",
            "resources that are refused, and why",
            reading(process, |process, _| pretty(&rejects(process))),
        )
}

fn config_dump(process: &Process, request: &Request) -> Response {
    let names = match request.param("name_regex").map(regex::Regex::new) {
        Some(Err(error)) => {
            return Response::status(StatusCode::BAD_REQUEST, format!("name_regex: {error}\n"));
        }
        Some(Ok(regex)) => Some(regex),
        None => None,
    };
    let mut configs = sections(process, request.param("include_eds").is_some());
    if let Some(regex) = &names {
        for section in &mut configs {
            keep_names(section, regex);
        }
    }
    let configs = match request.param("resource") {
        Some(field) => match select(&configs, field) {
            Some(chosen) => chosen,
            None => {
                let text = format!("{field} not found in config dump\n");
                return Response::status(StatusCode::NOT_FOUND, text);
            }
        },
        None => match request.param("mask") {
            Some(mask) => masked(configs, mask),
            None => configs,
        },
    };
    pretty(&json!({ "configs": configs }))
}

/// All sections, in Envoy's order.
fn sections(process: &Process, endpoints: bool) -> Vec<Value> {
    let store = process.store.lock();
    let of = |wanted: Kind| {
        let all = store.held().filter(move |(kind, ..)| *kind == wanted);
        all.map(|(kind, name, held)| (kind, name.clone(), held.clone())).collect::<Vec<_>>()
    };
    let mut sections = vec![bootstrap(process), clusters(&of(Kind::Cluster))];
    if endpoints {
        sections.push(plain(
            "EndpointsConfigDump",
            "dynamic_endpoint_configs",
            "endpoint_config",
            &of(Kind::Endpoints),
        ));
    }
    let listeners = listeners(&of(Kind::Listener));
    let mut routes =
        plain("RoutesConfigDump", "dynamic_route_configs", "route_config", &routes_with_hosts(&of));
    let mut inline = Vec::new();
    inline_routes(&listeners, &Value::Null, &mut inline);
    if !inline.is_empty() {
        routes["static_route_configs"] = inline.into();
    }
    sections.push(listeners);
    sections.push(routes);
    drop(store);
    sections.push(secrets(process));
    sections
}

type Entry = (Kind, Arc<str>, Held);

/// Route configurations with the virtual hosts that came alone.
fn routes_with_hosts(of: &dyn Fn(Kind) -> Vec<Entry>) -> Vec<Entry> {
    use prost::Message;
    use wire::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
    let hosts = of(Kind::VirtualHost);
    let mut tables = of(Kind::Route);
    for (_, name, held) in &mut tables {
        let Some((_, bytes)) = &mut held.good else { continue };
        let prefix = format!("{name}/");
        let own: Vec<&Entry> = hosts.iter().filter(|(_, host, _)| host.starts_with(&prefix)).collect();
        // The routes are as new as their newest virtual host.
        held.updated = own.iter().map(|(_, _, host)| host.updated).fold(held.updated, Ord::max);
        let own: Vec<VirtualHost> = own
            .iter()
            .filter_map(|(_, _, host)| VirtualHost::decode(host.good.as_ref()?.1.clone()).ok())
            .collect();
        if own.is_empty() {
            continue;
        }
        if let Ok(mut table) = RouteConfiguration::decode(bytes.clone()) {
            table.virtual_hosts.splice(0..0, own);
            *bytes = table.encode_to_vec().into();
        }
    }
    tables
}

/// Route tables that are written in listeners, one for each place, as Envoy lists them.
fn inline_routes(value: &Value, updated: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| inline_routes(item, updated, found)),
        Value::Object(fields) => {
            let updated = fields.get("last_updated").unwrap_or(updated);
            for (name, inner) in fields {
                match (name.as_str(), inner.as_object()) {
                    ("route_config", Some(table)) => {
                        let mut typed = Map::new();
                        typed.insert("@type".into(), Kind::Route.type_url().into());
                        typed.extend(table.clone());
                        found.push(json!({ "route_config": typed, "last_updated": updated }));
                    }
                    _ => inline_routes(inner, updated, found),
                }
            }
        }
        _ => {}
    }
}

fn bootstrap(process: &Process) -> Value {
    let node = message_to_json(&process.node, STYLE);
    json!({
        "@type": format!("{ADMIN}BootstrapConfigDump"),
        "bootstrap": { "node": node },
        "last_updated": rfc3339(process.started),
    })
}

/// The resource as it is in force, with its type.
fn good(kind: Kind, held: &Held) -> Option<(String, Value)> {
    let (version, bytes) = held.good.as_ref()?;
    let mut value = render(kind.type_url(), bytes, STYLE);
    if let Some(fields) = value.as_object_mut() {
        let mut typed = Map::new();
        typed.insert("@type".into(), kind.type_url().into());
        typed.append(fields);
        value = typed.into();
    }
    Some((version.to_string(), value))
}

fn entry(kind: Kind, field: &str, held: &Held) -> Option<Value> {
    let (version, value) = good(kind, held)?;
    let mut entry = Map::new();
    if !held.fixed {
        entry.insert("version_info".into(), version.into());
    }
    entry.insert(field.into(), value);
    entry.insert("last_updated".into(), rfc3339(held.updated).into());
    if let Some(rejected) = &held.rejected {
        entry.insert("error_state".into(), error_state(rejected));
        entry.insert("client_status".into(), "NACKED".into());
    }
    Some(entry.into())
}

fn error_state(rejected: &Rejected) -> Value {
    json!({
        "last_update_attempt": rfc3339(rejected.at),
        "details": rejected.reject.to_string(),
        "version_info": *rejected.version,
    })
}

fn newest(entries: &[Entry]) -> String {
    let session = entries.iter().filter(|(_, _, held)| !held.fixed);
    let newest = session.max_by_key(|(_, _, held)| held.updated);
    newest
        .and_then(|(_, _, held)| held.good.as_ref())
        .map(|(version, _)| version.to_string())
        .unwrap_or_default()
}

fn clusters(entries: &[Entry]) -> Value {
    let of = |fixed: bool| -> Vec<Value> {
        let some = entries.iter().filter(|(_, _, held)| held.fixed == fixed);
        some.filter_map(|(kind, _, held)| entry(*kind, "cluster", held)).collect()
    };
    json!({
        "@type": format!("{ADMIN}ClustersConfigDump"),
        "version_info": newest(entries),
        "static_clusters": of(true),
        "dynamic_active_clusters": of(false),
    })
}

fn listeners(entries: &[Entry]) -> Value {
    let fixed = entries.iter().filter(|(_, _, held)| held.fixed);
    let fixed: Vec<Value> = fixed.filter_map(|(kind, _, held)| entry(*kind, "listener", held)).collect();
    let dynamic = entries.iter().filter(|(_, _, held)| !held.fixed);
    let dynamic: Vec<Value> = dynamic
        .map(|(kind, name, held)| {
            let mut listener = Map::new();
            listener.insert("name".into(), name.to_string().into());
            if let Some(mut state) = entry(*kind, "listener", held) {
                if let Some(fields) = state.as_object_mut() {
                    fields.remove("error_state");
                    fields.remove("client_status");
                }
                listener.insert("active_state".into(), state);
            }
            if let Some(rejected) = &held.rejected {
                listener.insert("error_state".into(), error_state(rejected));
                listener.insert("client_status".into(), "NACKED".into());
            }
            listener.into()
        })
        .collect();
    json!({
        "@type": format!("{ADMIN}ListenersConfigDump"),
        "version_info": newest(entries),
        "static_listeners": fixed,
        "dynamic_listeners": dynamic,
    })
}

fn plain(message: &str, list: &str, field: &str, entries: &[Entry]) -> Value {
    let all: Vec<Value> = entries.iter().filter_map(|(kind, _, held)| entry(*kind, field, held)).collect();
    json!({ "@type": format!("{ADMIN}{message}"), list: all })
}

fn secrets(process: &Process) -> Value {
    let all = process.secrets.list();
    let named = all.iter().filter_map(|(source, secret)| match source {
        SecretSource::Identity(name) | SecretSource::Ads(name) => Some((name, secret)),
        SecretSource::Inline { .. } | SecretSource::Files { .. } => None,
    });
    let active: Vec<Value> = named
        .map(|(name, secret)| {
            json!({
                "name": **name,
                "version_info": *secret.version,
                "last_updated": secret.updated.map(rfc3339),
                "secret": secret_json(name, secret),
            })
        })
        .collect();
    json!({ "@type": format!("{ADMIN}SecretsConfigDump"), "dynamic_active_secrets": active })
}

fn secret_json(name: &str, secret: &Secret) -> Value {
    use base64::Engine;
    let pem = base64::engine::general_purpose::STANDARD.encode(&secret.pem);
    let inline = json!({ "inline_bytes": pem });
    let redacted = base64::engine::general_purpose::STANDARD.encode("[redacted]");
    let mut value = json!({ "@type": Kind::Secret.type_url(), "name": name });
    if let Some(fields) = value.as_object_mut() {
        if secret.certificate.is_some() {
            let key = json!({ "inline_bytes": redacted });
            fields
                .insert("tls_certificate".into(), json!({ "certificate_chain": inline, "private_key": key }));
        } else {
            fields.insert("validation_context".into(), json!({ "trusted_ca": inline }));
        }
    }
    value
}

/// `resource=dynamic_active_clusters`: the entries of one list.
fn select(sections: &[Value], field: &str) -> Option<Vec<Value>> {
    let found: Vec<&Value> = sections.iter().filter_map(|section| section.get(field)).collect();
    if found.is_empty() {
        return None;
    }
    let typed = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    Some(found.into_iter().flat_map(typed).collect())
}

/// `mask=bootstrap,dynamic_listeners`: these fields of the sections that have them.
fn masked(sections: Vec<Value>, mask: &str) -> Vec<Value> {
    let wanted: Vec<&str> = mask.split(',').map(|path| path.split('.').next().unwrap_or(path)).collect();
    let keep = |section: Value| {
        let Value::Object(fields) = section else { return None };
        let kept: Map<String, Value> =
            fields.into_iter().filter(|(key, _)| key == "@type" || wanted.contains(&key.as_str())).collect();
        (kept.len() > 1).then_some(Value::Object(kept))
    };
    sections.into_iter().filter_map(keep).collect()
}

fn keep_names(section: &mut Value, regex: &regex::Regex) {
    let Some(fields) = section.as_object_mut() else { return };
    for list in fields.values_mut().filter_map(Value::as_array_mut) {
        list.retain(|entry| {
            let inner = ["cluster", "listener", "route_config", "endpoint_config"]
                .iter()
                .find_map(|key| entry.get(*key));
            let name = [Some(entry), inner].into_iter().flatten().find_map(|value| {
                value.get("name").or_else(|| value.get("cluster_name")).and_then(Value::as_str)
            });
            name.is_none_or(|name| regex.is_match(name))
        });
    }
}

fn certs(process: &Process) -> Value {
    let now = SystemTime::now();
    let describe = |der: &rustls::pki_types::CertificateDer<'_>| {
        let window = Window::of(der).ok()?;
        let names = crate::tls::Names::of(der).unwrap_or_default();
        let mut alternatives: Vec<Value> = names.uris.iter().map(|uri| json!({ "uri": uri })).collect();
        alternatives.extend(names.dns.iter().map(|dns| json!({ "dns": dns })));
        Some(json!({
            "path": "<inline>",
            "serial_number": crate::tls::serial(der),
            "subject_alt_names": alternatives,
            "days_until_expiration": (window.left(now).as_secs() / 86_400).to_string(),
            "valid_from": rfc3339(window.not_before),
            "expiration_time": rfc3339(window.not_after),
        }))
    };
    let mut all = Vec::new();
    for (_, secret) in process.secrets.list() {
        let mut entry = Map::new();
        if let Some(roots) = &secret.roots {
            entry.insert("ca_cert".into(), roots.certificates.iter().filter_map(describe).collect());
        }
        if let Some(material) = &secret.certificate {
            entry.insert("cert_chain".into(), material.certified.cert.iter().filter_map(describe).collect());
        }
        all.push(Value::Object(entry));
    }
    json!({ "certificates": all })
}

fn rejects(process: &Process) -> Value {
    let store = process.store.lock();
    let now: Vec<Value> = store
        .rejected()
        .map(|rejected| {
            json!({
                "kind": rejected.reject.kind.short(),
                "resource": *rejected.reject.resource,
                "path": rejected.reject.path,
                "reason": rejected.reject.reason,
                "version": *rejected.version,
                "at": rfc3339(rejected.at),
            })
        })
        .collect();
    json!({ "rejected": now, "rejected_total": store.rejected_total() })
}
