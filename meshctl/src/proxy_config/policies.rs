//! Authorization policies of a proxy, as its RBAC filters name them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::dump::Dump;
use crate::render::Table;

/// `ACTION, AuthorizationPolicy, RULES`.
pub fn authorization(dump: &Dump) -> String {
    let mut table = Table::wide(&["ACTION", "AuthorizationPolicy", "RULES"]);
    for ((action, policy), count) in rules(dump) {
        table.row([action, policy, count.to_string()]);
    }
    table.to_string()
}

/// The names of all policies, each once.
pub fn policies(dump: &Dump) -> Vec<String> {
    let mut names: Vec<String> = rules(dump).into_keys().map(|(_, policy)| policy).collect();
    names.sort();
    names.dedup();
    names
}

/// How many rules by action and policy. Every listener has the same filters, so a rule counts once.
fn rules(dump: &Dump) -> BTreeMap<(String, String), usize> {
    let mut seen = BTreeSet::new();
    for listener in dump.listeners() {
        collect(listener, &mut seen);
    }
    let mut rules: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (action, _, policy) in seen {
        *rules.entry((action, policy)).or_default() += 1;
    }
    rules
}

/// Every RBAC filter below a value: HTTP filters and network filters look the same from inside.
fn collect(value: &Value, seen: &mut BTreeSet<(String, String, String)>) {
    if value["@type"].as_str().is_some_and(|name| name.contains(".rbac.v3.RBAC")) {
        for (key, shadow) in [("rules", ""), ("shadow_rules", " (dry-run)")] {
            let action = value[key]["action"].as_str().unwrap_or("ALLOW");
            for (rule, _) in value[key]["policies"].as_object().into_iter().flatten() {
                let name = format!("{}{shadow}", policy(rule));
                seen.insert((action.to_owned(), rule.clone(), name));
            }
        }
        return;
    }
    match value {
        Value::Object(map) => map.values().for_each(|value| collect(value, seen)),
        Value::Array(list) => list.iter().for_each(|value| collect(value, seen)),
        _ => {}
    }
}

/// `ns[default]-policy[allow-all]-rule[0]` is a rule of `allow-all.default`.
fn policy(name: &str) -> String {
    let part = |word: &str| {
        let (_, rest) = name.split_once(&format!("{word}["))?;
        rest.split_once(']').map(|(text, _)| text)
    };
    match (part("ns"), part("policy")) {
        (Some(namespace), Some(policy)) => format!("{policy}.{namespace}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_by_policy() {
        let dump = Dump::read(
            r#"{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [{"active_state":
            {"listener": {"filter_chains": [{"filters": [{"typed_config": {"http_filters": [{"typed_config": {
              "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
              "rules": {"action": "DENY", "policies": {"ns[a]-policy[p]-rule[0]": {}, "ns[a]-policy[p]-rule[1]": {}}}}}]}}]}]}}}]}]}"#,
        )
        .unwrap();
        let rows = authorization(&dump);
        let cells: Vec<&str> = rows.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["DENY", "p.a", "2"]);
    }
}
