//! Listeners of a proxy: `ADDRESSES, PORT, MATCH, DESTINATION`, one line per filter chain.

use anyhow::Result;
use serde_json::Value;

use super::dump::{Dump, Form, messages};
use super::routes::describe;
use crate::render::Table;

/// `--address`, `--port`, `--type`, and `--verbose=false`.
#[derive(Clone, Debug)]
pub struct ListenerFilter {
    pub address: String,
    pub port: u16,
    /// `HTTP`, `TCP` or `HTTP+TCP`.
    pub kind: String,
    pub verbose: bool,
}

impl Default for ListenerFilter {
    fn default() -> Self {
        Self { address: String::new(), port: 0, kind: String::new(), verbose: true }
    }
}

/// The table, or the messages.
///
/// # Errors
/// A message cannot be printed.
pub fn listeners(dump: &Dump, filter: &ListenerFilter, form: Form) -> Result<String> {
    let mut found = dump.listeners();
    found.retain(|listener| {
        (filter.address.is_empty() || addresses(listener).contains(&filter.address))
            && (filter.port == 0 || port(listener) == u64::from(filter.port))
            && (filter.kind.is_empty() || kind(listener).eq_ignore_ascii_case(&filter.kind))
    });
    found.sort_by_key(|listener| (port(listener), addresses(listener)));
    if form != Form::Short {
        return messages("envoy.config.listener.v3.Listener", &found, form);
    }
    if !filter.verbose {
        let mut table = Table::wide(&["ADDRESSES", "PORT", "TYPE"]);
        for listener in found {
            table.row([addresses(listener).join(","), port(listener).to_string(), kind(listener)]);
        }
        return Ok(table.to_string());
    }
    let mut table = Table::wide(&["ADDRESSES", "PORT", "MATCH", "DESTINATION"]);
    for listener in found {
        let shared = [addresses(listener).join(","), port(listener).to_string()];
        for chain in chains(listener) {
            let [addresses, port] = shared.clone();
            table.row([addresses, port, matches(chain), destination(chain)]);
        }
    }
    Ok(table.to_string())
}

fn chains(listener: &Value) -> impl Iterator<Item = &Value> {
    let default = &listener["default_filter_chain"];
    let list = listener["filter_chains"].as_array().into_iter().flatten();
    list.chain(default.is_object().then_some(default))
}

fn addresses(listener: &Value) -> Vec<String> {
    let more = listener["additional_addresses"].as_array().into_iter().flatten();
    let all = std::iter::once(&listener["address"]).chain(more.map(|entry| &entry["address"]));
    all.filter_map(|address| {
        let socket = address["socket_address"]["address"].as_str();
        socket.or_else(|| address["pipe"]["path"].as_str()).map(str::to_owned)
    })
    .collect()
}

fn port(listener: &Value) -> u64 {
    listener["address"]["socket_address"]["port_value"].as_u64().unwrap_or_default()
}

/// What its chains speak.
fn kind(listener: &Value) -> String {
    let (mut http, mut tcp) = (false, false);
    for chain in chains(listener) {
        for filter in filters(chain) {
            match filter["name"].as_str().unwrap_or_default() {
                "envoy.filters.network.http_connection_manager" => http = true,
                "envoy.filters.network.tcp_proxy" => tcp = true,
                _ => {}
            }
        }
    }
    match (http, tcp) {
        (true, true) => "HTTP+TCP",
        (true, false) => "HTTP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
    .to_owned()
}

fn filters(chain: &Value) -> impl Iterator<Item = &Value> {
    chain["filters"].as_array().into_iter().flatten()
}

/// Why a connection takes this chain.
fn matches(chain: &Value) -> String {
    let rule = &chain["filter_chain_match"];
    let list = |field: &str| -> Vec<String> {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut words = Vec::new();
    let names = list("server_names");
    if !names.is_empty() {
        words.push(format!("SNI: {}", names.join(",")));
    }
    if let Some(transport) = rule["transport_protocol"].as_str().filter(|word| !word.is_empty()) {
        words.push(format!("Trans: {transport}"));
    }
    let protocols = list("application_protocols");
    if !protocols.is_empty() {
        words.push(format!("App: {}", protocols.join(",")));
    }
    let prefixes: Vec<String> = rule["prefix_ranges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|range| {
            let bits = range["prefix_len"].as_u64().unwrap_or_default();
            format!("{}/{bits}", range["address_prefix"].as_str().unwrap_or_default())
        })
        .collect();
    match (rule["destination_port"].as_u64(), prefixes.is_empty()) {
        (Some(port), true) => words.push(format!("Addr: *:{port}")),
        (Some(port), false) => words.push(format!("Addr: {}:{port}", prefixes.join(","))),
        (None, false) => words.push(format!("Addr: {}", prefixes.join(","))),
        (None, true) => {}
    }
    if words.is_empty() { "ALL".into() } else { words.join("; ") }
}

/// Where it goes from there.
fn destination(chain: &Value) -> String {
    for filter in filters(chain) {
        let config = &filter["typed_config"];
        match filter["name"].as_str().unwrap_or_default() {
            "envoy.filters.network.http_connection_manager" => return http(config),
            "envoy.filters.network.tcp_proxy" => return tcp(config),
            _ => {}
        }
    }
    "Non-HTTP/Non-TCP".into()
}

fn http(config: &Value) -> String {
    if let Some(name) = config["rds"]["route_config_name"].as_str() {
        return format!("Route: {name}");
    }
    let hosts = config["route_config"]["virtual_hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rules: Vec<&Value> =
        hosts.iter().flat_map(|host| host["routes"].as_array().into_iter().flatten()).collect();
    match rules.as_slice() {
        // Everything goes to one cluster: the usual inbound chain.
        [rule] if rule["match"]["prefix"] == "/" && rule["route"]["cluster"].is_string() => {
            cluster(rule["route"]["cluster"].as_str().unwrap_or_default())
        }
        rules => {
            let paths: Vec<String> = rules.iter().map(|rule| describe(rule)).collect();
            format!("Inline Route: {}", paths.join(", "))
        }
    }
}

fn tcp(config: &Value) -> String {
    if let Some(name) = config["cluster"].as_str() {
        return cluster(name);
    }
    let shares = config["weighted_clusters"]["clusters"].as_array().into_iter().flatten();
    let names: Vec<&str> = shares.filter_map(|share| share["name"].as_str()).collect();
    format!("Cluster: {}", names.join(", "))
}

/// The clusters that every proxy has are known by their names alone.
fn cluster(name: &str) -> String {
    match name {
        "PassthroughCluster" | "BlackHoleCluster" | "InboundPassthroughCluster" => name.to_owned(),
        other => format!("Cluster: {other}"),
    }
}
