//! The types of `google.protobuf` that JSON writes in a form of their own: durations as `1.5s`, wrappers as what they
//! wrap, structs as themselves.
//!
//! In: the JSON and the type, or the bytes and the type. Out: the encoded message, or its JSON. `Any` is not here: it
//! is read and shown by what it holds. `FieldMask` is in no configuration.

use prost::Message as _;
use prost_types::{Duration, Timestamp};
use serde_json::Value as Json;

use super::scalar::{self, Defaults, expected};
use super::schema::Message;
use crate::pb::google::protobuf as wkt;
use crate::structs;

/// The most seconds of a duration: 10,000 years.
const MOST_SECONDS: i64 = 315_576_000_000;
/// The years 1 and 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Whether JSON of this type is not an object of its fields.
pub(super) fn has_own_form(message: Message) -> bool {
    message.well_known().is_some_and(|name| match name {
        "Any" | "Duration" | "ListValue" | "Struct" | "Timestamp" => true,
        name => name.ends_with("Value") && !name.contains('.'),
    })
}

/// Encodes a type that [`has_own_form`] and is no `Any`.
pub(super) fn from_json(message: Message, json: &Json) -> Result<Vec<u8>, String> {
    let name = message.well_known().expect("the caller looked");
    let wrong = |what: &str| format!("{} ({name})", expected(what, json));
    let text = json.as_str();
    Ok(match name {
        "Duration" => {
            let duration: Option<Duration> = text.and_then(|text| text.parse().ok()).filter(in_range);
            duration.ok_or_else(|| wrong("a duration like 1.5s"))?.encode_to_vec()
        }
        "Timestamp" => {
            let time: Option<Timestamp> =
                text.filter(|text| is_full(text)).and_then(|text| text.parse().ok());
            let time = time.filter(|time| TIMES.contains(&time.seconds));
            time.ok_or_else(|| wrong("a time like 2006-01-02T15:04:05Z"))?.encode_to_vec()
        }
        "Value" => structs::encode_value(&structs::from_json(json)),
        "Struct" => {
            let map = json.as_object().ok_or_else(|| wrong("an object"))?;
            structs::encode(&structs::from_map(map))
        }
        "ListValue" => {
            let items = json.as_array().ok_or_else(|| wrong("a list"))?;
            let values = items.iter().map(structs::from_json).collect();
            structs::encode_list(&wkt::ListValue { values })
        }
        _ => {
            let field = message.field(1).ok_or_else(|| wrong("nothing"))?;
            let mut out = Vec::new();
            scalar::put(field.kind(), 1, json, Defaults::LeftOut, &mut out)
                .map_err(|reason| format!("{reason} ({name})"))?;
            out
        }
    })
}

fn in_range(duration: &Duration) -> bool {
    duration.seconds.abs() <= MOST_SECONDS
}

/// Date and time and zone: the parser takes less.
fn is_full(text: &str) -> bool {
    let bytes = text.as_bytes();
    let zone = text.ends_with(['Z', 'z']) || bytes.len() > 6 && matches!(bytes[bytes.len() - 6], b'+' | b'-');
    zone && bytes.len() >= 20 && matches!(bytes[10], b'T' | b't')
}

/// JSON of a duration or time; `None` where its value has no such form.
pub(super) fn to_json(name: &str, bytes: &[u8]) -> Option<Json> {
    let text = match name {
        "Duration" => {
            let duration = Duration::decode(bytes).ok()?;
            let signs = (duration.seconds.signum() * i64::from(duration.nanos.signum())) >= 0;
            let whole = duration.nanos.abs() < 1_000_000_000;
            (in_range(&duration) && signs && whole).then(|| duration.to_string())?
        }
        "Timestamp" => {
            let time = Timestamp::decode(bytes).ok()?;
            let whole = (0..1_000_000_000).contains(&time.nanos);
            (TIMES.contains(&time.seconds) && whole).then(|| time.to_string())?
        }
        _ => return None,
    };
    Some(Json::String(text))
}
