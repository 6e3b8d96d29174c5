//! `proxy-status POD`: what pilot says against what a proxy has.
//!
//! In: two dumps. Out: a line per type that matches, a line diff of the messages where they do not.

use serde_json::Value;

use super::dump::{Dump, camel};
use crate::render::diff;

/// One type and its messages.
struct Side {
    title: &'static str,
    type_name: &'static str,
    list: fn(&Dump) -> Vec<&Value>,
}

const SIDES: [Side; 3] = [
    Side { title: "Clusters", type_name: "envoy.config.cluster.v3.Cluster", list: Dump::dynamic_clusters },
    Side {
        title: "Listeners",
        type_name: "envoy.config.listener.v3.Listener",
        list: Dump::dynamic_listeners,
    },
    Side {
        title: "Routes",
        type_name: "envoy.config.route.v3.RouteConfiguration",
        list: Dump::dynamic_routes,
    },
];

/// The comparison as text.
pub fn compare(pilot: &Dump, proxy: &Dump) -> String {
    let mut out = String::new();
    for side in SIDES {
        let (said, held) = (ordered(&side, pilot), ordered(&side, proxy));
        let title = side.title;
        if said == held {
            let loaded = proxy.routes_loaded().filter(|_| title == "Routes");
            let when = loaded.map(|time| format!(" (RDS last loaded at {time})")).unwrap_or_default();
            out.push_str(&format!("{title} Match{when}\n"));
            continue;
        }
        out.push_str(&format!("{title} Don't Match\n--- Istiod {title}\n+++ Envoy {title}\n"));
        out.push_str(&diff(&lines(&said), &lines(&held)));
    }
    out
}

fn ordered(side: &Side, dump: &Dump) -> Vec<Value> {
    let mut list: Vec<Value> =
        (side.list)(dump).into_iter().map(|message| camel(side.type_name, message)).collect();
    list.sort_by_key(|message| message["name"].as_str().unwrap_or_default().to_owned());
    list
}

fn lines(list: &[Value]) -> String {
    serde_json::to_string_pretty(&list).expect("JSON values have string keys only")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(timeout: &str) -> Dump {
        Dump::read(&format!(
            r#"{{"configs": [{{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "static_clusters": [{{"cluster": {{"name": "own"}}}}],
            "dynamic_active_clusters": [{{"cluster": {{"name": "a", "connect_timeout": "{timeout}"}}}}]}}]}}"#
        ))
        .unwrap()
    }

    #[test]
    fn equal_and_different() {
        assert_eq!(compare(&dump("1s"), &dump("1s")), "Clusters Match\nListeners Match\nRoutes Match\n");
        let text = compare(&dump("1s"), &dump("2s"));
        assert!(
            text.starts_with("Clusters Don't Match\n--- Istiod Clusters\n+++ Envoy Clusters\n"),
            "{text}"
        );
        assert!(
            text.contains("-    \"connectTimeout\": \"1s\"\n+    \"connectTimeout\": \"2s\"\n"),
            "{text}"
        );
        assert!(!text.contains("own"), "{text}");
    }
}
