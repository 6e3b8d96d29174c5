//! Message to JSON.
//!
//! In: bytes and their type. Out: canonical protobuf JSON: 64-bit integers as text, bytes in base64, enums by name,
//! durations as `1.5s`, fields at their default left out, every `Any` expanded beside its `@type`. Bytes of an
//! unknown type, or bytes that do not decode, become `{"@type", "value": base64}`: a dump never fails.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::{Map, Value as Json};

use super::parse::{Broken, Raw, parse};
use super::schema::{Field, Kind, Message, find};
use super::well_known::{self, has_own_form};
use crate::pb::google::protobuf as wkt;
use crate::structs;

/// What Envoy prints instead of a secret.
const REDACTED: &str = "[redacted]";
/// Messages within messages; what goes deeper is shown as bytes.
const DEEPEST: u32 = 100;

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// `filter_chains` as Envoy's own dumps, instead of `filterChains`.
    pub proto_names: bool,
    /// Replace what Envoy marks as sensitive (private keys, passwords) by `[redacted]`.
    pub redact: bool,
}

/// How to print from here on.
#[derive(Clone, Copy)]
struct Print {
    style: Style,
    /// What is below here is secret.
    hide: bool,
    depth: u32,
}

/// JSON of an encoded message. `type_url` may be a plain message name.
pub fn to_json(type_url: &str, bytes: &[u8], proto_names: bool) -> Json {
    render(type_url, bytes, Style { proto_names, redact: false })
}

/// JSON of an encoded message in any style; with an `@type` only if the type is unknown.
pub fn render(type_url: &str, bytes: &[u8], style: Style) -> Json {
    let print = Print { style, hide: false, depth: 0 };
    match find(type_url).map(|of| message(of, bytes, print)) {
        Some(Ok(json)) => json,
        _ => opaque(type_url, bytes),
    }
}

/// JSON of a typed message.
pub fn message_to_json<M: prost::Message + prost::Name>(message: &M, style: Style) -> Json {
    render(&M::full_name(), &message.encode_to_vec(), style)
}

/// Names of the fields that an encoded message has at its top; none if it is no such message.
pub fn fields_of(type_name: &str, bytes: &[u8]) -> Vec<&'static str> {
    let fields = find(type_name).and_then(|of| parse(of, bytes).ok());
    fields.into_iter().flatten().map(|(field, _)| field.name()).collect()
}

fn opaque(type_url: &str, bytes: &[u8]) -> Json {
    let mut map = Map::new();
    map.insert("@type".into(), Json::String(type_url.into()));
    map.insert("value".into(), Json::String(STANDARD.encode(bytes)));
    Json::Object(map)
}

fn message(of: Message, bytes: &[u8], mut print: Print) -> Result<Json, Broken> {
    print.depth += 1;
    if print.depth > DEEPEST {
        return Err(Broken);
    }
    if let Some(name) = of.well_known()
        && has_own_form(of)
        && let Some(json) = own_form(name, of, bytes, print)?
    {
        return Ok(json);
    }
    let mut map = Map::new();
    for (field, raw) in parse(of, bytes)? {
        let name = if print.style.proto_names { field.name() } else { field.json_name() };
        let hide = print.hide || (print.style.redact && field.is_sensitive());
        if let Some(json) = field_json(field, &raw, Print { hide, ..print })? {
            map.insert(name.to_owned(), json);
        }
    }
    Ok(Json::Object(map))
}

/// `None` where the field has the value that it has anyhow.
fn field_json(field: Field, raw: &[Raw], print: Print) -> Result<Option<Json>, Broken> {
    if let Some(entry) = field.map() {
        return map_json(entry, raw, print).map(|map| Some(Json::Object(map)).filter(|_| !raw.is_empty()));
    }
    if field.is_repeated() {
        let items = raw.iter().map(|one| value_json(field.kind(), std::slice::from_ref(one), print));
        let items = items.collect::<Result<Vec<_>, _>>()?;
        return Ok(Some(items).filter(|items| !items.is_empty()).map(Json::Array));
    }
    if !field.has_presence() && raw.last().is_none_or(|raw| is_default(*raw)) {
        return Ok(None);
    }
    value_json(field.kind(), raw, print).map(Some)
}

fn is_default(raw: Raw) -> bool {
    match raw {
        Raw::Varint(n) => n == 0,
        Raw::Eight(bytes) => bytes == [0; 8],
        Raw::Four(bytes) => bytes == [0; 4],
        Raw::Bytes(bytes) => bytes.is_empty(),
    }
}

fn map_json(entry_type: Message, raw: &[Raw], print: Print) -> Result<Map<String, Json>, Broken> {
    let (Some(key_type), Some(value_type)) = (entry_type.field(1), entry_type.field(2)) else {
        return Err(Broken);
    };
    let mut sorted = BTreeMap::new();
    for entry in raw {
        let Raw::Bytes(bytes) = entry else { return Err(Broken) };
        let halves = parse(entry_type, bytes)?;
        let half = |number| halves.iter().find(|(field, _)| field.number() == number);
        let half = |number| half(number).map_or(&[][..], |(_, raw)| raw);
        let key = match value_json(key_type.kind(), half(1), Print { hide: false, ..print })? {
            Json::String(text) => text,
            other => other.to_string(),
        };
        sorted.insert(key, value_json(value_type.kind(), half(2), print)?);
    }
    Ok(sorted.into_iter().collect())
}

/// One value, of which several parts may have come: messages are merged, of others the last counts, and none is the
/// default.
fn value_json(kind: Kind, raw: &[Raw], print: Print) -> Result<Json, Broken> {
    if let Kind::Message(of) = kind {
        return match raw {
            [] => message(of, &[], print),
            [Raw::Bytes(bytes)] => message(of, bytes, print),
            several => {
                let parts = several.iter().map(|part| match part {
                    Raw::Bytes(bytes) => Ok(*bytes),
                    _ => Err(Broken),
                });
                message(of, &parts.collect::<Result<Vec<_>, _>>()?.concat(), print)
            }
        };
    }
    Ok(match kind {
        Kind::String => match std::str::from_utf8(bytes_of(raw)?).map_err(|_| Broken)? {
            _ if print.hide => Json::String(REDACTED.into()),
            text => Json::String(text.into()),
        },
        Kind::Bytes => {
            let bytes = bytes_of(raw)?;
            Json::String(STANDARD.encode(if print.hide { REDACTED.as_bytes() } else { bytes }))
        }
        Kind::Double => {
            let n = f64::from_le_bytes(eight(raw)?);
            float(n, Json::from(n))
        }
        Kind::Float => {
            let n = f32::from_le_bytes(four(raw)?);
            float(f64::from(n), Json::from(n))
        }
        Kind::Fixed64 => Json::String(u64::from_le_bytes(eight(raw)?).to_string()),
        Kind::Sfixed64 => Json::String(i64::from_le_bytes(eight(raw)?).to_string()),
        Kind::Fixed32 => Json::from(u32::from_le_bytes(four(raw)?)),
        Kind::Sfixed32 => Json::from(i32::from_le_bytes(four(raw)?)),
        other => varint_json(other, varint(raw)?),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // as protobuf does with a longer number
fn varint_json(kind: Kind, n: u64) -> Json {
    // Small magnitudes of either sign alternate.
    let zigzag = (n >> 1) as i64 ^ -((n & 1) as i64);
    match kind {
        Kind::Bool => Json::Bool(n != 0),
        Kind::Int32 => Json::from(n as i32),
        Kind::Uint32 => Json::from(n as u32),
        Kind::Sint32 => Json::from(zigzag as i32),
        Kind::Int64 => Json::String((n as i64).to_string()),
        Kind::Sint64 => Json::String(zigzag.to_string()),
        Kind::Enum(of) if of.is_null() => Json::Null,
        Kind::Enum(of) => match of.values().find(|(_, number)| *number == n as i32) {
            Some((name, _)) => Json::String(name.to_owned()),
            None => Json::from(n as i32),
        },
        _ => Json::String(n.to_string()),
    }
}

fn bytes_of<'b>(raw: &[Raw<'b>]) -> Result<&'b [u8], Broken> {
    match raw.last() {
        None => Ok(&[]),
        Some(Raw::Bytes(bytes)) => Ok(bytes),
        Some(_) => Err(Broken),
    }
}

fn varint(raw: &[Raw]) -> Result<u64, Broken> {
    match raw.last() {
        None => Ok(0),
        Some(Raw::Varint(n)) => Ok(*n),
        Some(_) => Err(Broken),
    }
}

fn eight(raw: &[Raw]) -> Result<[u8; 8], Broken> {
    match raw.last() {
        None => Ok([0; 8]),
        Some(Raw::Eight(bytes)) => Ok(*bytes),
        Some(_) => Err(Broken),
    }
}

fn four(raw: &[Raw]) -> Result<[u8; 4], Broken> {
    match raw.last() {
        None => Ok([0; 4]),
        Some(Raw::Four(bytes)) => Ok(*bytes),
        Some(_) => Err(Broken),
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

/// The types with a JSON form of their own; `None` where this value has none and is shown field by field.
fn own_form(name: &str, of: Message, bytes: &[u8], print: Print) -> Result<Option<Json>, Broken> {
    Ok(Some(match name {
        "Any" => any_json(&wkt::Any::decode(bytes)?, print),
        "Struct" => Json::Object(structs::to_map(&wkt::Struct::decode(bytes)?)),
        "Value" => structs::to_json(&wkt::Value::decode(bytes)?),
        "ListValue" => {
            let list = wkt::ListValue::decode(bytes)?;
            Json::Array(list.values.iter().map(structs::to_json).collect())
        }
        "Duration" | "Timestamp" => return Ok(well_known::to_json(name, bytes)),
        _ => {
            let Some(value) = of.field(1) else { return Ok(None) };
            let held = parse(of, bytes)?.pop();
            value_json(value.kind(), &held.map_or_else(Vec::new, |(_, raw)| raw), print)?
        }
    }))
}

fn any_json(any: &wkt::Any, print: Print) -> Json {
    let Some(of) = find(&any.type_url) else { return unread(any, print) };
    let Ok(json) = message(of, &any.value, print) else { return unread(any, print) };
    let mut map = Map::new();
    map.insert("@type".into(), Json::String(any.type_url.clone()));
    match json {
        Json::Object(fields) if !has_own_form(of) => map.extend(fields),
        other => drop(map.insert("value".into(), other)),
    }
    Json::Object(map)
}

fn unread(any: &wkt::Any, print: Print) -> Json {
    opaque(&any.type_url, if print.hide { REDACTED.as_bytes() } else { &any.value })
}
