//! Routes of a proxy: `NAME, VHOST NAME, DOMAINS, MATCH, VIRTUAL SERVICE`.

use anyhow::Result;
use serde_json::Value;

use super::dump::{Dump, Form, messages, origin};
use crate::render::Table;

/// `--name`, and `--verbose=false`.
#[derive(Clone, Debug)]
pub struct RouteFilter {
    pub name: String,
    pub verbose: bool,
}

impl Default for RouteFilter {
    fn default() -> Self {
        Self { name: String::new(), verbose: true }
    }
}

/// The table, or the messages.
///
/// # Errors
/// A message cannot be printed.
pub fn routes(dump: &Dump, filter: &RouteFilter, form: Form) -> Result<String> {
    let name = |route: &Value| route["name"].as_str().unwrap_or_default().to_owned();
    let mut found = dump.routes();
    found.retain(|route| filter.name.is_empty() || name(route) == filter.name);
    // Ports first, in their order, then names.
    found.sort_by_key(|route| (name(route).parse::<u16>().unwrap_or(u16::MAX), name(route)));
    if form != Form::Short {
        return messages("envoy.config.route.v3.RouteConfiguration", &found, form);
    }
    if !filter.verbose {
        let mut table = Table::wide(&["NAME", "VIRTUAL HOSTS"]);
        for route in found {
            let hosts = route["virtual_hosts"].as_array().map_or(0, Vec::len);
            table.row([name(route), hosts.to_string()]);
        }
        return Ok(table.to_string());
    }
    let mut table = Table::wide(&["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]);
    for route in found {
        let mut hosts: Vec<&Value> = route["virtual_hosts"].as_array().into_iter().flatten().collect();
        hosts.sort_by_key(|host| host["name"].as_str().unwrap_or_default().to_owned());
        for host in &hosts {
            for rule in host["routes"].as_array().into_iter().flatten().filter(|rule| !passes(rule)) {
                table.row([
                    name(route),
                    text(&host["name"]),
                    domains(host),
                    describe(rule),
                    service(host, rule),
                ]);
            }
        }
        if hosts.is_empty() {
            table.row([name(route), String::new(), "*".into(), "/*".into(), "404".into()]);
        }
    }
    Ok(table.to_string())
}

/// Lets what nobody knows pass as it came: in every table of a sidecar, so it says nothing.
fn passes(rule: &Value) -> bool {
    rule["route"]["cluster"] == "PassthroughCluster"
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The first two domains that people would type, and how many more there are.
fn domains(host: &Value) -> String {
    let all: Vec<&str> = host["domains"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let bare = |domain: &&str| !domain.contains(':') || domain.ends_with(']');
    let plain: Vec<&str> = all.iter().copied().filter(bare).collect();
    // Longer spellings say nothing more than the shorter ones beside them.
    let longer = |domain: &str| {
        let endings = [".svc.cluster.local", ".svc", "."];
        endings.iter().any(|end| domain.strip_suffix(end).is_some_and(|short| plain.contains(&short)))
    };
    let mut short: Vec<&str> = plain.iter().copied().filter(|domain| !longer(domain)).collect();
    let is_address = |domain: &str| domain.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    short.sort_by_key(|domain| (is_address(domain), domain.len()));
    let shown = if short.is_empty() { all } else { short };
    match shown.as_slice() {
        [first, second, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second} + {} more...", rest.len())
        }
        few => few.join(", "),
    }
}

/// The path with `*` after a prefix, then what else must hold.
pub(super) fn describe(rule: &Value) -> String {
    let found = &rule["match"];
    let mut words = Vec::new();
    if let Some(prefix) = found["prefix"].as_str() {
        words.push(format!("{prefix}*"));
    } else if let Some(path) = found["path"].as_str() {
        words.push(path.to_owned());
    } else if let Some(prefix) = found["path_separated_prefix"].as_str() {
        words.push(format!("PathPrefix:{prefix}"));
    } else if let Some(regex) = found["safe_regex"]["regex"].as_str() {
        words.push(format!("regex {regex}"));
    }
    if found["case_sensitive"] == false {
        words.push("ignore case".into());
    }
    for header in found["headers"].as_array().into_iter().flatten() {
        words.push(condition(header));
    }
    for query in found["query_parameters"].as_array().into_iter().flatten() {
        words.push(format!("?{}", text(&query["name"])));
    }
    words.join(" ")
}

fn condition(header: &Value) -> String {
    let name = text(&header["name"]);
    let not = if header["invert_match"] == true { "!" } else { "" };
    let matcher = &header["string_match"];
    for (field, sign) in [("exact", "="), ("prefix", "^="), ("suffix", "$="), ("contains", "*=")] {
        if let Some(value) = matcher[field].as_str() {
            return format!("{not}{name}{sign}{value}");
        }
    }
    match matcher["safe_regex"]["regex"].as_str() {
        Some(regex) => format!("{not}{name}~{regex}"),
        None => format!("{not}{name}"),
    }
}

/// The object behind a rule; `404` for a virtual host that only refuses.
fn service(host: &Value, rule: &Value) -> String {
    if let Some(object) = origin(rule, "virtual-service") {
        return object;
    }
    let refused = rule["direct_response"]["status"].as_u64();
    match refused {
        Some(status) if text(&host["name"]).starts_with("blackhole") => status.to_string(),
        _ => String::new(),
    }
}
