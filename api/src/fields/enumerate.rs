//! From schemas to fields, and from a field to an object that has it set.
//!
//! A specimen is the smallest object of a kind that has an effect (`samples.rs`), plus what the field needs beside it,
//! plus the field. `without` is the same object without the field.

use super::samples::{BASES, COMPANIONS, PARTS, SAMPLES};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use crate::kind::{Kind, Scope, Shape, for_each_kind};
use crate::yaml;

/// A field that holds a value and no further fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// From the spec: `http[].timeout`.
    pub path: String,
    /// A plausible value that is not the default.
    pub value: Value,
}

/// The JSON schema of a kind's spec, without references.
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::default()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

macro_rules! schemas {
    ($( $variant:ident $module:ident :: $type:ident, $group:literal [$($version:literal),*] $name:literal $plural:literal
        [$($short:literal),*] $scope:ident $family:ident $shape:ident; )*) => {
        /// The JSON schema of a kind's spec, without references; `true` for unknown kinds.
        pub fn schema(kind: Kind) -> Schema {
            match kind {
                $( Kind::$variant => schema_of::<crate::$module::$type>(), )*
                Kind::Unknown => Schema::default(),
            }
        }
    };
}

for_each_kind!(schemas);

/// All fields of a kind that hold values, in the order of the types.
pub fn leaves(kind: Kind) -> Vec<Leaf> {
    let mut found = Vec::new();
    walk(schema(kind).as_value(), "", &mut found);
    found
}

/// An object of the kind that is as small as its rules allow and has this field set.
pub fn specimen(kind: Kind, leaf: &Leaf) -> Value {
    let mut spec = surroundings(kind, leaf);
    set(&mut spec, &leaf.path, &leaf.value);
    object(kind, spec)
}

/// The same object without the field, to compare with.
pub fn without(kind: Kind, leaf: &Leaf) -> Value {
    object(kind, surroundings(kind, leaf))
}

/// What stands around the field: the base of its kind, with what the field needs beside it.
fn surroundings(kind: Kind, leaf: &Leaf) -> Value {
    let mut spec = base(kind);
    for (of, prefix, patch) in COMPANIONS {
        if *of == kind && covers(prefix, &leaf.path) {
            merge(&mut spec, &companion(patch));
        }
    }
    for (of, place, patches) in PARTS {
        let Some(inner) = leaf.path.strip_prefix(place).filter(|_| *of == kind) else { continue };
        let inner = inner.trim_start_matches('.');
        for (_, patch) in patches.iter().filter(|(prefix, _)| covers(prefix, inner)) {
            merge(at(&mut spec, place), &companion(patch));
        }
    }
    spec
}

fn companion(patch: &str) -> Value {
    yaml::load(patch, 1).expect("companions are YAML").remove(0).value
}

fn object(kind: Kind, spec: Value) -> Value {
    let row = kind.row();
    let meta = match row.scope {
        Scope::Namespaced => json!({"name": "specimen", "namespace": "default"}),
        Scope::Cluster => json!({"name": "specimen"}),
    };
    let mut object = json!({"apiVersion": kind.api_version(), "kind": row.name, "metadata": meta});
    match (row.shape, spec, &mut object) {
        (Shape::Flat, Value::Object(fields), Value::Object(map)) => map.extend(fields),
        (_, spec, object) => object["spec"] = spec,
    }
    object
}

fn walk(schema: &Value, path: &str, found: &mut Vec<Leaf>) {
    let schema = not_null(schema);
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        for (name, field) in fields {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(field, &path, found);
        }
        return;
    }
    if let Some(items) = schema.get("items") {
        return walk(items, &format!("{path}[]"), found);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        return walk(values, &format!("{path}.*"), found);
    }
    found.push(Leaf { path: path.to_owned(), value: plausible(schema, path) });
}

/// The schema behind `nullable`.
fn not_null(schema: &Value) -> &Value {
    let any = schema.get("anyOf").and_then(Value::as_array);
    let found =
        any.and_then(|options| options.iter().find(|option| option.get("type") != Some(&json!("null"))));
    found.map_or(schema, not_null)
}

/// A value for a field: by its name where that says more than the type, by words, else by the type.
fn plausible(schema: &Value, path: &str) -> Value {
    let by_name = SAMPLES.iter().find(|(suffix, _)| ends_with(path, suffix));
    if let Some((_, value)) = by_name {
        return serde_json::from_str(value).expect("samples are JSON");
    }
    let words = words(schema);
    if let Some(word) = words.get(1).or(words.first()) {
        return json!(word);
    }
    let types = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match types.first().copied() {
        Some("boolean") => json!(true),
        Some("integer") => json!(7),
        Some("number") => json!(7.5),
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("duration") => json!("7s"),
            Some("date-time") => json!("2024-01-02T03:04:05Z"),
            Some("byte") => json!("c2FtcGxl"),
            Some("quantity") => json!("7"),
            _ => json!("sample"),
        },
        Some("object") => json!({}),
        _ => json!({"sample": true}),
    }
}

/// The words of a closed set; the first is the default.
fn words(schema: &Value) -> Vec<&str> {
    schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether the last parts of a path are these.
fn ends_with(path: &str, suffix: &str) -> bool {
    path == suffix || path.strip_suffix(suffix).is_some_and(|front| front.ends_with('.'))
}

fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.is_empty() || rest.starts_with(['.', '[']))
}

/// Puts a value at a path.
fn set(value: &mut Value, path: &str, leaf: &Value) {
    *at(value, path) = leaf.clone();
}

/// The place of a path; lists get one item, maps one key.
fn at<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    let Some((word, rest)) = split(path) else { return value };
    let next = match word {
        "[]" => {
            if !value.is_array() {
                *value = json!([]);
            }
            let items = value.as_array_mut().expect("made a list");
            if items.is_empty() {
                items.push(Value::Null);
            }
            &mut items[0]
        }
        word => {
            if !value.is_object() {
                *value = json!({});
            }
            let map = value.as_object_mut().expect("made a mapping");
            // A number is also a port, which is what some maps have as key.
            let any = || map.keys().next().cloned().unwrap_or_else(|| "8080".to_owned());
            let key = if word == "*" { any() } else { word.to_owned() };
            map.entry(key).or_insert(Value::Null)
        }
    };
    at(next, rest)
}

/// First part of a path and the rest: a key, `*` or `[]`.
fn split(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    if let Some(rest) = path.strip_prefix("[]") {
        return Some(("[]", rest));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    Some(path.split_at(end))
}

fn merge(base: &mut Value, over: &Value) {
    if base.is_null() && over.is_object() {
        *base = json!({});
    }
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match value {
                    // Null takes a field of the base away.
                    Value::Null => {
                        base.remove(key);
                    }
                    value => merge(base.entry(key.clone()).or_insert(Value::Null), value),
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if base.len() == over.len() => {
            base.iter_mut().zip(over).for_each(|(base, over)| merge(base, over));
        }
        (base, over) => *base = over.clone(),
    }
}

/// The smallest spec of a kind that has an effect.
fn base(kind: Kind) -> Value {
    let text = BASES.iter().find(|(of, _)| *of == kind).map_or("{}", |(_, text)| *text);
    yaml::load(text, 1).expect("bases are YAML").pop().map_or(json!({}), |document| document.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_of_a_kind() {
        let paths: Vec<_> = leaves(Kind::VirtualService).into_iter().map(|leaf| leaf.path).collect();
        for path in [
            "hosts[]",
            "http[].match[].headers.*.exact",
            "http[].route[].destination.port.number",
            "http[].corsPolicy.unmatchedPreflights",
            "http[].fault.delay.percentage.value",
            "tcp[].match[].destinationSubnets[]",
        ] {
            assert!(paths.iter().any(|p| p == path), "{path} is not in {paths:#?}");
        }
    }

    /// Every specimen is valid, but for the few fields that are refused whatever they hold.
    #[test]
    fn specimens_are_valid() {
        let (mut total, mut refused) = (0, Vec::new());
        for kind in Kind::ALL.iter().filter(|kind| kind.row().family == crate::kind::Family::Mesh) {
            for leaf in leaves(*kind) {
                let object = specimen(*kind, &leaf);
                let fixed = [".group", ".kind"].iter().any(|end| leaf.path.ends_with(end));
                if object == without(*kind, &leaf) && !fixed {
                    refused.push(format!("{kind} {} changes nothing", leaf.path));
                }
                let parsed = crate::parse("specimen", &crate::emit::to_yaml(&object));
                assert!(parsed.findings.is_empty(), "{kind} {}: {}{object:#}", leaf.path, parsed.findings);
                total += 1;
                let findings = parsed.objects[0].findings();
                let meant =
                    ["exponentialDelay", "http2Error", "targetRef.namespace", "targetRefs[].namespace"];
                if findings.has_errors() && !meant.iter().any(|end| leaf.path.ends_with(end)) {
                    refused.push(format!("{kind} {} {findings}{object:#}", leaf.path));
                }
            }
        }
        assert!(total > 700, "{total}");
        assert!(refused.is_empty(), "{} of {total}: {}", refused.len(), refused.join("\n"));
    }
}
