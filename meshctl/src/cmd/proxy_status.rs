//! `meshctl proxy-status`: who is connected to the control plane, and whether each has what it should have.
//!
//! In: `/debug/syncz` of every pilot, and for one pod what its pilot would send it and what its proxy holds. Out: the
//! table, or the difference of the two.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::printed::Printed;
use super::xds::Xds;
use crate::client::{Mesh, Method};
use crate::globals::{Globals, Short};
use crate::proxy_config::{Dump, Form, compare, text};
use crate::render::Table;

/// Show which proxies are connected, and whether they are up to date
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl proxy-status\n  \
    meshctl ps -v 1\n  \
    meshctl ps deploy/productpage-v1      what pilot would send against what the proxy has")]
pub struct ProxyStatus {
    /// [TYPE/]POD[.NAMESPACE]: compare what pilot says with what this proxy has
    pod: Option<String>,
    /// table, json or yaml
    #[arg(short, long, value_name = "FORM", default_value = "table", hide_default_value = true)]
    output: Form,
    /// 1: a column per resource type
    #[arg(short, long, value_name = "0|1", default_value_t = 0, hide_default_value = true)]
    verbosity: u8,
    /// The proxy's config dump is in this file
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<String>,
    /// Only proxies of this control plane revision
    #[arg(long, value_name = "REVISION", hide_short_help = true)]
    revision: Option<String>,
    #[command(flatten)]
    xds: Xds,
    #[command(flatten)]
    flags: Short,
}

/// One connected proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) proxy: String,
    pub(super) cluster: String,
    pub(super) version: String,
    pub(super) istiod: String,
    /// Column, and how it stands.
    pub(super) types: Vec<(&'static str, String)>,
}

/// Column and word of each type in pilot's answer.
const TYPES: [(&str, &str); 5] = [
    ("CDS", "cluster"),
    ("LDS", "listener"),
    ("EDS", "endpoint"),
    ("RDS", "route"),
    ("ECDS", "extensionconfig"),
];

const NOT_SENT: &str = "NOT SENT";

/// What every pilot says of its proxies, by name and then pilot. A proxy that has just changed pilots is the newer one's.
pub(super) fn entries(mesh: &Mesh) -> Result<Vec<Value>> {
    let pages = mesh.pilots_page("/debug/syncz")?;
    merged(pages.iter().map(|(pod, page)| (pod.name.as_str(), page.as_str())))
}

fn merged<'a>(pages: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<Value>> {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for (pilot, page) in pages {
        let list: Vec<Value> = serde_json::from_str(page).context("pilot's /debug/syncz is no JSON list")?;
        for mut entry in list {
            if entry["istiod"].as_str().is_none_or(str::is_empty) {
                entry["istiod"] = pilot.into();
            }
            let since = |entry: &Value| entry["connected_at"].as_i64().unwrap_or_default();
            let key = entry["proxy"].as_str().unwrap_or_default().to_owned();
            match known.get(&key) {
                Some(other) if since(other) > since(&entry) => {}
                _ => drop(known.insert(key, entry)),
            }
        }
    }
    Ok(known.into_values().collect())
}

/// Each of them in words.
pub(super) fn states(entries: &[Value]) -> Vec<State> {
    entries.iter().map(state).collect()
}

fn state(entry: &Value) -> State {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let types = TYPES.iter().map(|(column, word)| {
        let (sent, acked) = (text(&format!("{word}_sent")), text(&format!("{word}_acked")));
        let said = &entry["types"][*column];
        let status = match (said["status"].as_str(), sent.is_empty(), sent == acked) {
            // Our pilot says it itself, and also why something was refused.
            (Some("NOT SUBSCRIBED"), ..) => "IGNORED".to_owned(),
            (Some(status), ..) => status.to_owned(),
            (None, true, _) => NOT_SENT.to_owned(),
            (None, false, true) => "SYNCED".to_owned(),
            (None, false, false) => "STALE".to_owned(),
        };
        let age = said["last_sent"].as_i64().filter(|time| *time > 0 && status == "SYNCED").map(age);
        (*column, age.map_or(status.clone(), |age| format!("{status} ({age})")))
    });
    let version = Some(text("istio_version")).filter(|version| !version.is_empty());
    State {
        proxy: text("proxy"),
        cluster: text("cluster_id"),
        version: version.unwrap_or_else(|| text("proxy_version")),
        istiod: text("istiod"),
        types: types.collect(),
    }
}

/// How long ago a time (seconds since 1970) was, as kubectl writes it: `42s`, `5m`, `3h`, `2d`.
fn age(then: i64) -> String {
    let seconds = jiff::Timestamp::now().as_second().saturating_sub(then).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Runs it.
///
/// # Errors
/// No mesh, no such pod, or no answer.
pub fn run(args: &ProxyStatus, globals: &Globals) -> Result<Printed> {
    let mesh = args.xds.on(Mesh::find(&globals.with(&args.flags))?)?.revision(args.revision.as_deref());
    if let Some(pod) = &args.pod {
        let pod = mesh.proxy(pod)?;
        let own = match &args.file {
            Some(file) => super::proxy_config::read(file)?,
            None => mesh.admin(&pod, Method::Get, "/config_dump?include_eds")?,
        };
        let said = mesh.pilot(&format!("/debug/config_dump?proxyID={}", pod.full()))?;
        let said = Dump::read(&said).context("pilot's dump")?;
        return Ok(Printed::out(compare(&said, &Dump::read(&own)?)));
    }
    let mut list = entries(&mesh)?;
    if globals.namespace.is_some() {
        let end = format!(".{}", globals.namespace());
        list.retain(|entry| entry["proxy"].as_str().is_some_and(|proxy| proxy.ends_with(&end)));
    }
    if args.output != Form::Short {
        return Ok(Printed::out(text(&Value::Array(list), args.output)?));
    }
    let all = states(&list);
    Ok(Printed::out(if args.verbosity == 0 { brief(&all) } else { verbose(&all) }))
}

fn brief(states: &[State]) -> String {
    let mut table = Table::wide(&["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"]);
    for state in states {
        let sent = state.types.iter().filter(|(_, status)| status != NOT_SENT && status != "IGNORED");
        let names: Vec<&str> = sent.map(|(name, _)| *name).collect();
        let types = format!("{} ({})", names.len(), names.join(","));
        table.row([&state.proxy, &state.cluster, &state.istiod, &state.version, &types]);
    }
    table.to_string()
}

fn verbose(states: &[State]) -> String {
    let mut header = vec!["NAME", "CLUSTER", "ISTIOD", "VERSION"];
    header.extend(TYPES.iter().map(|(column, _)| *column));
    let mut table = Table::wide(&header);
    for state in states {
        let mut row = vec![state.proxy.as_str(), &state.cluster, &state.istiod, &state.version];
        row.extend(state.types.iter().map(|(_, status)| status.as_str()));
        table.row(row);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"[
      {"cluster_id": "Kubernetes", "proxy": "b-1.default", "proxy_type": "sidecar", "istio_version": "0.1.0",
       "cluster_sent": "n1", "cluster_acked": "n1", "listener_sent": "n2", "listener_acked": "n1",
       "endpoint_sent": "n3", "endpoint_acked": "n3",
       "types": {"RDS": {"status": "NOT SUBSCRIBED"}, "ECDS": {"status": "SYNCED", "last_sent": 1000}}},
      {"cluster_id": "Kubernetes", "proxy": "a-1.default", "proxy_version": "1.40.0", "cluster_sent": "n1"}
    ]"#;

    #[test]
    fn tables() {
        let all = states(&merged([("istiod-x", PAGE)].into_iter()).unwrap());
        let cells = |text: String| -> Vec<Vec<String>> {
            text.lines()
                .map(|line| line.split("  ").map(|c| c.trim().to_owned()).filter(|c| !c.is_empty()).collect())
                .collect()
        };
        let rows = cells(brief(&all));
        assert_eq!(rows[0], ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"]);
        assert_eq!(rows[1], ["a-1.default", "Kubernetes", "istiod-x", "1.40.0", "1 (CDS)"]);
        assert_eq!(rows[2], ["b-1.default", "Kubernetes", "istiod-x", "0.1.0", "4 (CDS,LDS,EDS,ECDS)"]);
        let rows = cells(verbose(&all));
        assert_eq!(rows[1][4..], ["STALE", "NOT SENT", "NOT SENT", "NOT SENT", "NOT SENT"]);
        assert_eq!(rows[2][4..8], ["SYNCED", "STALE", "SYNCED", "IGNORED"]);
        assert!(rows[2][8].starts_with("SYNCED (") && rows[2][8].ends_with("d)"), "{rows:?}");
    }

    #[test]
    fn a_proxy_belongs_to_the_pilot_that_it_came_to_last() {
        let old = r#"[{"proxy": "a.x", "connected_at": 10}, {"proxy": "b.x", "connected_at": 30}]"#;
        let new = r#"[{"proxy": "a.x", "connected_at": 20}, {"proxy": "b.x", "connected_at": 25}]"#;
        let all = states(&merged([("p1", old), ("p2", new)].into_iter()).unwrap());
        let pilots: Vec<(&str, &str)> = all.iter().map(|s| (s.proxy.as_str(), s.istiod.as_str())).collect();
        assert_eq!(pilots, [("a.x", "p2"), ("b.x", "p1")]);
    }
}
