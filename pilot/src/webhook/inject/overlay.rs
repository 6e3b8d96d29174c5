//! Strategic merge of a partial pod over a pod, as the API server merges patches of pods.
//!
//! In: a pod, and what is laid over it. Out: the merged pod. Lists of containers, volumes, variables and the like are
//! merged by name, other lists are replaced; null removes; `$patch: delete` and `replace` work. Items that are new come
//! before those that the overlay does not name, since that is how Kubernetes orders them.

use serde_json::{Map, Value};

/// By what items of a list are the same. The name of a list says it, inside of a pod.
fn key_of(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "schedulingGates"
        | "resourceClaims" => "name",
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        "ownerReferences" => "uid",
        _ => return None,
    })
}

/// Lays `over` on `base`.
pub(super) fn overlay(base: &mut Value, over: &Value) {
    if let (Value::Object(base), Value::Object(over)) = (&mut *base, over) {
        mappings(base, over);
    } else {
        *base = clean(over);
    }
}

fn mappings(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    match over.get("$patch").and_then(Value::as_str) {
        Some("replace") => base.clear(),
        Some("delete") => return base.clear(),
        _ => {}
    }
    for (key, value) in over {
        if key == "$patch" {
            continue;
        }
        match (base.get_mut(key), value) {
            (_, Value::Null) => {
                base.shift_remove(key);
            }
            (Some(Value::Array(old)), Value::Array(new)) => match key_of(key) {
                Some(name) => lists(old, new, name),
                None if key == "finalizers" => {
                    let fresh: Vec<Value> = new.iter().filter(|item| !old.contains(item)).cloned().collect();
                    old.extend(fresh);
                }
                None => *old = new.iter().map(clean).collect(),
            },
            (Some(old), value) => overlay(old, value),
            (None, value) => {
                base.insert(key.clone(), clean_list(key, value));
            }
        }
    }
}

/// Merges item by item.
fn lists(old: &mut Vec<Value>, new: &[Value], key: &str) {
    let same = |a: &Value, b: &Value| a.get(key).is_some() && a.get(key) == b.get(key);
    let before = old.clone();
    let mut merged = std::mem::take(old);
    let mut named: Vec<&Value> = Vec::new();
    for item in new {
        match item.get("$patch").and_then(Value::as_str) {
            Some("delete") => {
                merged.retain(|other| !same(other, item));
                continue;
            }
            Some("replace") if item.get(key).is_none() => {
                merged.clear();
                continue;
            }
            _ => {}
        }
        if !named.iter().any(|other| same(other, item)) {
            named.push(item);
        }
        match merged.iter_mut().find(|other| same(other, item)) {
            Some(other) => overlay(other, item),
            None => merged.push(clean(item)),
        }
    }
    // What the overlay names, in its order; among it what it does not name, where it stood before.
    let place = |item: &Value| before.iter().position(|other| same(other, item));
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        if named.iter().any(|other| same(other, &item)) { ours.push(item) } else { others.push(item) }
    }
    ours.sort_by_key(|item| named.iter().position(|other| same(other, item)));
    let mut others = others.into_iter().peekable();
    for item in ours {
        if let Some(at) = place(&item) {
            while let Some(other) = others.next_if(|other| place(other).is_some_and(|other| other < at)) {
                old.push(other);
            }
        }
        old.push(item);
    }
    old.extend(others);
}

/// A list that is all new still has each of its items once.
fn clean_list(name: &str, value: &Value) -> Value {
    match (key_of(name), value) {
        (Some(key), Value::Array(new)) => {
            let mut made = Vec::new();
            lists(&mut made, new, key);
            Value::Array(made)
        }
        _ => clean(value),
    }
}

/// Without nulls and directives.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut made = Map::new();
            mappings(&mut made, map);
            Value::Object(made)
        }
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(base: Value, over: &Value) -> Value {
        let mut base = base;
        overlay(&mut base, over);
        base
    }

    #[test]
    fn by_name_and_in_order() {
        let base = json!({"spec": {"containers": [{"name": "app", "image": "a"}, {"name": "p", "args": ["x"], "env": [
            {"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]}], "tolerations": [{"key": "k"}]}});
        let over = json!({"spec": {"containers": [{"name": "new"}, {"name": "p", "args": ["y"], "env": [
            {"name": "C", "value": "3"}, {"name": "B", "valueFrom": null, "value": "2"}]}], "tolerations": []}});
        assert_eq!(
            merged(base, &over),
            json!({"spec": {"containers": [{"name": "new"}, {"name": "app", "image": "a"}, {"name": "p", "args": ["y"],
                "env": [{"name": "C", "value": "3"}, {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}],
                "tolerations": []}})
        );
    }

    #[test]
    fn removals_and_replacements() {
        let base = json!({"volumes": [{"name": "a"}, {"name": "b"}], "m": {"x": 1}, "n": {"y": 1}, "l": 1});
        let over = json!({"volumes": [{"name": "a", "$patch": "delete"}], "m": {"$patch": "replace", "z": null, "w": 2},
            "n": {"y": null}, "l": null, "fresh": {"a": null}});
        assert_eq!(
            merged(base, &over),
            json!({"volumes": [{"name": "b"}], "m": {"w": 2}, "n": {}, "fresh": {}})
        );
    }

    #[test]
    fn one_of_each_name() {
        let over = json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]});
        assert_eq!(merged(json!({}), &over), json!({"env": [{"name": "A", "value": "2"}]}));
    }
}
