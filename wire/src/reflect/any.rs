//! `google.protobuf.Any` from JSON: an object that says its own type.
//!
//! In: the entries of the object. Out: type URL and encoded value. Called by `from_json` for each `Any` that it meets.

use serde::de::value::MapDeserializer;
use serde::de::{Error, MapAccess};
use serde_json::{Map, Value as Json};

use super::from_json::{fields, nested};
use super::place::{Place, Step};
use super::scalar::{base64_any, expected};
use super::schema::{Message, find};
use super::tree::add;
use super::well_known::{self, has_own_form};

/// The body of an `Any`. Where its type comes first, the rest is read as it comes.
pub(super) fn any<'de, A: MapAccess<'de>>(
    place: &Place,
    out: &mut Vec<u8>,
    mut entries: A,
) -> Result<(), A::Error> {
    let mut held = Map::new();
    while let Some(key) = entries.next_key::<String>()? {
        let first = held.is_empty() && key == "@type";
        add(&mut held, key, &mut entries)?;
        if !first {
            continue;
        }
        let Some(Json::String(url)) = held.get("@type") else { break };
        if let Some(of) = find(url).filter(|of| !has_own_form(*of)) {
            prost::encoding::string::encode(1, url, out);
            return value(out, |out| fields(of, place, out, entries));
        }
    }
    let Some(Json::String(url)) = held.shift_remove("@type") else {
        return place.fail("needs an @type");
    };
    prost::encoding::string::encode(1, &url, out);
    match find(&url) {
        Some(of) if has_own_form(of) => {
            let json = held.remove("value").unwrap_or(Json::Null);
            if let Some(other) = held.keys().next() {
                return place.at(Step::Field(other)).fail(format!("{} has no such field", of.full_name()));
            }
            value(out, |out| own_form(of, place, &json, out))
        }
        Some(of) => value(out, |out| {
            fields(of, place, out, MapDeserializer::new(held.iter().map(|(k, v)| (k.as_str(), v))))
                .map_err(|error: serde_json::Error| A::Error::custom(error))
        }),
        // The form in which `to_json` shows types that it does not know.
        None => match held.get("value").and_then(Json::as_str).and_then(base64_any) {
            Some(bytes) if held.len() == 1 => {
                if !bytes.is_empty() {
                    prost::encoding::bytes::encode(2, &bytes, out);
                }
                Ok(())
            }
            _ => place.fail(format!("unknown type {url}")),
        },
    }
}

/// Field 2 of an `Any`, left out where it is empty.
fn value<E>(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let start = out.len();
    nested(2, out, body)?;
    if out.len() == start + 2 {
        out.truncate(start);
    }
    Ok(())
}

/// The `value` of an `Any` whose type is no object of its fields.
fn own_form<E: Error>(of: Message, place: &Place, json: &Json, out: &mut Vec<u8>) -> Result<(), E> {
    if of.well_known() == Some("Any") {
        let Json::Object(map) = json else { return place.fail(expected("an object with @type", json)) };
        let entries = MapDeserializer::new(map.iter().map(|(k, v)| (k.as_str(), v)));
        return any(place, out, entries).map_err(|error: serde_json::Error| E::custom(error));
    }
    match well_known::from_json(of, json) {
        Ok(bytes) => {
            out.extend_from_slice(&bytes);
            Ok(())
        }
        Err(reason) => place.fail(reason),
    }
}
