//! From the JSON schema of a type to what Kubernetes calls a structural schema.
//!
//! Kubernetes wants one `type` per place, no references, and `nullable` instead of a null type; numbers get the range
//! of their width and durations the rule that the API server can check. `limits.rs` adds the rest, by path.

use serde_json::{Map, Value, json};

use super::limits;
use crate::kind::Kind;

/// The structural schema of a place. `path` counts from the spec: `http[].match[].headers.*`.
pub(super) fn structural(kind: Kind, path: &str, schema: &Value) -> Value {
    let (inner, optional) = not_null(schema);
    let mut node = Map::new();
    let description = schema.get("description").or_else(|| inner.get("description"));
    if let Some(text) = description.and_then(Value::as_str) {
        // Line breaks of the source mean nothing here.
        node.insert("description".into(), json!(text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let types = words(inner.get("type"));
    if let Some(fields) = inner.get("properties").and_then(Value::as_object) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let fields = fields
            .iter()
            .map(|(name, field)| (name.clone(), structural(kind, &below(name), field)))
            .collect::<Map<_, _>>();
        node.insert("type".into(), json!("object"));
        node.insert("properties".into(), Value::Object(fields));
    } else if let Some(items) = inner.get("items") {
        node.insert("type".into(), json!("array"));
        node.insert("items".into(), structural(kind, &format!("{path}[]"), items));
    } else if let Some(values) = inner.get("additionalProperties").filter(|values| values.is_object()) {
        node.insert("type".into(), json!("object"));
        node.insert("additionalProperties".into(), structural(kind, &format!("{path}.*"), values));
    } else if types.is_empty() || types == ["object"] {
        // Any JSON, such as a piece of Envoy's configuration.
        node.insert("type".into(), json!("object"));
        node.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
    } else {
        scalar(&mut node, inner, types[0], optional);
    }
    limits::apply(kind, path, &mut node);
    Value::Object(node)
}

fn scalar(node: &mut Map<String, Value>, schema: &Value, name: &str, optional: bool) {
    node.insert("type".into(), json!(name));
    // Protobuf's JSON form takes null for an absent number or truth value.
    if optional && name != "string" {
        node.insert("nullable".into(), json!(true));
    }
    let allowed = words(schema.get("enum"));
    if !allowed.is_empty() {
        node.insert("enum".into(), json!(allowed));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            node.insert("minimum".into(), json!(0));
            node.insert("maximum".into(), json!(u32::MAX));
        }
        Some("uint64") => {
            node.insert("minimum".into(), json!(0));
        }
        Some(width @ ("int32" | "double")) => {
            node.insert("format".into(), json!(width));
        }
        Some("byte") => {
            node.insert("format".into(), json!("byte"));
        }
        Some("duration") => limits::rule(
            node,
            "duration(self) >= duration('1ms')",
            "must be a duration of at least 1ms, such as 10s or 1h30m",
        ),
        _ => {}
    }
}

/// The schema behind an optional one, and whether it is optional.
fn not_null(schema: &Value) -> (&Value, bool) {
    let options = schema.get("anyOf").and_then(Value::as_array);
    let inner =
        options.and_then(|options| options.iter().find(|option| option.get("type") != Some(&json!("null"))));
    match inner {
        Some(inner) => (inner, true),
        None => {
            let types = schema.get("type").and_then(Value::as_array);
            (schema, types.is_some_and(|types| types.contains(&json!("null"))))
        }
    }
}

/// A word or a list of words, without null.
fn words(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => {
            words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect()
        }
        _ => Vec::new(),
    }
}
