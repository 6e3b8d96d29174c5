//! `google.protobuf.Struct` to JSON and back, and its one deterministic encoding.
//!
//! In and out: the loose part of the contract, node metadata, peer metadata and filter metadata. The generated type
//! keeps its fields in a hash map, so its own encoding differs from run to run; [`encode`] sorts.

use bytes::BufMut;
use envoy_types::pb::google::protobuf::value::Kind as V;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value as Json};

/// A message of some type as loose JSON: `xds.type.v3.TypedStruct` and `udpa.type.v1.TypedStruct`, which look alike.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypedStruct {
    /// What `value` should be read as.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The JSON.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}

impl TypedStruct {
    /// The type URLs under which it travels.
    pub const TYPE_URLS: [&str; 2] =
        ["type.googleapis.com/xds.type.v3.TypedStruct", "type.googleapis.com/udpa.type.v1.TypedStruct"];
}

/// JSON object to `Struct`.
pub fn from_map(map: &Map<String, Json>) -> Struct {
    Struct { fields: map.iter().map(|(key, value)| (key.clone(), from_json(value))).collect() }
}

/// JSON to `Value`.
pub fn from_json(json: &Json) -> Value {
    let kind = match json {
        Json::Null => V::NullValue(0),
        Json::Bool(b) => V::BoolValue(*b),
        // A Struct knows only doubles; integers beyond 2^53 lose digits, as they do in Envoy.
        Json::Number(n) => V::NumberValue(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(s) => V::StringValue(s.clone()),
        Json::Array(items) => V::ListValue(ListValue { values: items.iter().map(from_json).collect() }),
        Json::Object(map) => V::StructValue(from_map(map)),
    };
    Value { kind: Some(kind) }
}

/// `Struct` to a JSON object, keys sorted.
pub fn to_map(value: &Struct) -> Map<String, Json> {
    let mut keys: Vec<&String> = value.fields.keys().collect();
    keys.sort();
    keys.into_iter().map(|key| (key.clone(), to_json(&value.fields[key]))).collect()
}

/// `Value` to JSON; whole numbers without a fraction.
pub fn to_json(value: &Value) -> Json {
    match &value.kind {
        None | Some(V::NullValue(_)) => Json::Null,
        Some(V::BoolValue(b)) => Json::Bool(*b),
        Some(V::NumberValue(n)) => number(*n),
        Some(V::StringValue(s)) => Json::String(s.clone()),
        Some(V::ListValue(list)) => Json::Array(list.values.iter().map(to_json).collect()),
        Some(V::StructValue(inner)) => Json::Object(to_map(inner)),
    }
}

fn number(n: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation)] // checked one line above
        return Json::from(n as i64);
    }
    serde_json::Number::from_f64(n).map_or(Json::Null, Json::Number)
}

/// A text value.
pub fn text(value: impl Into<String>) -> Value {
    Value { kind: Some(V::StringValue(value.into())) }
}

/// The text of a field, if it is text.
pub fn get_text<'a>(value: &'a Struct, key: &str) -> Option<&'a str> {
    match value.fields.get(key)?.kind.as_ref()? {
        V::StringValue(text) => Some(text),
        _ => None,
    }
}

/// A field that is a struct itself.
pub fn get_struct<'a>(value: &'a Struct, key: &str) -> Option<&'a Struct> {
    match value.fields.get(key)?.kind.as_ref()? {
        V::StructValue(inner) => Some(inner),
        _ => None,
    }
}

/// Encodes with the fields in order of their keys, so that equal structs give equal bytes.
pub fn encode(value: &Struct) -> Vec<u8> {
    let mut keys: Vec<&String> = value.fields.keys().collect();
    keys.sort();
    let mut out = Vec::new();
    for key in keys {
        let mut entry = Vec::new();
        delimited(1, key.as_bytes(), &mut entry);
        delimited(2, &encode_value(&value.fields[key]), &mut entry);
        delimited(1, &entry, &mut out);
    }
    out
}

/// The same of one value.
pub(crate) fn encode_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match &value.kind {
        None => {}
        Some(V::NullValue(n)) => {
            encode_key(1, WireType::Varint, &mut out);
            encode_varint(u64::from(n.unsigned_abs()), &mut out);
        }
        Some(V::NumberValue(n)) => {
            encode_key(2, WireType::SixtyFourBit, &mut out);
            out.put_f64_le(*n);
        }
        Some(V::StringValue(s)) => delimited(3, s.as_bytes(), &mut out),
        Some(V::BoolValue(b)) => {
            encode_key(4, WireType::Varint, &mut out);
            encode_varint(u64::from(*b), &mut out);
        }
        Some(V::StructValue(inner)) => delimited(5, &encode(inner), &mut out),
        Some(V::ListValue(list)) => delimited(6, &encode_list(list), &mut out),
    }
    out
}

/// The same of a list.
pub(crate) fn encode_list(list: &ListValue) -> Vec<u8> {
    let mut out = Vec::new();
    for item in &list.values {
        delimited(1, &encode_value(item), &mut out);
    }
    out
}

/// One length-delimited field.
pub(crate) fn delimited(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use serde_json::json;

    #[test]
    fn json_round_trip_and_sorted_bytes() {
        let json = json!({
            "LABELS": {"app": "reviews", "version": "v1"}, "n": 3, "f": 1.5, "b": true,
            "list": ["a", null, {"x": false}], "empty": {}
        });
        let value = from_map(json.as_object().unwrap());
        let bytes = encode(&value);
        assert_eq!(Struct::decode(bytes.as_slice()).unwrap(), value);
        let again = Struct::decode(value.encode_to_vec().as_slice()).unwrap();
        assert_eq!(encode(&again), bytes);
        assert_eq!(Json::Object(to_map(&value)), json);
        assert_eq!(get_text(get_struct(&value, "LABELS").unwrap(), "app"), Some("reviews"));
    }
}
