//! Reading and changing a pod as JSON: what is not understood stays as it was written.
//!
//! In: a pod, as the API server gave it or a file has it. Out: its parts. Used by every step of the injection.

use serde_json::{Map, Value, json};

/// A mapping of strings in the metadata; what is no string is left out.
pub(super) fn strings<'a>(pod: &'a Value, field: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = pod.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// An annotation.
pub(super) fn annotation<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// A label.
pub(super) fn label<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// A text at a JSON pointer, empty where there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The mapping under a key, made where it is missing.
pub(super) fn map<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    let place = &mut value[key];
    if !place.is_object() {
        *place = json!({});
    }
    place.as_object_mut().expect("it was made a mapping")
}

/// The annotations, made where they are missing.
pub(super) fn annotations(pod: &mut Value) -> &mut Map<String, Value> {
    map(&mut pod["metadata"], "annotations")
}

/// A list of containers.
pub(super) fn containers<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    pod.get("spec").and_then(|spec| spec.get(list)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A list of containers, made where it is missing.
pub(super) fn containers_mut<'a>(pod: &'a mut Value, list: &str) -> &'a mut Vec<Value> {
    list_mut(&mut pod["spec"], list)
}

/// A list under a key, made where it is missing.
pub(super) fn list_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let place = &mut value[key];
    if !place.is_array() {
        *place = json!([]);
    }
    place.as_array_mut().expect("it was made a list")
}

/// Whether this is the name of a container, volume or the like.
pub(super) fn is_named(item: &Value, name: &str) -> bool {
    item.get("name").and_then(Value::as_str) == Some(name)
}

/// The names of a list's items.
pub(super) fn names(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|item| item.get("name").and_then(Value::as_str)).collect()
}

/// The proxy's container: beside the application, or before it.
pub(super) fn proxy(pod: &mut Value) -> Option<&mut Value> {
    let list = ["containers", "initContainers"]
        .into_iter()
        .find(|list| containers(pod, list).iter().any(|item| is_named(item, super::PROXY)))?;
    containers_mut(pod, list).iter_mut().find(|item| is_named(item, super::PROXY))
}

/// Go's reading of a truth value.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
