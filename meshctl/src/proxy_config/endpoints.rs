//! Endpoints of a proxy: `ENDPOINT, STATUS, OUTLIER CHECK, CLUSTER` from `/clusters?format=json`, and the load
//! assignments as they were received.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::dump::{Dump, Form, camel, messages, text};
use crate::render::Table;

/// `--address`, `--port`, `--cluster`, `--status`.
#[derive(Clone, Debug, Default)]
pub struct EndpointFilter {
    pub address: String,
    pub port: u16,
    pub cluster: String,
    pub status: String,
}

impl EndpointFilter {
    fn matches(&self, address: &str, port: u64, cluster: &str, status: &str) -> bool {
        (self.address.is_empty() || address == self.address)
            && (self.port == 0 || port == u64::from(self.port))
            && (self.cluster.is_empty() || cluster == self.cluster)
            && (self.status.is_empty() || status.eq_ignore_ascii_case(&self.status))
    }
}

/// The table, or the host statuses as JSON. `page` is the proxy's `/clusters?format=json`.
///
/// # Errors
/// The page is no JSON, or a config dump.
pub fn endpoints(page: &str, filter: &EndpointFilter, form: Form) -> Result<String> {
    let page: Value = serde_json::from_str(page).context("the proxy's list of clusters is no JSON")?;
    if page.get("cluster_statuses").is_none() && page.get("configs").is_some() {
        bail!(
            "this is a config dump; `endpoint` reads the page /clusters?format=json, `eds` reads config dumps"
        );
    }
    let mut table = Table::wide(&["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
    let mut kept = Vec::new();
    for cluster in page["cluster_statuses"].as_array().into_iter().flatten() {
        let name = cluster["name"].as_str().unwrap_or_default();
        let mut hosts = Vec::new();
        for host in cluster["host_statuses"].as_array().into_iter().flatten() {
            let (address, port) = address(&host["address"]);
            let status = health(host);
            if filter.matches(&address, port, name, &status) {
                table.row([with_port(&address, port), status, outlier(host).to_owned(), name.to_owned()]);
                hosts.push(host.clone());
            }
        }
        if !hosts.is_empty() {
            let mut cluster = cluster.clone();
            cluster["host_statuses"] = Value::Array(hosts);
            kept.push(camel("envoy.admin.v3.ClusterStatus", &cluster));
        }
    }
    if form != Form::Short {
        return text(&Value::Array(kept), form);
    }
    table.sort();
    Ok(table.to_string())
}

/// `proxy-config eds`: `NAME, STATUS, LOCALITY, CLUSTER` from a dump made with `include_eds`.
///
/// # Errors
/// A message cannot be printed.
pub fn eds(dump: &Dump, filter: &EndpointFilter, form: Form) -> Result<String> {
    let mut table = Table::wide(&["NAME", "STATUS", "LOCALITY", "CLUSTER"]);
    let mut kept = Vec::new();
    for assignment in dump.endpoints() {
        let cluster = assignment["cluster_name"].as_str().unwrap_or_default();
        let before = table.rows().len();
        for group in assignment["endpoints"].as_array().into_iter().flatten() {
            let part = |name: &str| group["locality"][name].as_str().unwrap_or_default().to_owned();
            let locality = [part("region"), part("zone"), part("sub_zone")].join("/");
            for endpoint in group["lb_endpoints"].as_array().into_iter().flatten() {
                let (address, port) = address(&endpoint["endpoint"]["address"]);
                let status = match endpoint["health_status"].as_str() {
                    None | Some("UNKNOWN") => "HEALTHY",
                    Some(other) => other,
                };
                if filter.matches(&address, port, cluster, status) {
                    let locality = locality.trim_matches('/').to_owned();
                    table.row([with_port(&address, port), status.to_owned(), locality, cluster.to_owned()]);
                }
            }
        }
        if table.rows().len() > before {
            kept.push(assignment);
        }
    }
    if form != Form::Short {
        return messages("envoy.config.endpoint.v3.ClusterLoadAssignment", &kept, form);
    }
    table.sort();
    Ok(table.to_string())
}

fn address(value: &Value) -> (String, u64) {
    let socket = &value["socket_address"];
    match socket["address"].as_str() {
        Some(ip) => (ip.to_owned(), socket["port_value"].as_u64().unwrap_or_default()),
        None => {
            let path = value["pipe"]["path"]
                .as_str()
                .or_else(|| value["envoy_internal_address"]["server_listener_name"].as_str());
            (format!("unix://{}", path.unwrap_or_default()), 0)
        }
    }
}

fn with_port(address: &str, port: u64) -> String {
    match port {
        0 => address.to_owned(),
        _ if address.contains(':') => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

/// The status that EDS gave; a failed check counts before it.
fn health(host: &Value) -> String {
    let status = &host["health_status"];
    if status["failed_active_health_check"] == true {
        return "UNHEALTHY".into();
    }
    match status["eds_health_status"].as_str() {
        None | Some("UNKNOWN") => "HEALTHY".into(),
        Some(other) => other.to_owned(),
    }
}

fn outlier(host: &Value) -> &'static str {
    if host["health_status"]["failed_outlier_check"] == true { "FAILED" } else { "OK" }
}
