//! The paths and what each answers, except for services and endpoints, which `registry` tells.
//!
//! In: requests, and [`Debug`], what the rest of pilot shares. Out: responses. Called through [`routes`] by `app`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Findings;
use base::Live;
use base::admin::{Request, Response, Routes};
use base::metrics::{CONTENT_TYPE, Metrics};
use base::ready::Ready;
use serde_json::{Value, json};
use wire::delta::Sync;
use wire::{Kind, Resource};

use super::registry;
use crate::push::{Client, Hub, TypeState};
use crate::webhook::Injection;
use crate::world::World;

/// What the endpoints look at.
#[derive(Clone)]
pub struct Debug {
    pub hub: Arc<Hub>,
    pub metrics: Metrics,
    pub ready: Ready,
    /// Everything that was written, as it was when the published state was made.
    pub world: Arc<Live<World>>,
    /// Mistakes found in it.
    pub findings: Arc<Live<Findings>>,
    /// The injection webhook, where there is a cluster.
    pub(crate) injection: Option<Injection>,
}

/// Every path, for both ports.
pub fn routes(debug: &Debug) -> Routes {
    let at = |answer: fn(&Debug, &Request) -> Response| {
        let debug = debug.clone();
        move |request: Request| {
            let response = answer(&debug, &request);
            async move { response }
        }
    };
    Routes::new()
        .get("/ready", "200 once the configuration is read and published", at(ready))
        .get("/metrics", "Prometheus text", at(metrics))
        .get("/version", "version of this pilot", at(version))
        .get("/debug", "this list", at(index))
        .get("/debug/list", "the names of these pages", at(list))
        .get("/debug/syncz", "connected proxies: sent and acknowledged, by type", at(syncz))
        .get(
            "/debug/settled",
            "versions of all objects in force, and proxies that do not have them yet",
            at(settled),
        )
        .get("/debug/adsz", "connected proxies and what they are subscribed to", at(syncz))
        .get("/debug/connections", "connected clients", at(connections))
        .get(
            "/debug/config_dump",
            "what a proxy is told, in Envoy's form; ?proxyID=POD.NAMESPACE",
            at(config_dump),
        )
        .get("/debug/edsz", "endpoints that a proxy is told; ?proxyID=", at(edsz))
        .get("/debug/ndsz", "names that a proxy is told; ?proxyID=", at(ndsz))
        .get("/debug/endpointz", "endpoints by service port", at(endpointz))
        .get("/debug/endpointShardz", "endpoints by service port", at(endpointz))
        .get("/debug/registryz", "services", at(registryz))
        .get("/debug/configz", "every object as written; ?type=KIND", at(configz))
        .get("/debug/findings", "mistakes in what was written", at(findings))
        .get("/debug/push_status", "mistakes in what was written", at(findings))
        .get("/debug/inject", "templates of the injection, by name", at(inject))
        .get("/debug/cachez", "hits and misses of what was said before", at(cachez))
}

fn pretty(value: &Value) -> Response {
    Response::json(serde_json::to_string_pretty(value).unwrap_or_default() + "\n")
}

fn ready(debug: &Debug, _: &Request) -> Response {
    if debug.ready.is_ready() {
        return Response::text("ready\n");
    }
    let waiting: Vec<String> = debug.ready.pending().iter().map(ToString::to_string).collect();
    Response::status(http::StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", waiting.join(", ")))
}

fn metrics(debug: &Debug, _: &Request) -> Response {
    debug.hub.stats.views.set(debug.hub.views() as i64);
    debug.hub.stats.services.set(debug.hub.published().snapshot.services.value.all.len() as i64);
    Response::new(http::StatusCode::OK, CONTENT_TYPE, debug.metrics.render())
}

fn version(_: &Debug, _: &Request) -> Response {
    let number = env!("CARGO_PKG_VERSION");
    pretty(
        &json!({ "version": number, "revision": "default", "status": "Clean", "golang_version": "", "tag": number }),
    )
}

fn index(debug: &Debug, _: &Request) -> Response {
    let mut page = String::from("<!doctype html><title>pilot</title><h1>pilot</h1><table>");
    for (path, help) in routes(debug).index() {
        page.push_str(&format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{help}</td></tr>"));
    }
    Response::html(page + "</table>")
}

fn list(debug: &Debug, _: &Request) -> Response {
    let pages = routes(debug).index();
    pretty(&pages.iter().filter_map(|(path, _)| path.strip_prefix("/debug/")).collect())
}

fn state(sync: &Sync) -> Value {
    match sync {
        Sync::NotAsked => "NOT SUBSCRIBED".into(),
        Sync::NotSent => "NOT SENT".into(),
        Sync::Synced => "SYNCED".into(),
        Sync::Pending => "STALE".into(),
        Sync::Refused(why) => format!("ERROR: {why}").into(),
    }
}

/// Istio's names of the types in `/debug/syncz`.
fn long(kind: Kind) -> &'static str {
    match kind {
        Kind::Cluster => "cluster",
        Kind::Endpoints => "endpoint",
        Kind::Listener => "listener",
        Kind::Route => "route",
        Kind::VirtualHost => "virtual_host",
        Kind::Secret => "secret",
        Kind::Extension => "extensionconfig",
        Kind::NameTable => "name_table",
        Kind::Workload => "workload",
    }
}

fn syncz(debug: &Debug, _: &Request) -> Response {
    let one = |client: &Client| {
        let mut entry = json!({
            "cluster_id": client.node.metadata.cluster_id,
            "proxy": format!("{}.{}", client.node.id.name, client.node.id.namespace),
            "proxy_type": client.node.id.role.as_str(),
            "proxy_version": client.node.metadata.istio_version,
            "istio_version": client.node.metadata.istio_version,
            "node": client.node.id.to_string(),
            "connected_at": client.since,
        });
        let mut types = BTreeMap::new();
        for (kind, TypeState { sync, sent, acked, sent_at }) in &client.types {
            entry[format!("{}_sent", long(*kind))] = (&**sent).into();
            entry[format!("{}_acked", long(*kind))] = (&**acked).into();
            types.insert(kind.short().to_uppercase(), json!({ "status": state(sync), "last_sent": sent_at }));
        }
        entry["types"] = json!(types);
        entry
    };
    pretty(&Value::Array(debug.hub.clients().iter().map(one).collect()))
}

/// For those who want to wait until what they wrote is in force everywhere.
fn settled(debug: &Debug, _: &Request) -> Response {
    let world = debug.world.load();
    let generation = debug.hub.published().generation;
    let versions: BTreeMap<String, String> = world
        .objects()
        .map(|object| (object.key().to_string(), object.meta().resource_version.clone()))
        .collect();
    let behind = |client: &Client| {
        let waiting = client.types.values().any(|state| matches!(state.sync, Sync::Pending));
        waiting || client.generation < generation
    };
    let clients = debug.hub.clients();
    let behind: Vec<String> =
        clients.iter().filter(|client| behind(client)).map(|client| client.node.id.to_string()).collect();
    pretty(
        &json!({ "generation": generation, "proxies": clients.len(), "behind": behind, "versions": versions }),
    )
}

fn connections(debug: &Debug, _: &Request) -> Response {
    let clients = debug.hub.clients();
    let one = |client: &Client| {
        json!({
            "connectionId": format!("{}-{}", client.node.id, client.id),
            "connectedAt": client.since,
            "address": client.peer.map(|peer| peer.to_string()),
            "view": format!("{:?}", client.view),
        })
    };
    pretty(&json!({ "totalClients": clients.len(), "clients": clients.iter().map(one).collect::<Vec<_>>() }))
}

/// The resources of the client that `?proxyID=` names.
fn told(debug: &Debug, request: &Request) -> Result<Vec<Arc<Resource>>, Response> {
    let wrong = |text: String| Response::status(http::StatusCode::NOT_FOUND, text);
    let Some(id) = request.param("proxyID") else {
        return Err(Response::status(http::StatusCode::BAD_REQUEST, "say which: ?proxyID=POD.NAMESPACE\n"));
    };
    let clients = debug.hub.clients();
    let name = |client: &Client| format!("{}.{}", client.node.id.name, client.node.id.namespace);
    let Some(client) = clients.iter().find(|client| name(client) == id || client.node.id.to_string() == id)
    else {
        let known: Vec<String> = clients.iter().map(name).collect();
        return Err(wrong(format!("no proxy {id} is connected; there are {}\n", known.join(", "))));
    };
    let published = debug.hub.published();
    Ok(debug.hub.layers(&published, &client.view).iter().cloned().collect())
}

fn show(resource: &Resource) -> Value {
    wire::reflect::to_json(resource.kind.type_url(), &resource.bytes, true)
}

/// Envoy's shape, so that tools that read one read the other.
fn config_dump(debug: &Debug, request: &Request) -> Response {
    let told = match told(debug, request) {
        Ok(told) => told,
        Err(wrong) => return wrong,
    };
    let list = |kind: Kind, field: &str| -> Vec<Value> {
        let of_kind = told.iter().filter(|resource| resource.kind == kind);
        of_kind.map(|resource| json!({ "version_info": &*resource.version, field: show(resource) })).collect()
    };
    let listeners: Vec<Value> = told
        .iter()
        .filter(|resource| resource.kind == Kind::Listener)
        .map(|resource| {
            let state = json!({ "version_info": &*resource.version, "listener": show(resource) });
            json!({ "name": &*resource.name, "active_state": state })
        })
        .collect();
    let section = |name: &str, field: &str, entries: Vec<Value>| json!({ "@type": format!("type.googleapis.com/envoy.admin.v3.{name}"), field: entries });
    pretty(&json!({ "configs": [
        section("ClustersConfigDump", "dynamic_active_clusters", list(Kind::Cluster, "cluster")),
        section("ListenersConfigDump", "dynamic_listeners", listeners),
        section("RoutesConfigDump", "dynamic_route_configs", whole_routes(&told)),
        section("EndpointsConfigDump", "dynamic_endpoint_configs", list(Kind::Endpoints, "endpoint_config")),
    ] }))
}

/// Route configurations with the virtual hosts that travel beside them put back in.
fn whole_routes(told: &[Arc<Resource>]) -> Vec<Value> {
    let of_kind = |kind: Kind| told.iter().filter(move |resource| resource.kind == kind);
    of_kind(Kind::Route)
        .map(|resource| {
            let mut route = show(resource);
            let prefix = format!("{}/", resource.name);
            let hosts = of_kind(Kind::VirtualHost)
                .filter(|host| host.name.starts_with(&prefix))
                .map(|host| show(host));
            let mut all: Vec<Value> = hosts.collect();
            all.extend(route["virtual_hosts"].as_array().into_iter().flatten().cloned());
            route["virtual_hosts"] = Value::Array(all);
            json!({ "version_info": &*resource.version, "route_config": route })
        })
        .collect()
}

fn of_kind(debug: &Debug, request: &Request, kind: Kind) -> Response {
    match told(debug, request) {
        Ok(told) => pretty(&told.iter().filter(|r| r.kind == kind).map(|r| show(r)).collect()),
        Err(wrong) => wrong,
    }
}

fn edsz(debug: &Debug, request: &Request) -> Response {
    of_kind(debug, request, Kind::Endpoints)
}

fn ndsz(debug: &Debug, request: &Request) -> Response {
    of_kind(debug, request, Kind::NameTable)
}

fn endpointz(debug: &Debug, _: &Request) -> Response {
    pretty(&registry::endpoints(&debug.hub.published().snapshot))
}

fn registryz(debug: &Debug, _: &Request) -> Response {
    pretty(&registry::services(&debug.hub.published().snapshot))
}

fn configz(debug: &Debug, request: &Request) -> Response {
    let world = debug.world.load();
    let wanted = request.param("type").and_then(api::Kind::from_word);
    let all = world.objects().filter(|object| wanted.is_none_or(|kind| object.kind() == kind));
    // Secrets are named, never shown.
    let shown = all.map(|object| match object.kind() {
        api::Kind::Secret => json!({ "kind": "Secret", "metadata": { "name": object.meta().name, "namespace": object.meta().namespace } }),
        _ => object.to_value(),
    });
    pretty(&shown.collect())
}

fn findings(debug: &Debug, _: &Request) -> Response {
    let all = debug.findings.load();
    let one = |finding: &api::Finding| {
        json!({
            "code": finding.code.to_string(),
            "severity": finding.severity.as_str(),
            "object": finding.object.as_ref().map(ToString::to_string),
            "path": finding.path.to_string(),
            "file": finding.file,
            "line": finding.line,
            "message": finding.message,
        })
    };
    pretty(&all.iter().map(one).collect())
}

fn inject(debug: &Debug, _: &Request) -> Response {
    match &debug.injection {
        Some(injection) => pretty(&injection.templates()),
        None => Response::status(http::StatusCode::NOT_FOUND, "nothing is injected here\n"),
    }
}

fn cachez(debug: &Debug, _: &Request) -> Response {
    pretty(&json!({ "views": debug.hub.views(), "generation": debug.hub.published().generation }))
}
