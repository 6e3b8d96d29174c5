//! Numbers, texts, bytes and names of enums: from JSON to their encoding.
//!
//! In: a kind and the JSON as a human wrote it (numbers as text or not). Out: an encoded field, or what was expected.
//! Called by `from_json` and, for the wrapper types, by `well_known`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use prost::encoding as code;
use serde_json::Value as Json;

use super::schema::{Enum, Kind};

/// Whether a value that its field has anyhow is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    Written,
    LeftOut,
}

/// Adds the field `tag` of a kind that is no message.
pub(super) fn put(
    kind: Kind,
    tag: u32,
    json: &Json,
    defaults: Defaults,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    macro_rules! number {
        ($module:ident, $type:ty, $what:literal) => {{
            let whole = integer(json).ok_or_else(|| expected("a number", json))?;
            let value =
                <$type>::try_from(whole).map_err(|_| format!("{json} is out of range for {}", $what))?;
            if defaults == Defaults::Written || value != 0 {
                code::$module::encode(tag, &value, out);
            }
        }};
    }
    match kind {
        Kind::Int32 => number!(int32, i32, "int32"),
        Kind::Sint32 => number!(sint32, i32, "int32"),
        Kind::Sfixed32 => number!(sfixed32, i32, "int32"),
        Kind::Int64 => number!(int64, i64, "int64"),
        Kind::Sint64 => number!(sint64, i64, "int64"),
        Kind::Sfixed64 => number!(sfixed64, i64, "int64"),
        Kind::Uint32 => number!(uint32, u32, "uint32"),
        Kind::Fixed32 => number!(fixed32, u32, "uint32"),
        Kind::Uint64 => number!(uint64, u64, "uint64"),
        Kind::Fixed64 => number!(fixed64, u64, "uint64"),
        Kind::Float => {
            #[allow(clippy::cast_possible_truncation)] // a float field holds what a float can hold
            let value = float(json).ok_or_else(|| expected("a number", json))? as f32;
            if defaults == Defaults::Written || value.to_bits() != 0 {
                code::float::encode(tag, &value, out);
            }
        }
        Kind::Double => {
            let value = float(json).ok_or_else(|| expected("a number", json))?;
            if defaults == Defaults::Written || value.to_bits() != 0 {
                code::double::encode(tag, &value, out);
            }
        }
        Kind::Bool => {
            let value = match json {
                Json::Bool(value) => *value,
                Json::String(text) if text == "true" => true,
                Json::String(text) if text == "false" => false,
                other => return Err(expected("true or false", other)),
            };
            if defaults == Defaults::Written || value {
                code::bool::encode(tag, &value, out);
            }
        }
        Kind::String => {
            let Json::String(text) = json else { return Err(expected("text", json)) };
            delimited(tag, text.as_bytes(), defaults, out);
        }
        Kind::Bytes => {
            let bytes = json.as_str().and_then(base64_any).ok_or_else(|| expected("base64", json))?;
            delimited(tag, &bytes, defaults, out);
        }
        Kind::Enum(of) => {
            let value = enum_number(of, json)?;
            if defaults == Defaults::Written || value != 0 {
                code::int32::encode(tag, &value, out);
            }
        }
        Kind::Message(of) => return Err(expected(&format!("an object ({})", of.full_name()), json)),
    }
    Ok(())
}

fn delimited(tag: u32, bytes: &[u8], defaults: Defaults, out: &mut Vec<u8>) {
    if defaults == Defaults::LeftOut && bytes.is_empty() {
        return;
    }
    code::encode_key(tag, code::WireType::LengthDelimited, out);
    code::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn enum_number(of: Enum, json: &Json) -> Result<i32, String> {
    let Json::String(name) = json else {
        let number = integer(json).ok_or_else(|| expected("a name", json))?;
        return i32::try_from(number).map_err(|_| format!("{json} is out of range for an enum"));
    };
    of.values().find(|(known, _)| known == name).map(|(_, number)| number).ok_or_else(|| {
        let known: Vec<&str> = of.values().map(|(name, _)| name).collect();
        format!("{name:?} is none of {}", known.join(", "))
    })
}

/// A whole number, also as text or as a float without a fraction.
fn integer(json: &Json) -> Option<i128> {
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

pub(super) fn base64_any(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
}

/// What is said of a value of another kind.
pub(super) fn expected(what: &str, found: &Json) -> String {
    let text = found.to_string();
    let short: String = text.chars().take(60).collect();
    format!("expected {what}, found {short}")
}
