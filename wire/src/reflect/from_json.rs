//! JSON to message.
//!
//! In: JSON as a human wrote it (camelCase or snake_case, numbers as text or not) and the type it should have. Out:
//! encoded bytes, or a [`Mismatch`] that names the field by its path. Unknown fields and unknown types are errors:
//! this reads Envoy bootstrap files, where a misspelt field must not vanish.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::{Map, Value as Json};

use super::pool::find;

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct Mismatch {
    /// Path of the field, `static_resources.clusters[0].name`.
    pub path: String,
    /// What is wrong and what is expected.
    pub reason: String,
}

impl Mismatch {
    fn new(path: &str, reason: impl Into<String>) -> Self {
        Mismatch { path: path.trim_start_matches('.').to_owned(), reason: reason.into() }
    }
}

/// Encodes `json` as a message of type `type_name` (a type URL will do).
pub fn from_json(type_name: &str, json: &Json) -> Result<Vec<u8>, Mismatch> {
    let desc =
        find(type_name).ok_or_else(|| Mismatch::new("", format!("unknown message type {type_name}")))?;
    Ok(message(&desc, json, "")?.encode_to_vec())
}

/// As [`from_json`], decoded into the typed message.
pub fn read<M: Message + prost::Name + Default>(json: &Json) -> Result<M, Mismatch> {
    let bytes = from_json(&M::full_name(), json)?;
    M::decode(bytes.as_slice()).map_err(|e| Mismatch::new("", e.to_string()))
}

fn message(desc: &MessageDescriptor, json: &Json, path: &str) -> Result<DynamicMessage, Mismatch> {
    match desc.full_name() {
        "google.protobuf.Any" => return any(desc, json, path),
        "google.protobuf.Empty" => {}
        name if name.starts_with("google.protobuf.") && !name.ends_with("DescriptorProto") => {
            return DynamicMessage::deserialize(desc.clone(), json)
                .map_err(|e| Mismatch::new(path, format!("{e} (expected {})", desc.name())));
        }
        _ => {}
    }
    match json {
        Json::Object(map) => fields(desc, map, path),
        other => Err(expected(path, &format!("an object ({})", desc.full_name()), other)),
    }
}

fn fields(desc: &MessageDescriptor, map: &Map<String, Json>, path: &str) -> Result<DynamicMessage, Mismatch> {
    let mut out = DynamicMessage::new(desc.clone());
    for (key, json) in map {
        let found = desc.get_field_by_name(key).or_else(|| desc.get_field_by_json_name(key));
        let here = format!("{path}.{key}");
        let Some(field) = found else {
            return Err(Mismatch::new(&here, format!("{} has no such field", desc.full_name())));
        };
        let is_null_value =
            matches!(field.kind(), Kind::Message(m) if m.full_name() == "google.protobuf.Value");
        if json.is_null() && !is_null_value {
            continue;
        }
        if let Some(oneof) = field.containing_oneof()
            && let Some(other) = oneof.fields().find(|other| *other != field && out.has_field(other))
        {
            return Err(Mismatch::new(&here, format!("excludes {}", other.name())));
        }
        let value = field_value(&field, json, &here)?;
        out.set_field(&field, value);
    }
    Ok(out)
}

fn field_value(field: &FieldDescriptor, json: &Json, path: &str) -> Result<Value, Mismatch> {
    if field.is_map() {
        let Json::Object(map) = json else { return Err(expected(path, "an object", json)) };
        let Kind::Message(entry) = field.kind() else { return Err(expected(path, "a map", json)) };
        let (key_kind, kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut out = std::collections::HashMap::new();
        for (key, json) in map {
            let here = format!("{path}[{key:?}]");
            out.insert(map_key(&key_kind, key, &here)?, value(&kind, json, &here)?);
        }
        return Ok(Value::Map(out));
    }
    if field.is_list() {
        let Json::Array(items) = json else { return Err(expected(path, "a list", json)) };
        let items = items.iter().enumerate();
        let values = items.map(|(at, json)| value(&field.kind(), json, &format!("{path}[{at}]")));
        return values.collect::<Result<Vec<_>, _>>().map(Value::List);
    }
    value(&field.kind(), json, path)
}

fn map_key(kind: &Kind, key: &str, path: &str) -> Result<MapKey, Mismatch> {
    Ok(match value(kind, &Json::String(key.to_owned()), path)? {
        Value::String(text) => MapKey::String(text),
        Value::I32(n) => MapKey::I32(n),
        Value::I64(n) => MapKey::I64(n),
        Value::U32(n) => MapKey::U32(n),
        Value::U64(n) => MapKey::U64(n),
        Value::Bool(b) => MapKey::Bool(b),
        _ => return Err(Mismatch::new(path, "this type cannot be a key")),
    })
}

fn value(kind: &Kind, json: &Json, path: &str) -> Result<Value, Mismatch> {
    let integer = |what| number(json).ok_or_else(|| expected(path, what, json));
    let range = |what| Mismatch::new(path, format!("{json} is out of range for {what}"));
    Ok(match kind {
        Kind::Message(desc) => Value::Message(message(desc, json, path)?),
        Kind::String => match json {
            Json::String(text) => Value::String(text.clone()),
            other => return Err(expected(path, "text", other)),
        },
        Kind::Bool => match json {
            Json::Bool(b) => Value::Bool(*b),
            Json::String(text) if text == "true" => Value::Bool(true),
            Json::String(text) if text == "false" => Value::Bool(false),
            other => return Err(expected(path, "true or false", other)),
        },
        Kind::Bytes => match json.as_str().and_then(base64_any) {
            Some(bytes) => Value::Bytes(bytes.into()),
            None => return Err(expected(path, "base64", json)),
        },
        Kind::Enum(desc) => match json {
            Json::String(name) => match desc.get_value_by_name(name) {
                Some(value) => Value::EnumNumber(value.number()),
                None => {
                    let known: Vec<String> = desc.values().map(|v| v.name().to_owned()).collect();
                    let reason = format!("{name:?} is none of {}", known.join(", "));
                    return Err(Mismatch::new(path, reason));
                }
            },
            _ => Value::EnumNumber(i32::try_from(integer("a name")?).map_err(|_| range("an enum"))?),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(i32::try_from(integer("a number")?).map_err(|_| range("int32"))?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(i64::try_from(integer("a number")?).map_err(|_| range("int64"))?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Value::U32(u32::try_from(integer("a number")?).map_err(|_| range("uint32"))?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Value::U64(u64::try_from(integer("a number")?).map_err(|_| range("uint64"))?)
        }
        #[allow(clippy::cast_possible_truncation)] // a float field holds what a float can hold
        Kind::Float => Value::F32(float(json).ok_or_else(|| expected(path, "a number", json))? as f32),
        Kind::Double => Value::F64(float(json).ok_or_else(|| expected(path, "a number", json))?),
    })
}

/// A whole number, also as text or as a float without a fraction.
fn number(json: &Json) -> Option<i128> {
    match json {
        Json::Number(n) => {
            let whole = n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
            #[allow(clippy::cast_possible_truncation)] // guarded by fract
            whole.or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e18).map(|f| f as i128))
        }
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(n) => n.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

fn base64_any(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
}

fn any(desc: &MessageDescriptor, json: &Json, path: &str) -> Result<DynamicMessage, Mismatch> {
    let Json::Object(map) = json else { return Err(expected(path, "an object with @type", json)) };
    let Some(Json::String(type_url)) = map.get("@type") else {
        return Err(Mismatch::new(path, "needs an @type"));
    };
    let bytes = match find(type_url) {
        Some(inner) if has_own_form(&inner) => {
            let null = Json::Null;
            message(&inner, map.get("value").unwrap_or(&null), path)?.encode_to_vec()
        }
        Some(inner) => {
            let mut rest = map.clone();
            rest.shift_remove("@type");
            message(&inner, &Json::Object(rest), path)?.encode_to_vec()
        }
        // The form in which `to_json` shows types that it does not know.
        None => match map.get("value").and_then(Json::as_str).and_then(base64_any) {
            Some(bytes) if map.len() == 2 => bytes,
            _ => return Err(Mismatch::new(path, format!("unknown type {type_url}"))),
        },
    };
    let mut out = DynamicMessage::new(desc.clone());
    out.set_field_by_name("type_url", Value::String(type_url.clone()));
    out.set_field_by_name("value", Value::Bytes(bytes.into()));
    Ok(out)
}

fn has_own_form(desc: &MessageDescriptor) -> bool {
    desc.package_name() == "google.protobuf" && desc.name() != "Empty"
}

fn expected(path: &str, what: &str, found: &Json) -> Mismatch {
    let text = found.to_string();
    let short: String = text.chars().take(60).collect();
    Mismatch::new(path, format!("expected {what}, found {short}"))
}
