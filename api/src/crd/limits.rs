//! What a type cannot say: required fields, ranges, lengths, which fields exclude each other, rules in CEL.
//!
//! One table per kind, one row per place. The limits are Istio's, so that an API server refuses and accepts the same
//! objects; the rules and their messages are written here. Whatever an API server cannot check is left to `valid`,
//! which says everything with more words. Lengths are there because Kubernetes bounds the cost of rules by them.

use serde_json::{Map, Value, json};

use super::table;
use crate::kind::Kind;

/// One limit of one place.
pub(super) enum Limit {
    Required(&'static [&'static str]),
    /// At most one of these fields is set.
    OneOf(&'static [&'static str]),
    /// Length of a text: at least, at most (0: no limit).
    Length(u64, u64),
    /// Number of entries of a list.
    Items(u64, u64),
    /// Number of keys of a mapping.
    Keys(u64, u64),
    Range(i64, i64),
    AtLeast(i64),
    Pattern(&'static str),
    /// An expression that must be true, and what to say when it is not.
    Rule(&'static str, &'static str),
    /// The list is a mapping by this field.
    KeyedBy(&'static str),
    /// The second field under another name, which Istio's text form also knows.
    Alias(&'static str, &'static str),
    /// A duration without a rule: it may be 0, or there is no budget for the rule.
    AnyDuration,
}

/// A place of a schema and its limits. `**.x` is `x` wherever it stands.
pub(super) type Row = (&'static str, &'static [Limit]);

/// Puts the limits of a place on its schema.
pub(super) fn apply(kind: Kind, path: &str, node: &mut Map<String, Value>) {
    for limit in table::tables(kind).flat_map(|(place, rows)| found(place, rows, path)) {
        put(limit, node);
    }
}

/// Limits of rows that name the path, where the rows count from `place`.
fn found<'a>(
    place: &'a str,
    rows: &'static [Row],
    path: &'a str,
) -> impl Iterator<Item = &'static Limit> + use<'a> {
    let inner = match place {
        "" => Some(path),
        place => path.strip_prefix(place).and_then(|rest| match rest {
            "" => Some(""),
            rest => rest.strip_prefix('.'),
        }),
    };
    rows.iter()
        .filter(move |(pattern, _)| inner.is_some_and(|path| names(pattern, path)))
        .flat_map(|(_, limits)| *limits)
}

/// Whether a pattern names a path.
fn names(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix("**.") {
        Some(end) => path == end || path.strip_suffix(end).is_some_and(|front| front.ends_with('.')),
        None => pattern == path,
    }
}

fn put(limit: &Limit, node: &mut Map<String, Value>) {
    let bounds = |node: &mut Map<String, Value>, low: &str, high: &str, least: u64, most: u64| {
        if least > 0 {
            node.insert(low.into(), json!(least));
        }
        if most > 0 {
            node.insert(high.into(), json!(most));
        }
    };
    match limit {
        Limit::Required(fields) => {
            node.insert("required".into(), json!(fields));
        }
        Limit::OneOf(fields) => one_of(node, fields),
        Limit::Length(least, most) => bounds(node, "minLength", "maxLength", *least, *most),
        Limit::Items(least, most) => bounds(node, "minItems", "maxItems", *least, *most),
        Limit::Keys(least, most) => bounds(node, "minProperties", "maxProperties", *least, *most),
        Limit::Range(least, most) => {
            node.insert("minimum".into(), json!(least));
            node.insert("maximum".into(), json!(most));
        }
        Limit::AtLeast(least) => {
            node.insert("minimum".into(), json!(least));
        }
        Limit::Pattern(pattern) => {
            node.insert("pattern".into(), json!(pattern));
        }
        Limit::Rule(expression, message) => rule(node, expression, message),
        Limit::KeyedBy(field) => {
            node.insert("x-kubernetes-list-type".into(), json!("map"));
            node.insert("x-kubernetes-list-map-keys".into(), json!([field]));
        }
        Limit::Alias(name, of) => {
            let fields = node.get_mut("properties").and_then(Value::as_object_mut);
            let fields = fields.expect("aliases are of structs");
            let same = fields.get(*of).expect("aliases are of fields").clone();
            fields.insert((*name).into(), same);
        }
        Limit::AnyDuration => {
            node.remove("x-kubernetes-validations");
        }
    }
}

/// Adds a rule to a place.
pub(super) fn rule(node: &mut Map<String, Value>, expression: &str, message: &str) {
    let rules = node.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
    let rules = rules.as_array_mut().expect("rules are a list");
    rules.push(json!({"rule": expression, "message": message}));
}

/// None or exactly one of the fields. The second such limit of a place makes both parts of `allOf`.
fn one_of(node: &mut Map<String, Value>, fields: &[&str]) {
    let each: Vec<Value> = fields.iter().map(|field| json!({"required": [field]})).collect();
    let mut choices = vec![json!({"not": {"anyOf": each}})];
    choices.extend(each.iter().cloned());
    match node.remove("oneOf") {
        Some(first) => {
            node.insert("allOf".into(), json!([{"oneOf": first}, {"oneOf": choices}]));
        }
        None => {
            node.insert("oneOf".into(), json!(choices));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::crd::definitions;
    use crate::kind::Family;

    /// Every place of a schema, counted from the spec.
    fn places(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        found.insert(path.to_owned());
        for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            places(field, &below, found);
        }
        if let Some(items) = schema.get("items") {
            places(items, &format!("{path}[]"), found);
        }
        if let Some(values) = schema.get("additionalProperties") {
            places(values, &format!("{path}.*"), found);
        }
    }

    fn spec(definition: &Value) -> &Value {
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    }

    #[test]
    fn every_row_names_a_place() {
        let mut unused: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut used = unused.clone();
        for definition in definitions() {
            let group = definition["spec"]["group"].as_str().unwrap();
            let kind = Kind::find(group, definition["spec"]["names"]["kind"].as_str().unwrap()).unwrap();
            let mut paths = BTreeSet::new();
            places(spec(&definition), "", &mut paths);
            for (place, rows) in table::tables(kind) {
                for (pattern, limits) in rows {
                    let one: &'static [Row] = std::slice::from_ref(
                        rows.iter().find(|(other, _)| other == pattern).expect("it is one of them"),
                    );
                    let hit = paths.iter().any(|path| found(place, one, path).count() == limits.len());
                    if hit {
                        used.insert((place, *pattern))
                    } else {
                        unused.insert((place, *pattern))
                    };
                }
            }
        }
        let dead: Vec<_> = unused.difference(&used).collect();
        assert!(dead.is_empty(), "{dead:?}");
    }

    /// The same name may be a struct's in one place and a list's in another; a limit must fit its place.
    #[test]
    fn limits_fit_their_places() {
        fn check(schema: &Value, path: &str, wrong: &mut Vec<String>) {
            let kind = schema["type"].as_str().unwrap_or_default();
            for (word, wanted) in [
                ("maxLength", "string"),
                ("pattern", "string"),
                ("maxItems", "array"),
                ("x-kubernetes-list-type", "array"),
                ("maxProperties", "object"),
                ("required", "object"),
                ("oneOf", "object"),
            ] {
                if schema.get(word).is_some() && kind != wanted {
                    wrong.push(format!("{path}: {word} on {kind}"));
                }
            }
            let fields = schema.get("properties").and_then(Value::as_object);
            for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !fields.is_some_and(|fields| fields.contains_key(field)) {
                    wrong.push(format!("{path}: no field {field}"));
                }
            }
            for (name, field) in fields.into_iter().flatten() {
                check(field, &format!("{path}.{name}"), wrong);
            }
            for below in [schema.get("items"), schema.get("additionalProperties")].into_iter().flatten() {
                check(below, &format!("{path}[]"), wrong);
            }
        }
        let mut wrong = Vec::new();
        for kind in Kind::ALL.iter().filter(|kind| kind.row().family == Family::Mesh) {
            check(spec(&crate::crd::definition(*kind)), kind.name(), &mut wrong);
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
