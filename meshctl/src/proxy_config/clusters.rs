//! Clusters of a proxy: `SERVICE FQDN, PORT, SUBSET, DIRECTION, TYPE, DESTINATION RULE`.

use anyhow::Result;
use serde_json::Value;

use super::dump::{Dump, Form, messages, origin};
use crate::render::Table;

/// `--fqdn`, `--port`, `--subset`, `--direction`: empty or zero matches all.
#[derive(Clone, Debug, Default)]
pub struct ClusterFilter {
    pub fqdn: String,
    pub port: u16,
    pub subset: String,
    pub direction: String,
}

/// A cluster's name in its parts: `DIRECTION|PORT|SUBSET|HOST`. Other names are a host alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parts {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) subset: String,
    pub(super) direction: String,
}

pub(super) fn parts(name: &str) -> Parts {
    let fields: Vec<&str> = name.split('|').collect();
    match fields.as_slice() {
        [direction, port, subset, host] => Parts {
            host: (*host).to_owned(),
            port: port.parse().unwrap_or_default(),
            subset: (*subset).to_owned(),
            direction: (*direction).to_owned(),
        },
        _ => Parts { host: name.to_owned(), ..Parts::default() },
    }
}

impl ClusterFilter {
    fn matches(&self, parts: &Parts) -> bool {
        (self.fqdn.is_empty() || parts.host.contains(&self.fqdn))
            && (self.port == 0 || parts.port == self.port)
            && (self.subset.is_empty() || parts.subset == self.subset)
            && (self.direction.is_empty() || parts.direction.eq_ignore_ascii_case(&self.direction))
    }
}

/// The table, or the messages.
///
/// # Errors
/// A message cannot be printed.
pub fn clusters(dump: &Dump, filter: &ClusterFilter, form: Form) -> Result<String> {
    let mut found: Vec<(Parts, &Value)> = dump
        .clusters()
        .into_iter()
        .map(|cluster| (parts(cluster["name"].as_str().unwrap_or_default()), cluster))
        .filter(|(parts, _)| filter.matches(parts))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    if form != Form::Short {
        let list: Vec<&Value> = found.iter().map(|(_, cluster)| *cluster).collect();
        return messages("envoy.config.cluster.v3.Cluster", &list, form);
    }
    let mut table = Table::wide(&["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]);
    for (parts, cluster) in found {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let host =
            if parts.host.is_empty() && !parts.direction.is_empty() { String::new() } else { parts.host };
        table.row([
            host,
            if parts.port == 0 { "-".into() } else { parts.port.to_string() },
            or_dash(parts.subset),
            or_dash(parts.direction),
            discovery(cluster),
            origin(cluster, "destination-rule").unwrap_or_default(),
        ]);
    }
    Ok(table.to_string())
}

fn discovery(cluster: &Value) -> String {
    let named = cluster["type"].as_str().or_else(|| cluster["cluster_type"]["name"].as_str());
    named.unwrap_or("STATIC").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        let parts = parts("outbound|9080|v1|reviews.default.svc.cluster.local");
        assert_eq!((parts.port, parts.subset.as_str()), (9080, "v1"));
        assert_eq!(super::parts("BlackHoleCluster").host, "BlackHoleCluster");
    }

    #[test]
    fn the_table_is_istioctls() {
        let dump = Dump::read(
            r#"{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "static_clusters":[{"cluster":{"name":"BlackHoleCluster"}}],
            "dynamic_active_clusters":[{"cluster":{"name":"outbound|9080|v1|a.b","type":"EDS","metadata":{"filter_metadata":
            {"istio":{"config":"/apis/networking.istio.io/v1/namespaces/default/destination-rule/a"}}}}}]}]}"#,
        )
        .unwrap();
        let table = clusters(&dump, &ClusterFilter::default(), Form::Short).unwrap();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["BlackHoleCluster", "-", "-", "-", "STATIC"]);
        assert_eq!(lines[2], ["a.b", "9080", "v1", "outbound", "EDS", "a.default"]);
        let filter = ClusterFilter { fqdn: "a.b".into(), ..ClusterFilter::default() };
        assert_eq!(clusters(&dump, &filter, Form::Short).unwrap().lines().count(), 2);
    }
}
