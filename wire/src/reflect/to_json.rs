//! Message to JSON.
//!
//! In: bytes and their type. Out: canonical protobuf JSON: 64-bit integers as text, bytes in base64, enums by name,
//! durations as `1.5s`, fields at their default left out, every `Any` expanded beside its `@type`. Bytes of an
//! unknown type, or bytes that do not decode, become `{"@type", "value": base64}`: a dump never fails.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json};

use super::pool::{find, is_sensitive};
use crate::pb::google::protobuf as wkt;
use crate::structs;

/// What Envoy prints instead of a secret.
const REDACTED: &str = "[redacted]";

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// `filter_chains` as Envoy's own dumps, instead of `filterChains`.
    pub proto_names: bool,
    /// Replace what Envoy marks as sensitive (private keys, passwords) by `[redacted]`.
    pub redact: bool,
}

/// JSON of an encoded message. `type_url` may be a plain message name.
pub fn to_json(type_url: &str, bytes: &[u8], proto_names: bool) -> Json {
    render(type_url, bytes, Style { proto_names, redact: false })
}

/// JSON of an encoded message in any style; with an `@type` only if the type is unknown.
pub fn render(type_url: &str, bytes: &[u8], style: Style) -> Json {
    match find(type_url).map(|desc| DynamicMessage::decode(desc, bytes)) {
        Some(Ok(message)) => message_json(&message, style, false),
        _ => opaque(type_url, bytes),
    }
}

/// JSON of a typed message.
pub fn message_to_json<M: Message + prost::Name>(message: &M, style: Style) -> Json {
    render(&M::full_name(), &message.encode_to_vec(), style)
}

fn opaque(type_url: &str, bytes: &[u8]) -> Json {
    let mut map = Map::new();
    map.insert("@type".into(), Json::String(type_url.into()));
    map.insert("value".into(), Json::String(STANDARD.encode(bytes)));
    Json::Object(map)
}

fn message_json(message: &DynamicMessage, style: Style, hide: bool) -> Json {
    let desc = message.descriptor();
    if desc.package_name() == "google.protobuf"
        && let Some(json) = well_known(message, &desc, style, hide)
    {
        return json;
    }
    let mut map = Map::new();
    for (field, value) in message.fields() {
        let name = if style.proto_names { field.name() } else { field.json_name() };
        let hide = hide || (style.redact && is_sensitive(&field));
        map.insert(name.to_owned(), field_json(&field, value, style, hide));
    }
    Json::Object(map)
}

fn field_json(field: &FieldDescriptor, value: &Value, style: Style, hide: bool) -> Json {
    match value {
        Value::List(items) => {
            Json::Array(items.iter().map(|item| value_json(&field.kind(), item, style, hide)).collect())
        }
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Json::Null };
            let kind = entry.map_entry_value_field().kind();
            let mut sorted: Vec<(String, &Value)> =
                entries.iter().map(|(key, value)| (key_text(key), value)).collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs = sorted.into_iter().map(|(key, value)| (key, value_json(&kind, value, style, hide)));
            Json::Object(pairs.collect())
        }
        value => value_json(&field.kind(), value, style, hide),
    }
}

fn value_json(kind: &Kind, value: &Value, style: Style, hide: bool) -> Json {
    match value {
        Value::Bool(b) => Json::Bool(*b),
        Value::I32(n) => Json::from(*n),
        Value::U32(n) => Json::from(*n),
        Value::I64(n) => Json::String(n.to_string()),
        Value::U64(n) => Json::String(n.to_string()),
        Value::F32(n) => float(f64::from(*n), Json::from(*n)),
        Value::F64(n) => float(*n, Json::from(*n)),
        Value::String(_) if hide => Json::String(REDACTED.into()),
        Value::Bytes(_) if hide => Json::String(STANDARD.encode(REDACTED)),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::EnumNumber(number) => match kind {
            Kind::Enum(desc) if desc.full_name() == "google.protobuf.NullValue" => Json::Null,
            Kind::Enum(desc) => match desc.get_value(*number) {
                Some(value) => Json::String(value.name().to_owned()),
                None => Json::from(*number),
            },
            _ => Json::from(*number),
        },
        Value::Message(message) => message_json(message, style, hide),
        // Handled by `field_json`; lists and maps do not nest.
        Value::List(_) | Value::Map(_) => Json::Null,
    }
}

fn float(n: f64, json: Json) -> Json {
    if n.is_nan() {
        "NaN".into()
    } else if n.is_infinite() {
        if n > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        json
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(b) => b.to_string(),
        MapKey::I32(n) => n.to_string(),
        MapKey::I64(n) => n.to_string(),
        MapKey::U32(n) => n.to_string(),
        MapKey::U64(n) => n.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

/// The types with a JSON form of their own; `None` for those of the package that have none (`Empty`).
fn well_known(message: &DynamicMessage, desc: &MessageDescriptor, style: Style, hide: bool) -> Option<Json> {
    match desc.name() {
        "Any" => {
            let any: wkt::Any = message.transcode_to().ok()?;
            Some(any_json(&any, style, hide))
        }
        "Struct" => Some(Json::Object(structs::to_map(&message.transcode_to().ok()?))),
        "Value" => Some(structs::to_json(&message.transcode_to().ok()?)),
        "ListValue" => {
            let list: wkt::ListValue = message.transcode_to().ok()?;
            Some(Json::Array(list.values.iter().map(structs::to_json).collect()))
        }
        name if name.ends_with("Value") => {
            let value = desc.get_field(1)?;
            Some(value_json(&value.kind(), &message.get_field(&value), style, hide))
        }
        "Duration" | "Timestamp" | "FieldMask" => {
            // A value out of range has no JSON form; it is shown field by field.
            serde_json::to_value(message).ok()
        }
        _ => None,
    }
}

fn any_json(any: &wkt::Any, style: Style, hide: bool) -> Json {
    let message = match find(&any.type_url).map(|desc| DynamicMessage::decode(desc, any.value.as_slice())) {
        Some(Ok(message)) => message,
        _ if hide => return opaque(&any.type_url, REDACTED.as_bytes()),
        _ => return opaque(&any.type_url, &any.value),
    };
    let mut map = Map::new();
    map.insert("@type".into(), Json::String(any.type_url.clone()));
    let special =
        message.descriptor().package_name() == "google.protobuf" && message.descriptor().name() != "Empty";
    match message_json(&message, style, hide) {
        Json::Object(fields) if !special => map.extend(fields),
        other => drop(map.insert("value".into(), other)),
    }
    Json::Object(map)
}
