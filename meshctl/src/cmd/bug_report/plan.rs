//! What is fetched of which pod, and under which name it stands in the archive. Pure.
//!
//! In: pods as an API server shows them. Out: a list of wishes. Pods of the control plane give their logs and debug pages,
//! pods with a proxy that proxy's log and admin pages.

use serde_json::Value;

use crate::client::{Lines, Pod};

/// Folder that everything is in.
pub(super) const ROOT: &str = "bug-report";
/// Port of pilot's debug pages.
const PILOT: u16 = 8080;
/// The most of a log.
const LOG_BYTES: u64 = 32 << 20;
/// Pages below `/debug`; secrets are in none of them.
const PILOT_PAGES: [&str; 9] = [
    "syncz",
    "configz",
    "registryz",
    "endpointz",
    "endpointShardz",
    "connections",
    "findings",
    "cachez",
    "inject",
];
/// File and page of a proxy; private keys are in none of them.
const PROXY_PAGES: [(&str, &str); 10] = [
    ("config_dump", "/config_dump?include_eds"),
    ("clusters", "/clusters"),
    ("clusters.json", "/clusters?format=json"),
    ("listeners", "/listeners?format=json"),
    ("certs", "/certs"),
    ("memory", "/memory"),
    ("ready", "/ready"),
    ("server_info", "/server_info"),
    ("stats", "/stats"),
    ("stats_prometheus", "/stats/prometheus"),
];

/// One file of the archive.
pub(super) struct Wish {
    pub(super) file: String,
    pub(super) pod: Pod,
    pub(super) how: How,
}

/// How it is had.
pub(super) enum How {
    Page { port: u16, path: String },
    Logs(Lines),
}

/// What is told of logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLimits {
    pub(super) since: Option<u64>,
    pub(super) tail: u64,
}

/// Everything of one pod.
pub(super) fn of_pod(value: &Value, system: &str, admin: Option<u16>, limits: LogLimits) -> Vec<Wish> {
    let pod = Pod::read(value);
    let mut wishes = Vec::new();
    if pod.namespace == system && pod.is_pilot() {
        let folder = format!("{ROOT}/istio/{}/{}", pod.namespace, pod.name);
        logs(value, &pod, &folder, None, limits, &mut wishes);
        let mut page = |file: String, path: String| {
            wishes.push(Wish { file, pod: pod.clone(), how: How::Page { port: PILOT, path } });
        };
        PILOT_PAGES.iter().for_each(|name| page(format!("{folder}/debug/{name}"), format!("/debug/{name}")));
        page(format!("{folder}/metrics"), "/metrics".to_owned());
        page(format!("{folder}/version"), "/version".to_owned());
    }
    if pod.meshed {
        let folder = format!("{ROOT}/proxies/{}/{}", pod.namespace, pod.name);
        logs(value, &pod, &folder, Some("istio-proxy"), limits, &mut wishes);
        for (file, path) in PROXY_PAGES.iter().filter(|_| admin.is_some()) {
            let how = How::Page { port: admin.unwrap_or_default(), path: (*path).to_owned() };
            wishes.push(Wish { file: format!("{folder}/{file}"), pod: pod.clone(), how });
        }
    }
    wishes
}

/// The logs of a container, or of all; and those of the run before, if there was one.
fn logs(
    value: &Value,
    pod: &Pod,
    folder: &str,
    only: Option<&str>,
    limits: LogLimits,
    wishes: &mut Vec<Wish>,
) {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let states = lists.iter().flat_map(|list| value["status"][*list].as_array().into_iter().flatten());
    for state in states {
        let Some(name) = state["name"].as_str().filter(|name| only.is_none_or(|only| only == *name)) else {
            continue;
        };
        let restarted = state["restartCount"].as_u64().is_some_and(|count| count > 0);
        for previous in [false, true].into_iter().filter(|previous| !previous || restarted) {
            let lines = Lines {
                container: name.to_owned(),
                previous,
                since: limits.since,
                tail: Some(limits.tail),
                bytes: Some(LOG_BYTES),
            };
            let suffix = if previous { "-previous" } else { "" };
            let file = format!("{folder}/{name}{suffix}.log");
            wishes.push(Wish { file, pod: pod.clone(), how: How::Logs(lines) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn files(value: &Value, admin: Option<u16>) -> Vec<String> {
        let limits = LogLimits { since: None, tail: 10 };
        of_pod(value, "istio-system", admin, limits).into_iter().map(|wish| wish.file).collect()
    }

    #[test]
    fn pilots_and_proxies() {
        let pilot = json!({"metadata": {"namespace": "istio-system", "name": "istiod-x", "labels": {"app": "istiod"}},
            "status": {"containerStatuses": [{"name": "discovery", "restartCount": 1}]}});
        let all = files(&pilot, Some(15000));
        assert_eq!(all[0], "bug-report/istio/istio-system/istiod-x/discovery.log");
        assert_eq!(all[1], "bug-report/istio/istio-system/istiod-x/discovery-previous.log");
        assert!(all.contains(&"bug-report/istio/istio-system/istiod-x/debug/syncz".to_owned()));
        let app = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"initContainers": [{"name": "istio-proxy"}]},
            "status": {"containerStatuses": [{"name": "app"}], "initContainerStatuses": [{"name": "istio-proxy"}]}});
        assert_eq!(files(&app, None), ["bug-report/proxies/shop/web/istio-proxy.log"]);
        assert!(files(&app, Some(15000)).contains(&"bug-report/proxies/shop/web/config_dump".to_owned()));
        assert!(files(&json!({"metadata": {"namespace": "shop", "name": "bare"}}), Some(15000)).is_empty());
    }
}
